"""The range of every tensor of a graph, from those of the tensors that were observed.

TensorRT's calibration cache must have a line for every tensor: one that is missing is silently computed in float, or
with nonsense. Only what needs a scale was observed; the rest follows from the graph:

- What only moves or selects values (max pool, reshape, transpose, cast) has the range of its input.
- What a ReLU or a max pool reads has the range of what it writes: the two are one kernel with one scale in TensorRT.
- The branches of a concat and the concat share one scale, the largest of them.
- An image has 255, and scaling and shifting it by constants has the range that follows; softmax has 1.

What follows from nothing (the output of a convolution that no one quantizes, such as the logits) has to be observed:
:func:`tensors_to_observe` names those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx

from googlenet_edge.errors import CalibrationError
from googlenet_edge.graph.editor import GraphEditor

__all__ = ["all_ranges", "tensors_to_observe"]

# These hand on values as they are, or some of them.
_MOVES = frozenset(
    {"MaxPool", "GlobalMaxPool", "Flatten", "Reshape", "Transpose", "Cast", "Identity", "Dropout", "Squeeze",
     "Unsqueeze", "Slice", "Gather", "Split"}
)  # fmt: skip
# What these read shares the scale of what they write.
_FUSED = frozenset({"Relu", "Clip", "LeakyRelu"})
# A part says nothing about the whole.
_PARTS = frozenset({"Slice", "Split"})
_IMAGE_AMAX = 255.0


def all_ranges(model: onnx.ModelProto, observed: Mapping[str, float]) -> dict[str, float]:
    """Return the largest ``|x|`` of every floating-point tensor and of the image, in the order of the graph.

    ``observed`` has what is known, by tensor, 0 or more. Raises :class:`CalibrationError` if a tensor's range follows
    from nothing that is known; it names the tensor and the node that makes it.
    """
    editor = GraphEditor(model)
    found = _propagate(editor, observed)
    ranges = {}
    for tensor in _tensors(editor):
        if tensor not in found:
            node = editor.producer(tensor)
            maker = f"made by {node.op_type} {node.name!r}" if node is not None else "an input of the graph"
            raise CalibrationError(
                f"calibration cache: no range for tensor {tensor!r}, {maker}; TensorRT needs one for every tensor: "
                "observe it as well (tensors_to_observe names what is needed) and calibrate again"
            )
        ranges[tensor] = found[tensor]
    return ranges


def tensors_to_observe(model: onnx.ModelProto, tensors: Iterable[str]) -> tuple[str, ...]:
    """Return ``tensors``, and which others must be observed so that the ranges of all follow, in the graph's order."""
    editor = GraphEditor(model)
    wanted = dict.fromkeys(tensors, 1.0)
    while True:
        known = _propagate(editor, wanted)
        missing = next((tensor for tensor in _tensors(editor) if tensor not in known), None)
        if missing is None:
            break
        wanted[_end_of_way(editor, missing)] = 1.0
    order = {tensor: index for index, tensor in enumerate(_tensors(editor))}
    return tuple(sorted(wanted, key=lambda tensor: order.get(tensor, -1)))


def _end_of_way(editor: GraphEditor, tensor: str) -> str:
    """Follow a tensor to where its scale is decided: behind the ReLU, and behind the concat that it goes into."""
    while not editor.is_output(tensor):
        reader = editor.sole_reader(tensor, *_MOVES - _PARTS, *_FUSED, "Concat")
        if reader is None:
            break
        tensor = reader.output[0]
    return tensor


def _tensors(editor: GraphEditor) -> list[str]:
    """The tensors that depend on the image, in order: constants and what is computed of shapes need no range."""
    inputs = [value.name for value in editor.graph.input]
    seen = dict.fromkeys(inputs)
    for node in editor.nodes:
        if node.op_type not in ("Shape", "Size", "ConstantOfShape") and any(name in seen for name in node.input):
            seen.update(dict.fromkeys(name for name in node.output if name))
    return list(seen)


def _propagate(editor: GraphEditor, observed: Mapping[str, float]) -> dict[str, float]:
    """Carry the known ranges through the graph until nothing new follows."""
    known = dict(observed)
    for value in editor.graph.input:
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            known.setdefault(value.name, _IMAGE_AMAX)
    before = -1
    while before != len(known):
        before = len(known)
        for node in editor.nodes:
            _forward(editor, node, known)
        for node in reversed(editor.nodes):
            _backward(node, known)
    for node in editor.nodes:
        # The largest of all, also where a branch of a concat was observed by itself, for another reader.
        if node.op_type == "Concat" and node.output[0] in known:
            known[node.output[0]] = max(known[name] for name in (node.output[0], *node.input) if name in known)
    return known


def _forward(editor: GraphEditor, node: onnx.NodeProto, known: dict[str, float]) -> None:
    output = node.output[0]
    if output in known:
        return
    if node.op_type in _MOVES | _FUSED and node.input[0] in known:
        known.update(dict.fromkeys((name for name in node.output if name), known[node.input[0]]))
    elif node.op_type == "Concat" and all(name in known for name in node.input):
        known[output] = max(known[name] for name in node.input)
    elif node.op_type == "Softmax":
        known[output] = 1.0
    elif node.op_type in ("Mul", "Add") and len(node.input) == 2:
        for tensor, other in (tuple(node.input), tuple(reversed(node.input))):
            constant = editor.constant(other)
            if tensor in known and constant is not None:
                largest = float(np.abs(constant).max(initial=0.0))
                known[output] = known[tensor] * largest if node.op_type == "Mul" else known[tensor] + largest


def _backward(node: onnx.NodeProto, known: dict[str, float]) -> None:
    output = node.output[0]
    if output not in known:
        return
    if node.op_type in (_MOVES | _FUSED) - _PARTS:
        known.setdefault(node.input[0], known[output])
    elif node.op_type == "Concat":
        for name in node.input:
            known.setdefault(name, known[output])
