"""Bundles in several precisions, around the tiny classifier."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from tests.scenarios.matrix.bundles import Maker


@pytest.fixture
def maker(tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path) -> Maker:
    """Makes bundles in the test's folder."""
    return Maker(tmp_path, tiny_facts, tiny_golden, tiny_graph_path.read_bytes())
