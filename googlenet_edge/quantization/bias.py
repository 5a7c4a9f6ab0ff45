"""Bias correction: quantizing shifts the mean of what a layer gives, and a bias can take that back for nothing.

Rounding errors do not average out: over many images a channel's mean moves by a constant, and so does all behind it.
Here the means of the float32 network are measured at each layer's output, and the quantized network's biases are
changed until its means are the same (empirical bias correction: Nagel et al. 2019, arXiv:1906.04721, section 4.2),
layer by layer in the order of the graph, because correcting one layer changes the next one's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.types import ImageArray

__all__ = ["corrected_biases", "depth_levels"]

FloatArray = npt.NDArray[np.float32]


def depth_levels(model: onnx.ModelProto, nodes: tuple[str, ...]) -> list[list[str]]:
    """Sort nodes by how many of them the longest way from the input passes; those of a level do not feed each other."""
    editor = GraphEditor(model)
    counted = set(nodes)
    depth: dict[str, int] = {}
    levels: list[list[str]] = []
    for node in editor.nodes:
        before = max((depth.get(name, 0) for name in node.input), default=0)
        own = before + (node.name in counted)
        depth.update(dict.fromkeys(node.output, own))
        if node.name in counted:
            levels.extend([] for _ in range(own - len(levels)))
            levels[own - 1].append(node.name)
    return levels


def corrected_biases(
    quantized: SimulatedNetwork,
    expected: Mapping[str, npt.NDArray[np.float64]],
    model: onnx.ModelProto,
    images: ImageArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, FloatArray]:
    """Return the biases, float32 (output channels,) by node, with which the layers' means are those of ``expected``.

    Args:
        quantized: The Q/DQ graph, opened with ``means_of`` the nodes of ``expected``.
        expected: Mean of each channel of each node's output in the float32 network over the same images.
        model: The Q/DQ graph, for its order and its biases.
        images: Calibration crops, uint8 (N, H, W, 3) BGR.
        progress: Told how many of the levels are done, and of how many.
    """
    editor = GraphEditor(model)
    nodes = tuple(name for name in expected if name in quantized.biases)
    own = {node.name: node.input[2] for node in editor.nodes if node.name in nodes}
    biases = {name: np.asarray(editor.constant(own[name]), np.float32) for name in nodes}
    levels = depth_levels(model, nodes)
    for index, level in enumerate(levels):
        found = quantized.channel_means(images, {quantized.biases[name]: biases[name] for name in nodes})
        for name in level:
            biases[name] = (biases[name] + (expected[name] - found[name])).astype(np.float32)
        if progress is not None:
            progress(index + 1, len(levels))
    return biases
