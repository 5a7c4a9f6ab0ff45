"""Recorded builder logs, and the nodes of the graphs that they are of.

The logs are the end of what TensorRT-RTX 1.7.1.116 logged at VERBOSE when it built the demo's bundles of 45 classes for
one target each, batches 1 to 8. FP32 does not build for SM75.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from googlenet_edge.engine.layer_report import EngineFacts, EngineReport, report_engine
from googlenet_edge.engine.layers import parse_layers
from googlenet_edge.types import NodeRow

DATA = Path(__file__).parent / "data"

RecordedLog: TypeAlias = Callable[[str, str], tuple[str, ...]]
RecordedNodes: TypeAlias = Callable[[str], tuple[NodeRow, ...]]
RecordedReport: TypeAlias = Callable[[str, str], EngineReport]


@cache
def _log(precision: str, target: str) -> tuple[str, ...]:
    path = DATA / f"layers-rtx-1.7.1-{precision}-{target}.log.gz"
    return tuple(gzip.decompress(path.read_bytes()).decode("utf-8").split("\n"))


@cache
def _nodes(precision: str) -> tuple[NodeRow, ...]:
    text = gzip.decompress((DATA / f"nodes-{precision}.json.gz").read_bytes())
    return tuple(NodeRow(**node) for node in json.loads(text))


@cache
def _report(precision: str, target: str) -> EngineReport:
    capability = f"{target[2:-1]}.{target[-1]}"
    facts = EngineFacts("road-signs", precision, "TensorRT-RTX 1.7.1.116", is_rtx=True, targets=(capability,))
    return report_engine(parse_layers(_log(precision, target)), _nodes(precision), facts)


@pytest.fixture(scope="session")
def recorded_log() -> RecordedLog:
    """The lines of a log, by precision and target: ``recorded_log("int8", "sm86")``."""
    return _log


@pytest.fixture(scope="session")
def recorded_nodes() -> RecordedNodes:
    """Every node of the graph of a precision."""
    return _nodes


@pytest.fixture(scope="session")
def recorded_report() -> RecordedReport:
    """The report on a recorded log."""
    return _report
