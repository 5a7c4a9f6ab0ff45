"""FP32 to FP16: a graph in which every tensor's type is written down, as strongly typed TensorRT networks want it.

``image`` stays uint8, ``logits`` and ``probabilities`` float32. Between them every tensor is float16, but for those of
the nodes that :mod:`~googlenet_edge.graph.half_plan` leaves in FP32; a Cast stands wherever the type changes, one for
each tensor and type. Tensors that stay keep their names; ``x.half`` is ``x`` in FP16 where both types are there,
``x.float`` is it in FP32.

The pass is our own, because the converters at hand (ONNX Runtime's, and onnxconverter-common's that it comes from) clip
a weight that is too large and lift one that is too small, to what they hold for FP16's ends, where a debug message at
most says so; and they know nothing of calibrated ranges, nor that int8 weights belong to the scale they were made with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.half_check import (
    HALF_MAX,
    SCALE_FLOOR,
    HalfReport,
    RangeNote,
    WeightLoss,
    check_ranges,
    round_scale_to_half,
    rounded_scale,
    rounded_weight,
)
from googlenet_edge.graph.half_plan import FLOAT_OPERATORS, HalfPlan, float_tensors, plan_half
from googlenet_edge.graph.simplify import infer_shapes, name_nodes
from googlenet_edge.graph.store import check_graph, load_graph, opset_of

__all__ = [
    "FLOAT_OPERATORS",
    "HALF_MAX",
    "SCALE_FLOOR",
    "HalfReport",
    "RangeNote",
    "WeightLoss",
    "convert_to_half",
    "round_scale_to_half",
    "to_half",
]

_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
_SCALED = ("QuantizeLinear", "DequantizeLinear")
_OPSET_OF_HALF_SCALES = 19
_TYPELESS = ("Shape", "Size")
"""They read no values, so no cast is worth while."""


def to_half(
    model: onnx.ModelProto, *, keep: Collection[str] = (), amax: Mapping[str, float] | None = None
) -> onnx.ModelProto:
    """Return the FP16 form of a simplified FP32 graph, with or without Q/DQ pairs; the one passed in is not changed.

    ``keep`` names nodes that stay in FP32. ``amax`` is the largest absolute value of each calibrated tensor by its name
    in ``model``. Raises :class:`GraphError` for a weight, scale or range that FP16 cannot hold, and names it.
    """
    return convert_to_half(model, keep=keep, amax=amax)[0]


def convert_to_half(
    model: onnx.ModelProto, *, keep: Collection[str] = (), amax: Mapping[str, float] | None = None
) -> tuple[onnx.ModelProto, HalfReport]:
    """Do what :func:`to_half` does, and also say which tensors are float16 and what rounding takes from the weights."""
    source = load_graph(model)
    name_nodes(source)
    infer_shapes(source)
    plan = plan_half(source, keep)
    makers = _half_values(source, plan)
    notes = check_ranges(source, amax or {}, makers)
    types = float_tensors(source)
    float_nodes = tuple(
        node.name
        for node in source.graph.node
        if node.name not in plan.half_nodes and any(name in types for name in node.output)
    )
    conversion = _Conversion(source, plan)
    converted = conversion.run()
    check_graph(converted, "FP16 graph")
    half = float_tensors(converted, _HALF)
    return converted, HalfReport(
        half_tensors=tuple(name for node in converted.graph.node for name in node.output if name in half),
        float_nodes=float_nodes,
        weights=tuple(conversion.losses),
        near_overflow=notes,
        unchecked=tuple(name for name in makers if name not in (amax or {})),
    )


def _half_values(model: onnx.ModelProto, plan: HalfPlan) -> dict[str, str]:
    """The tensors whose values FP16 is to hold, and who makes them: made in FP16, or made in FP32 and read in FP16."""
    types = float_tensors(model)
    read = {
        name
        for node in model.graph.node
        for index, name in enumerate(node.input)
        if name in types and plan.reads_half(node, index)
    }
    return {
        name: node.name
        for node in model.graph.node
        for name in node.output
        if name in types and (node.name in plan.half_nodes or name in read)
    }


class _Conversion:
    """One run of the pass over a graph whose shapes are inferred."""

    def __init__(self, model: onnx.ModelProto, plan: HalfPlan) -> None:
        self.types = float_tensors(model)
        self.losses: list[WeightLoss] = []
        self._editor = GraphEditor(model)
        self._plan = plan
        self._constants = {tensor.name for tensor in model.graph.initializer}
        self._names: dict[tuple[str, int], str] = {}
        self._made: dict[str, str] = {}
        self._taken = self._constants | {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._nodes: list[onnx.NodeProto] = []
        # An initializer keeps its name in the one type that is wanted of it, or in FP32 if both are.
        self._mixed = self._constants & {
            name
            for node in model.graph.node
            for index, name in enumerate(node.input)
            if name in self.types and not plan.reads_half(node, index)
        }

    def run(self) -> onnx.ModelProto:
        """Return the model in FP16."""
        model, graph = self._editor.model, self._editor.graph
        for node in self._editor.nodes:
            self._convert(node)
        del graph.node[:]
        graph.node.extend(self._nodes)
        self._editor.prune()
        infer_shapes(model)
        return model

    def _convert(self, old: onnx.NodeProto) -> None:
        node = onnx.NodeProto()
        node.CopyFrom(old)
        half = node.name in self._plan.half_nodes
        if half and node.op_type in _SCALED and opset_of(self._editor.model) < _OPSET_OF_HALF_SCALES:
            raise GraphError(
                f"node {node.name!r} ({node.op_type}): got opset {opset_of(self._editor.model)}, expected "
                f"{_OPSET_OF_HALF_SCALES} or later, the first with FP16 scales; export the network with it"
            )
        for index, name in enumerate(old.input):
            if name in self.types and (old.op_type not in _TYPELESS or name in self._constants):
                node.input[index] = self._read(name, _HALF if self._plan.reads_half(old, index) else _FLOAT, old, index)
            elif name in self.types:
                node.input[index] = self._made[name]
        self._nodes.append(node)
        for index, name in enumerate(old.output):
            if name not in self.types:
                continue
            if half and self._editor.is_output(name):
                node.output[index] = self._fresh(f"{name}.half")
                self._cast(node.output[index], name, _FLOAT)
                self._names[name, _FLOAT] = name
            self._names[name, _HALF if half else _FLOAT] = self._made[name] = node.output[index]
        if half and node.op_type == "Cast":
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("to", _HALF))

    def _read(self, name: str, wanted: int, node: onnx.NodeProto, index: int) -> str:
        """Return the name of a tensor in the type that a node wants; a cast or a copy is made where there is none."""
        if (name, wanted) not in self._names:
            if name in self._constants:
                self._names[name, wanted] = self._half_constant(name, node, index) if wanted == _HALF else name
            else:
                target = self._fresh(f"{name}.{'half' if wanted == _HALF else 'float'}")
                self._cast(self._made.get(name, name), target, wanted)
                self._names[name, wanted] = target
        return self._names[name, wanted]

    def _half_constant(self, name: str, node: onnx.NodeProto, index: int) -> str:
        values = self._editor.constant(name)
        assert values is not None  # noqa: S101 - it is among the initializers
        if node.op_type in _SCALED and index == 1:
            rounded = rounded_scale(self._editor, node)
        else:
            rounded, loss = rounded_weight(name, values.astype(np.float32, copy=False), node)
            self.losses.append(loss)
        target = self._fresh(f"{name}.half") if name in self._mixed else name
        tensor = numpy_helper.from_array(rounded, target)
        if target == name:
            next(item for item in self._editor.graph.initializer if item.name == name).CopyFrom(tensor)
        else:
            self._editor.graph.initializer.append(tensor)
        return target

    def _cast(self, source: str, target: str, element: int) -> None:
        name = "output.cast" if target == "logits" else target
        self._nodes.append(onnx.helper.make_node("Cast", [source], [target], name=name, to=element))

    def _fresh(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name
