"""What ``googlenet-edge bench --layers --json`` writes, as far as the page shows it."""

from __future__ import annotations

import msgspec

from googlenet_edge.latency.duration_format import Count, Milliseconds, Rate, Share, Signed

__all__ = ["LayerEntry", "LayersEntry", "RooflineEntry", "RowWorkEntry"]


class LayerEntry(msgspec.Struct, frozen=True):
    """A layer of the engine, or all layers of a row of Table 1."""

    name: str
    rows: tuple[str, ...]
    """Rows of Table 1 whose nodes it computes."""
    median_ms: Milliseconds
    share: Share
    """Of the time of all layers in all inferences."""


class RowWorkEntry(msgspec.Struct, frozen=True):
    """The work of a row in one inference; None for what is not known."""

    name: str
    macs: Count | None = None
    macs_per_s: Rate | None = None
    bound_by: str | None = None
    roofline_share: Rate | None = None
    """The least time that its work takes on the machine over the time that it took."""


class RooflineEntry(msgspec.Struct, frozen=True):
    """The work of the rows, and what the machine can do."""

    how: str
    rows: tuple[RowWorkEntry, ...] = ()
    peak_macs_per_s: Rate | None = None
    bandwidth_bytes_per_s: Rate | None = None


class LayersEntry(msgspec.Struct, frozen=True):
    """Time per layer, measured apart from the run: the profiler itself costs time."""

    inferences: Count
    frames_per_inference: Count
    wall_ms: Milliseconds
    layers_ms: Milliseconds
    not_covered_ms: Signed
    rows: tuple[LayerEntry, ...]
    layers: tuple[LayerEntry, ...]
    roofline: RooflineEntry | None = None
