"""What processes say that timed layers, with the figures that a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from googlenet_edge.latency.layer_times import layer_report
from googlenet_edge.scenarios.matrix.jobs import LayersTimed
from googlenet_edge.types import NodeRow

MS = 1_000_000


def graph(macs: Mapping[str, int]) -> tuple[NodeRow, ...]:
    """A graph with a node for each row, of so many multiply-accumulates."""
    return tuple(NodeRow(f"{row}.node", "Conv", row, count) for row, count in macs.items())


def timed(
    rows_ms: Mapping[str, float], *, whole_ms: float = 20.0, frames: int = 1, line: str = "a scripted backend"
) -> LayersTimed:
    """A round in which each row took so long; ``"conv1 + conv2"`` is a layer that computes nodes of both."""
    rows = {name: () if name == "other" else tuple(name.split(" + ")) for name in rows_ms}
    times = [(name, [round(ms * MS)]) for name, ms in rows_ms.items()]
    order = list(dict.fromkeys(row for of in rows.values() for row in of))
    report = layer_report(times, rows, [round((sum(rows_ms.values()) + 1) * MS)], order=order, frames=frames)
    return LayersTimed(whole_ns=round(whole_ms * MS), report=report, line=line, backend={}, profiled={})


def rounds(times: Sequence[Mapping[str, float]], whole_ms: Sequence[float] | None = None) -> tuple[LayersTimed, ...]:
    """Several rounds of one bundle."""
    whole = whole_ms or [20.0] * len(times)
    return tuple(timed(rows, whole_ms=ms) for rows, ms in zip(times, whole, strict=True))
