"""Trees of /proc and /sys for machines that are not here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.latency.watch.trees import DATA, build_tree


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that builds the tree of a sample below a root, and returns the root."""

    return partial(build_tree, folder=tmp_path)


@pytest.fixture
def tegrastats_lines() -> dict[str, str]:
    """Return a line of tegrastats of each board, by "board, release"."""
    lines = (DATA / "tegrastats.txt").read_text().splitlines()
    return {title.removeprefix("# "): line for title, line in zip(lines[::2], lines[1::2], strict=True)}
