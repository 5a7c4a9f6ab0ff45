"""How close each row of Table 1 comes to what this machine can do at all: the roofline.

Work that takes ``macs`` multiply-accumulates and moves ``moved_bytes`` cannot be done faster than in
max(macs / peak rate, bytes / bandwidth); the share of the roofline is that bound over the time it took. In the usual
picture, the rate at an arithmetic intensity of I MAC per byte is bounded by min(peak rate, I x bandwidth).

Source: S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Commun. ACM 52(4), 2009.

Bytes are counted at the borders of layers: what each reads and writes, weights included, each once. What a layer finds
in a cache moves faster than memory: then the share of a row that memory bounds may be above 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from googlenet_edge.errors import InputError
from googlenet_edge.latency.layer_times import LayerReport
from googlenet_edge.types import NodeRow

__all__ = ["MachinePeak", "RowWork", "row_work"]

Limit: TypeAlias = Literal["compute", "memory"]


@dataclass(frozen=True)
class MachinePeak:
    """What a machine can do. Raises :class:`InputError` for rates that are not above 0."""

    macs_per_s: float
    """Multiply-accumulates; twice as many floating-point operations."""
    bytes_per_s: float
    """Read and written."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(rate) and rate > 0 for rate in (self.macs_per_s, self.bytes_per_s)):
            raise InputError(f"peak: got {self}, expected finite rates above 0")

    def bound_ns(self, macs: int, moved_bytes: int) -> float:
        """Return the shortest time that such work can take, nanoseconds."""
        return 1e9 * max(macs / self.macs_per_s, moved_bytes / self.bytes_per_s)

    def limit(self, macs: int, moved_bytes: int) -> Limit:
        """Say what bounds such work."""
        return "compute" if macs / self.macs_per_s >= moved_bytes / self.bytes_per_s else "memory"


@dataclass(frozen=True)
class RowWork:
    """What a row of Table 1 does in one inference, and how long it takes."""

    name: str
    duration_ns: int
    """Median."""
    macs: int | None
    """None where the layers of a row of Table 1 are in several rows of the report."""
    moved_bytes: int | None
    """None where the backend does not tell."""

    @property
    def macs_per_s(self) -> float | None:
        """Multiply-accumulates per second; None for a row without a time or without known work."""
        return None if self.macs is None or not self.duration_ns else self.macs * 1e9 / self.duration_ns

    @property
    def intensity(self) -> float | None:
        """Multiply-accumulates per byte moved; None where one of the two is not known or no byte is."""
        return None if self.macs is None or not self.moved_bytes else self.macs / self.moved_bytes

    def bound_ns(self, peak: MachinePeak) -> float | None:
        """Return the shortest time that it can take, nanoseconds; None where that cannot be said."""
        if self.macs is None or self.moved_bytes is None:
            return None
        return peak.bound_ns(self.macs, self.moved_bytes)

    def share(self, peak: MachinePeak) -> float | None:
        """Return the bound over the time it took: 1 is as fast as can be. None where it cannot be said."""
        bound_ns = self.bound_ns(peak)
        return None if bound_ns is None or not self.duration_ns else bound_ns / self.duration_ns

    def limit(self, peak: MachinePeak) -> Limit | None:
        """Say what bounds it; None where that cannot be said."""
        if self.macs is None or self.moved_bytes is None:
            return None
        return peak.limit(self.macs, self.moved_bytes)


def row_work(
    report: LayerReport, nodes: Sequence[NodeRow], layer_bytes: Mapping[str, int] | None = None
) -> tuple[RowWork, ...]:
    """Return the work of each row of a report, in its order.

    Args:
        report: Times by layer and by row.
        nodes: Every node of the graph, ``bundle.manifest.nodes``: their MACs are for one frame.
        layer_bytes: What each layer of the report reads and writes in one inference; None where that is not known, and
            a layer that is not there makes its row's unknown.
    """
    macs: dict[str, int] = {}
    for node in nodes:
        macs[node.row] = macs.get(node.row, 0) + node.macs * report.frames
    named = [row for of in report.rows for row in of.rows]
    moved: dict[tuple[str, ...], int | None] = {}
    for layer in report.layers:
        before, more = moved.get(layer.rows, 0), (layer_bytes or {}).get(layer.name)
        moved[layer.rows] = None if before is None or more is None else before + more
    return tuple(
        RowWork(
            of.row,
            of.median_ns,
            macs=None if any(named.count(row) > 1 for row in of.rows) else sum(macs.get(row, 0) for row in of.rows),
            moved_bytes=moved.get(of.rows),
        )
        for of in report.rows
    )
