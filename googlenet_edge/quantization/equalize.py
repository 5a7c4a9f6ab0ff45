"""Make the channels of a tensor alike in range, so that one scale for all of them serves each of them.

An INT8 activation has one scale, set by its loudest channel; a channel that reaches a tenth of that is left with a
tenth of the levels. But the range of a channel can be chosen: what a convolution makes larger, the next one can take
back, and neither ReLU, nor max pooling, nor concat in between minds a factor above 0. The float32 network stays what it
was, but for float rounding (cross-layer equalization: Nagel et al. 2019, arXiv:1906.04721, section 4.1; here for the
ranges of the activations, whose scale per tensor loses more than the weights' scale per output channel).

Equal ranges are not the goal by themselves: the factors come back in the weights of the next convolution, which share a
scale across these channels. ``strength`` 0 changes nothing, 1 makes all ranges equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import InputError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.quantization.placement import quantizable_nodes, scale_groups

__all__ = ["equalize"]

_LARGEST_FACTOR: Final = 16.0
"""A channel that was hardly seen to open may open wider."""

_PASSING: Final = ("Relu", "MaxPool", "Concat")


def equalize(model: onnx.ModelProto, ranges: Mapping[str, Sequence[float]], strength: float) -> onnx.ModelProto:
    """Return a float32 graph with the same logits, whose tensors have channels of similar ranges.

    Only a tensor that comes from convolutions through ReLU, max pooling and concat, and goes through max pooling to
    convolutions and nowhere else, can be equalized; all others stay as they are. Names stay, but for the constants of
    convolutions that share one.

    Args:
        model: A simplified float32 graph; it is not changed.
        ranges: The largest ``|x|`` to reckon with in each channel, (channels,), by the tensor of each scale group.
        strength: 0 to 1.

    Raises:
        InputError: The strength is out of its range, or a tensor has another number of channels than ranges.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"strength: got {strength}, expected 0 to 1")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    editor = GraphEditor(result)
    able = set(quantizable_nodes(result))
    for group in scale_groups(result):
        makers = _makers(editor, group.tensor, able)
        readers = list(_readers(editor, group.tensor, able))
        if strength == 0 or not makers or not readers or None in makers or None in readers:
            continue
        factors = _factors(np.asarray(ranges[group.tensor], np.float64), strength)
        start = 0
        for maker in makers:
            assert maker is not None  # noqa: S101 - none is, see above
            start += _scale_output(editor, maker, factors[start:])
        if start != len(factors):
            raise InputError(f"ranges of {group.tensor!r}: got {len(factors)}, expected one a channel, {start}")
        for reader in readers:
            assert reader is not None  # noqa: S101 - see above
            weight = _constant(editor, reader, 1)
            editor.set_constant(reader, 1, weight / factors.reshape(1, -1, 1, 1).astype(np.float32))
    editor.prune()
    return result


def _factors(ranges: npt.NDArray[np.float64], strength: float) -> npt.NDArray[np.float32]:
    """What each channel is multiplied by: 1 for the loudest."""
    loudest = float(ranges.max(initial=0.0))
    if not loudest > 0:
        return np.ones(len(ranges), np.float32)
    ratio = loudest / np.maximum(ranges, loudest / _LARGEST_FACTOR)
    return np.asarray(ratio**strength, np.float32)


def _makers(editor: GraphEditor, tensor: str, able: set[str]) -> list[onnx.NodeProto | None]:
    """The convolutions whose outputs, one after the other, are the channels of a tensor; None for anything else."""
    node = editor.producer(tensor)
    if node is None:
        return [None]
    if node.op_type == "Conv":
        return [node if _plain(editor, node) and node.name in able else None]
    if node.op_type not in _PASSING or (node.op_type == "Concat" and attribute(node, "axis") != 1):
        return [None]
    if any(editor.sole_reader(name) is None for name in node.input):
        return [None]
    return [maker for name in node.input for maker in _makers(editor, name, able)]


def _readers(editor: GraphEditor, tensor: str, able: set[str]) -> Iterator[onnx.NodeProto | None]:
    """The convolutions that read a tensor or a max pool of it; None for anything else that sees it."""
    if editor.is_output(tensor):
        yield None
    for node in editor.readers(tensor):
        if node.op_type == "MaxPool" and len(node.output) == 1:
            yield from _readers(editor, node.output[0], able)
        else:
            yield node if node.op_type == "Conv" and _plain(editor, node) and node.name in able else None


def _plain(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Whether a convolution is one over planes, of all channels, with constants for weights and bias."""
    constants = [editor.constant(name) for name in node.input[1:] if name]
    weight = constants[0]
    plain = weight is not None and weight.ndim == 4 and attribute(node, "group", 1) == 1
    return plain and all(value is not None for value in constants)


def _scale_output(editor: GraphEditor, node: onnx.NodeProto, factors: npt.NDArray[np.float32]) -> int:
    """Multiply the output channels of a convolution by the first of the factors; return how many it has."""
    weight = _constant(editor, node, 1)
    count = len(weight)
    own = factors[:count]
    if len(own) < count:
        raise InputError(f"ranges: got too few for the output of {node.name!r}, which has {count} channels")
    editor.set_constant(node, 1, weight * own.reshape(-1, 1, 1, 1))
    if len(node.input) > 2 and node.input[2]:
        editor.set_constant(node, 2, _constant(editor, node, 2) * own)
    return count


def _constant(editor: GraphEditor, node: onnx.NodeProto, index: int) -> npt.NDArray[np.float32]:
    return np.asarray(editor.constant(node.input[index]), np.float32)
