"""Which threshold each tensor gets: the one that does the network's output the most good.

No method is the best for every tensor, and how much error a tensor makes says little about how much of it arrives. So
every method's threshold is tried where it counts: all weights and tensors are quantized, one tensor's threshold is
changed, and the squared error of the logits against the float32 network decides. First the best single method for all
tensors is found; then each tensor in turn may leave it, in the order of the graph, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.quantization.placement import ScaleGroup
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.quantization.threshold import METHODS, Method
from googlenet_edge.types import ImageArray

__all__ = ["Choice", "choose_methods", "scale_of"]

LEVELS = 127

_SAME = 0.02
"""Thresholds closer than this share are taken for one: what they differ by is within the noise of the measurement."""

_LEAST_GAIN = 0.01
"""A tensor leaves the common method only if the error of the logits falls by this share: less may be chance."""


@dataclass(frozen=True)
class Choice:
    """The threshold of one tensor, and why."""

    tensor: str
    method: Method
    threshold: float
    gain: float
    """By what share the squared error of the logits fell against the common method; 0 if that was kept."""


def scale_of(threshold: float, rounding: Callable[[float], float]) -> float:
    """Return the scale of a threshold; a dead tensor, whose threshold is 0, gets that of a range of 1."""
    return rounding((threshold if threshold > 0 else 1.0) / LEVELS)


def choose_methods(
    network: SimulatedNetwork,
    table: CalibrationTable,
    groups: Sequence[ScaleGroup],
    images: ImageArray,
    reference: npt.NDArray[np.float32],
    *,
    rounding: Callable[[float], float],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Choice, ...]:
    """Choose a threshold for each group.

    Args:
        network: The graph with every pair in place.
        table: The thresholds of all methods.
        groups: The groups with a pair in that graph.
        images: Calibration crops, uint8 (N, H, W, 3) BGR.
        reference: The float32 network's logits for them, float32 (N, classes).
        rounding: What a scale becomes in the graph, for example rounded to FP16.
        progress: Told how many of the tensors are done, and of how many.
    """

    def feeds(chosen: Mapping[str, Method]) -> dict[str, npt.ArrayLike]:
        return {
            network.scales[tensor]: scale_of(table.threshold(tensor, method), rounding)
            for tensor, method in chosen.items()
        }

    def error(chosen: Mapping[str, Method]) -> float:
        difference = network.logits(images, feeds(chosen)).astype(np.float64) - reference
        return float(np.square(difference).sum())

    tensors = [group.tensor for group in groups]
    uniform = {method: error(dict.fromkeys(tensors, method)) for method in METHODS}
    common = min(uniform, key=lambda method: uniform[method])
    chosen: dict[str, Method] = dict.fromkeys(tensors, common)
    least, gains = uniform[common], dict.fromkeys(tensors, 0.0)
    for index, tensor in enumerate(tensors):
        start = least
        for method in _different(table, tensor, common):
            found = error({**chosen, tensor: method})
            if found < least and found < start * (1 - _LEAST_GAIN):
                chosen[tensor], least = method, found
        gains[tensor] = 1 - least / start if start > 0 else 0.0
        if progress is not None:
            progress(index + 1, len(tensors))
    return tuple(
        Choice(tensor, method, table.threshold(tensor, method), gains[tensor]) for tensor, method in chosen.items()
    )


def _different(table: CalibrationTable, tensor: str, common: Method) -> list[Method]:
    """The methods whose thresholds for a tensor differ from that of the common one and from each other."""
    seen = [table.threshold(tensor, common)]
    methods: list[Method] = []
    for method in METHODS:
        threshold = table.threshold(tensor, method)
        if all(abs(threshold - other) > _SAME * max(threshold, other) for other in seen):
            seen.append(threshold)
            methods.append(method)
    return methods
