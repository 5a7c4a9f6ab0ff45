"""Which nodes of a graph compute in FP16 and which stay in FP32: the one decision that all of FP16 rests on.

FP32 stays, whatever is asked for:

- The head. A pixel is exact in FP16, but scale, shift and two results would be rounded: the network's input has 73.5 dB
  SQNR if only its result is rounded, and 63 to 65.5 dB if all is (over all 256 pixel values, with ImageNet's
  normalization). It costs nothing: TensorRT-RTX makes one kernel of the head, casts included, either way.
- Whatever sums, squares, raises or exponentiates outside a matrix product (:data:`FLOAT_OPERATORS`). Its intermediate
  values can exceed 65504 where neither what goes in nor what comes out does. TensorRT-RTX squares an LRN's input in
  that input's type: in FP16, 256 would do. A mean of 49 values may be their sum first. The casts join the kernels of
  these nodes, and a GoogLeNet has one such node, or three with LRN.
- Operators that ONNX does not define for FP16.

Convolutions and matrix products go to FP16: tensor cores sum the products in FP32 and round once.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import onnx

from googlenet_edge.errors import GraphError, UsageError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.store import opset_of

__all__ = ["FLOAT_OPERATORS", "HalfPlan", "float_tensors", "plan_half"]

_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16

FLOAT_OPERATORS = frozenset(
    ("Softmax", "LogSoftmax", "Softplus", "Exp", "Log", "Pow", "LRN", "LpNormalization", "MeanVarianceNormalization")
    + ("InstanceNormalization", "GroupNormalization", "LayerNormalization", "CumSum", "LpPool", "GlobalLpPool")
    + ("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceProd", "ReduceL1")
    + ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
)
"""Operators that compute in FP32 because of what they do inside."""

_IN_HEAD = frozenset(("Cast", "Transpose", "Mul", "Add", "Sub", "Div", "Gather"))

_SELECTING = frozenset(
    ("Relu", "MaxPool", "GlobalMaxPool", "Concat", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Gather")
    + ("Slice", "Split", "Identity", "Dropout")
)
"""Every value that they give is one that they were given, or 0: they never round."""

_SMALL_INTEGERS = frozenset((onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.BOOL))


@dataclass(frozen=True)
class HalfPlan:
    """Who computes in FP16."""

    half_nodes: frozenset[str]
    """Names of the nodes whose float32 tensors become float16."""
    float_inputs: frozenset[tuple[str, int]]
    """Inputs (node, index) of those nodes that ONNX wants in float32 all the same, such as the scales of a Resize."""

    def reads_half(self, node: onnx.NodeProto, index: int) -> bool:
        """Tell whether the node wants this input in float16, provided that it is a float at all."""
        return node.name in self.half_nodes and (node.name, index) not in self.float_inputs


def plan_half(model: onnx.ModelProto, keep: Collection[str] = ()) -> HalfPlan:
    """Decide for every node of an FP32 graph whether it computes in FP16.

    The graph's shapes must be inferred and its nodes named. ``keep`` names nodes that stay in FP32. Raises
    :class:`UsageError` if it names one that does not exist, :class:`GraphError` if the graph is not a simplified FP32
    graph.
    """
    editor = GraphEditor(model)
    types = float_tensors(model)
    _check_graph(editor)
    _check_keep(editor, keep)
    opset = opset_of(model)
    made_in_head: set[str] = set()
    half: set[str] = set()
    float_inputs: set[tuple[str, int]] = set()
    for node in editor.nodes:
        if not _computes(node, types):
            continue
        if _is_head(editor, node, made_in_head):
            made_in_head.update(node.output)
        elif node.name not in keep and node.op_type not in FLOAT_OPERATORS and _may_cast(node, model):
            refused = list(_refused_inputs(node, types, opset))
            if None not in refused:
                half.add(node.name)
                float_inputs.update((node.name, index) for index in refused if index is not None)
    return HalfPlan(frozenset(half - _between_floats(editor, half, types)), frozenset(float_inputs))


def float_tensors(model: onnx.ModelProto, element: int = _FLOAT) -> frozenset[str]:
    """Return the names of all tensors and initializers of an element type; the graph's shapes must be inferred."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    names = {value.name for value in values if value.type.tensor_type.elem_type == element}
    return frozenset(names | {tensor.name for tensor in graph.initializer if tensor.data_type == element})


def _computes(node: onnx.NodeProto, types: frozenset[str]) -> bool:
    """Whether a node makes floats, or makes integers of floats by a scale."""
    return any(name in types for name in node.output) or (
        node.op_type == "QuantizeLinear" and any(name in types for name in node.input)
    )


def _is_head(editor: GraphEditor, node: onnx.NodeProto, made_in_head: set[str]) -> bool:
    """Whether a node is one of those, elementwise, between the pixels and the network."""
    sources = [name for name in node.input if name and editor.constant(name) is None]
    pixels = {value.name for value in editor.graph.input}
    if node.op_type == "Cast":
        return pixels.issuperset(sources)
    return node.op_type in _IN_HEAD and bool(sources) and made_in_head.issuperset(sources)


def _may_cast(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """Whether a Cast to float may be one to float16: not if it casts integers that could be larger than 65504."""
    return node.op_type != "Cast" or any(
        node.input[0] in float_tensors(model, element) for element in (_FLOAT, *_SMALL_INTEGERS)
    )


def _refused_inputs(node: onnx.NodeProto, types: frozenset[str], opset: int) -> Iterator[int | None]:
    """The float inputs of a node that cannot be float16 by ONNX's definition of the operator; None for an output."""
    if node.op_type == "Cast":
        return
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError as error:
        raise GraphError(
            f"node {node.name!r}: got operator {node.domain}.{node.op_type}, expected one of ONNX's own"
        ) from error
    allowed = {entry.type_param_str: entry.allowed_type_strs for entry in schema.type_constraints}

    def takes_half(parameters: list[onnx.defs.OpSchema.FormalParameter], index: int) -> bool:
        declared = parameters[min(index, len(parameters) - 1)].type_str
        return "tensor(float16)" in allowed.get(declared, [declared])

    if not all(takes_half(list(schema.outputs), i) for i, name in enumerate(node.output) if name in types):
        yield None
    yield from (i for i, name in enumerate(node.input) if name in types and not takes_half(list(schema.inputs), i))


def _between_floats(editor: GraphEditor, half: set[str], types: frozenset[str]) -> set[str]:
    """Nodes that only select, with FP32 both before and behind them: going down and up again there would round."""
    behind: set[str] = set()
    for node in editor.nodes:
        makers = [editor.producer(name) for name in node.input if name in types and editor.constant(name) is None]
        if node.op_type in _SELECTING and all(
            maker is not None and (maker.name not in half or maker.name in behind) for maker in makers
        ):
            behind.add(node.name)
    between: set[str] = set()
    for node in reversed(editor.nodes):
        readers = [reader for name in node.output if name in types for reader in editor.readers(name)]
        if node.name in behind & half and (
            any(reader.name in between or (reader.name not in half and _computes(reader, types)) for reader in readers)
            or any(editor.is_output(name) for name in node.output)
        ):
            between.add(node.name)
    return between


def _check_graph(editor: GraphEditor) -> None:
    for element in (_HALF, onnx.TensorProto.BFLOAT16):
        found = sorted(float_tensors(editor.model, element))
        if found:
            kind = onnx.TensorProto.DataType.Name(element)
            raise GraphError(f"tensor {found[0]!r}: got {kind}, expected an FP32 graph; start from the exported one")
    for node in editor.nodes:
        if node.op_type == "Constant" or any(entry.HasField("g") or entry.graphs for entry in node.attribute):
            raise GraphError(
                f"node {node.name!r} ({node.op_type}): expected a simplified graph, without Constant nodes and control "
                f"flow; run simplify_onnx first"
            )


def _check_keep(editor: GraphEditor, keep: Collection[str]) -> None:
    if isinstance(keep, str):
        raise UsageError(f"keep: got the text {keep!r}, expected a collection of node names such as [{keep!r}]")
    names = {node.name for node in editor.nodes}
    for name in sorted(set(keep) - names):
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise UsageError(f"keep: got {name!r}, expected names of nodes of the graph{hint}")
