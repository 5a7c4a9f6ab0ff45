"""Round weights so that the layer's output changes least, not each weight by itself.

Rounding every weight to the nearest level is best only if the layer's inputs have nothing to do with each other. The
pixels of a patch and the channels of a ReLU do: what rounding one weight adds, the weights that are still to be rounded
can take back. With H = E[x x^T], the second moments of the layer's inputs, the squared error of the output is
(w - q)^T H (w - q), and the weights are rounded one input after the other, each time spreading the error over those
that follow (GPTQ: Frantar et al. 2022, arXiv:2210.17323; the inputs of the largest moment first, as in its reference
implementation's ``act_order``). Scales stay those of :func:`~googlenet_edge.quantization.weights.quantize_weight`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.graph.editor import attribute
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.weights import LEVELS, QuantizedWeight
from googlenet_edge.types import ImageArray

__all__ = ["input_moments", "round_by_moments"]

FloatArray: TypeAlias = npt.NDArray[np.float32]

DAMPING: Final = 0.01
"""Added to each input's own moment, as a share of their mean: few images do not settle all correlations."""

_PATCHES_PER_IMAGE: Final = 256
_BLOCK: Final = 64
_BATCH: Final = 2
"""All tensors of so many images are in memory together, 20 MB of GoogLeNet's for each."""

_Window: TypeAlias = "tuple[str, tuple[int, ...], tuple[int, ...], tuple[int, ...]]"
"""Tensor, kernel, strides, pads: nodes that look at the same have the same moments."""


def input_moments(
    model: onnx.ModelProto,
    nodes: Sequence[str],
    images: ImageArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, FloatArray]:
    """Return E[x x^T], but for a factor, over patches x of each node's input: float32 (inputs, inputs), by node name.

    ``inputs`` is input channels x kernel height x kernel width, in the order of the node's weights. A node that looks
    at its input in another way than through an undilated window (or that is grouped) is left out.

    Args:
        model: The float32 graph.
        nodes: Names of Conv and Gemm nodes.
        images: Calibration crops, uint8 (N, H, W, 3) BGR.
        progress: Told how many images are done, and of how many.
    """
    by_name = {node.name: node for node in model.graph.node}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    windows: dict[_Window, list[str]] = {}
    for name in nodes:
        window = _window(by_name[name], shapes)
        if window is not None:
            windows.setdefault(window, []).append(name)
    tensors = sorted({tensor for tensor, *_ in windows})
    network = SimulatedNetwork(model, show=tensors)
    random = np.random.default_rng(0)
    sums: dict[_Window, FloatArray] = {}
    counts = dict.fromkeys(windows, 0)
    units: dict[_Window, int] = {}
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        values = network.tensors(batch)
        for window in windows:
            patches = _patches(values[window[0]], window, random)
            # Only the proportions of the moments count. Values around 1 cannot overflow; a power of two rounds nothing.
            amax = float(np.abs(patches).max(initial=0.0))
            if amax > 0:
                units.setdefault(window, math.frexp(amax)[1])
            patches = np.ldexp(patches, -units.get(window, 0))
            moments = patches.T @ patches
            if window in sums:
                sums[window] += moments
            else:
                sums[window] = moments
            counts[window] += len(patches)
        if progress is not None:
            progress(start + len(batch), len(images))
    for window, count in counts.items():
        sums[window] /= np.float32(count)
    return {name: sums[window] for window, names in windows.items() for name in names}


def round_by_moments(weight: FloatArray, quantized: QuantizedWeight, moments: FloatArray) -> QuantizedWeight:
    """Return the weight, float32 (output channels, ...), as int8 with the scales of ``quantized``.

    ``moments`` is that of :func:`input_moments` for the weight's node.
    """
    flat = weight.reshape(len(weight), -1).astype(np.float32)
    order = np.argsort(-np.diag(moments), kind="stable")
    inverse = _inverse_root(moments[np.ix_(order, order)])
    left = flat[:, order]
    scale = quantized.scales.astype(np.float32)
    rounded = np.zeros_like(left)
    inputs = left.shape[1]
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        errors = np.zeros((len(left), stop - start), np.float32)
        for index in range(start, stop):
            rounded[:, index] = np.clip(np.rint(left[:, index] / scale), -LEVELS, LEVELS)
            errors[:, index - start] = (left[:, index] - rounded[:, index] * scale) / inverse[index, index]
            left[:, index + 1 : stop] -= np.outer(errors[:, index - start], inverse[index, index + 1 : stop])
        left[:, stop:] -= errors @ inverse[start:stop, stop:]
    values = np.empty_like(rounded)
    values[:, order] = rounded
    return QuantizedWeight(values.astype(np.int8).reshape(weight.shape), quantized.scales)


def _inverse_root(moments: FloatArray) -> FloatArray:
    """Return the upper triangular U with U^T U the inverse of the damped moments."""
    damped = moments.astype(np.float64)
    mean = float(np.diag(damped).mean())
    damped[np.diag_indices_from(damped)] += DAMPING * mean if mean > 0 else 1.0
    return np.asarray(np.linalg.cholesky(np.linalg.inv(damped)).T, np.float32)


def _window(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> _Window | None:
    if node.op_type == "Gemm":
        return node.input[0], (), (), ()
    kernel = shapes.get(node.input[1], ())[2:]
    plain = attribute(node, "group", 1) == 1 and attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    if len(kernel) != 2 or not plain or set(attribute(node, "dilations", (1, 1))) != {1}:
        return None
    return node.input[0], kernel, tuple(attribute(node, "strides", (1, 1))), tuple(attribute(node, "pads", (0,) * 4))


def _patches(values: FloatArray, window: _Window, random: np.random.Generator) -> FloatArray:
    """Return up to 256 patches an image, chosen at random: float32 (patches, inputs)."""
    _, kernel, strides, pads = window
    if not kernel:
        return values
    top, left, bottom, right = pads
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)))
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))[:, :, :: strides[0], :: strides[1]]
    count, _, height, width = views.shape[:4]
    places = count * height * width
    chosen = random.choice(places, min(places, _PATCHES_PER_IMAGE * count), replace=False)
    image, rest = np.divmod(chosen, height * width)
    row, column = np.divmod(rest, width)
    return np.asarray(views[image, :, row, column].reshape(len(chosen), -1))
