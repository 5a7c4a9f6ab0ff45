"""How long each layer of an engine takes, and each row of Table 1.

- **Median**: nearest rank, of the layer's (or row's) time in each measured inference. Medians do not add up.
- **Share**: of the time of all layers in all measured inferences together; shares add up to 100 %.
- **Not covered**: median wall time of an inference less the median of its layers' sum: copies to and from the device,
  launches, the profiler itself. Below 0 where layers run side by side, on several streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.summary import nearest_rank

__all__ = ["OTHER", "LayerReport", "LayerTime", "layer_report"]

OTHER = "other"
"""The row of layers that compute no node of the graph: those that the library put in, such as reformatting."""


@dataclass(frozen=True)
class LayerTime:
    """A layer, or all layers of a row."""

    name: str
    rows: tuple[str, ...]
    """The rows of Table 1 whose nodes it computes; none for what the library put in itself."""
    median_ns: int
    """Of one inference."""
    share: float
    """0 to 1."""

    @property
    def row(self) -> str:
        """``"conv1"``; ``"input + conv1"`` where nodes of two rows were fused; ``"other"``."""
        return " + ".join(self.rows) or OTHER


@dataclass(frozen=True)
class LayerReport:
    """The times of an engine's layers over a number of inferences."""

    layers: tuple[LayerTime, ...]
    """In the order of execution."""
    rows: tuple[LayerTime, ...]
    """The same by row, in the order of Table 1; layers of the same several rows make a row of their own, and
    :data:`OTHER` is last."""
    inferences: int
    """Measured ones, without warm-up."""
    frames: int
    """Per inference."""
    layers_ns: int
    """Median of the layers' sum in an inference."""
    wall_ns: int
    """Median wall time of an inference, with the profiler on: from the batch on the host to its results there."""

    @property
    def not_covered_ns(self) -> int:
        """What of the wall time is in no layer."""
        return self.wall_ns - self.layers_ns


def layer_report(
    times_ns: Sequence[tuple[str, Sequence[int]]],
    rows: Mapping[str, tuple[str, ...]],
    wall_ns: Sequence[int],
    *,
    order: Sequence[str],
    frames: int,
) -> LayerReport:
    """Sum the measurements up.

    Args:
        times_ns: Layers by name in the order of execution, each with its nanoseconds, oldest first: one an inference,
            or as many more as the layer runs several times in each.
        rows: The rows of Table 1 that each layer computes; a layer that is not there computes none.
        wall_ns: The wall time of each inference, nanoseconds; at least one.
        order: The rows of Table 1, in their order.
        frames: Frames per inference.

    Raises:
        InputError: A layer has no time, or not as many in each inference.
    """
    inferences = len(wall_ns)
    samples: dict[str, npt.NDArray[np.int64]] = {}
    for name, times in times_ns:
        if not times or not inferences or len(times) % inferences:
            raise InputError(
                f"layer {name!r}: got {len(times)} times in {inferences} inferences, expected one in each; "
                "measure again"
            )
        samples[name] = np.asarray(times, dtype=np.int64).reshape(inferences, -1).sum(axis=1)
    if not samples:
        raise InputError("layers: got not one time, expected one a layer; open the backend with layer profiling on")
    place = {row: index for index, row in enumerate(order)}
    last = len(place)
    by_layer = {
        name: tuple(sorted(set(rows.get(name, ())), key=lambda row: (place.get(row, last), row))) for name in samples
    }
    total = np.sum(list(samples.values()), axis=0)
    groups: dict[tuple[str, ...], npt.NDArray[np.int64]] = {}
    for name, values in samples.items():
        groups[by_layer[name]] = groups.get(by_layer[name], np.zeros_like(values)) + values

    def timed(name: str, of: tuple[str, ...], values: npt.NDArray[np.int64]) -> LayerTime:
        return LayerTime(name, of, _median(values), float(values.sum() / max(1, total.sum())))

    def position(of: tuple[str, ...]) -> tuple[bool, list[int]]:
        return not of, [place.get(row, last) for row in of]

    return LayerReport(
        layers=tuple(timed(name, by_layer[name], values) for name, values in samples.items()),
        rows=tuple(timed(" + ".join(of) or OTHER, of, groups[of]) for of in sorted(groups, key=position)),
        inferences=inferences,
        frames=frames,
        layers_ns=_median(total),
        wall_ns=_median(np.asarray(wall_ns, dtype=np.int64)),
    )


def _median(values: npt.NDArray[np.int64]) -> int:
    return nearest_rank(np.sort(values), 50)
