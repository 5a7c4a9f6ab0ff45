"""Which threshold each tensor gets: the one that does the network's output the most good.

No method is the best for every tensor, and how much error a tensor makes says little about how much of it arrives. So
every method's threshold is tried where it counts: all weights and tensors are quantized, one tensor's threshold is
changed, and the squared error of the logits against the float32 network decides. First the best single method for all
tensors is found; then each tensor in turn may leave it, in the order of the graph, once.

The thresholds that are tried come from other images than those that they are tried on. On the images that they come
from, the largest value seen clips nothing, and what it costs on the next image would not show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from googlenet_edge.quantization.placement import ScaleGroup
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.table import TensorRange
from googlenet_edge.quantization.threshold import LEVELS, METHODS, Method
from googlenet_edge.types import ImageArray

__all__ = ["Choice", "Ranges", "choose_methods", "scale_of"]

Ranges: TypeAlias = Mapping[str, TensorRange]
"""Thresholds by tensor."""

_SAME = 0.02
"""Thresholds closer than this share are taken for one: what they differ by is within the noise of the measurement."""

_LEAST_GAIN = 0.05
"""A tensor leaves the common method only if the error of the logits falls by this share: less may be chance."""


_HOPELESS = 10.0
"""A method that makes so many times the error of the best one, used for all tensors, is not tried tensor by tensor."""


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
    ranges: Ranges,
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
        ranges: The thresholds of all methods, from other images than ``images``, by tensor.
        groups: The groups with a pair in that graph.
        images: Calibration crops, uint8 (N, H, W, 3) BGR.
        reference: The float32 network's logits for them, float32 (N, classes).
        rounding: What a scale becomes in the graph, for example rounded to FP16.
        progress: Told how many of the tensors are done, and of how many.
    """

    def feeds(chosen: Mapping[str, Method]) -> dict[str, npt.ArrayLike]:
        return {
            network.scales[tensor]: scale_of(ranges[tensor].thresholds[method], rounding)
            for tensor, method in chosen.items()
        }

    def error(chosen: Mapping[str, Method]) -> float:
        difference = network.logits(images, feeds(chosen)).astype(np.float64) - reference
        return float(np.square(difference).sum())

    tensors = [group.tensor for group in groups]
    uniform = {method: error(dict.fromkeys(tensors, method)) for method in METHODS}
    common = min(uniform, key=lambda method: uniform[method])
    worth_trying = [method for method in METHODS if uniform[method] <= _HOPELESS * uniform[common]]
    chosen: dict[str, Method] = dict.fromkeys(tensors, common)
    least, gains = uniform[common], dict.fromkeys(tensors, 0.0)
    for index, tensor in enumerate(tensors):
        start = least
        for method in _different(ranges[tensor], common, worth_trying):
            found = error({**chosen, tensor: method})
            if found < least and found < start * (1 - _LEAST_GAIN):
                chosen[tensor], least = method, found
        gains[tensor] = 1 - least / start if start > 0 else 0.0
        if progress is not None:
            progress(index + 1, len(tensors))
    return tuple(
        Choice(tensor, method, ranges[tensor].thresholds[method], gains[tensor]) for tensor, method in chosen.items()
    )


def _different(entry: TensorRange, common: Method, methods: Sequence[Method]) -> list[Method]:
    """Of these methods, those whose thresholds for a tensor differ from that of the common one and from each other."""
    seen = [entry.thresholds[common]]
    found: list[Method] = []
    for method in methods:
        threshold = entry.thresholds[method]
        if all(abs(threshold - other) > _SAME * max(threshold, other) for other in seen):
            seen.append(threshold)
            found.append(method)
    return found
