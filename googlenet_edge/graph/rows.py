"""Which row of Table 1 each node of a graph belongs to, and what it costs."""

from __future__ import annotations

import math
import re

import onnx

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.graph.simplify import infer_shapes
from googlenet_edge.graph.store import GraphSource, load_graph
from googlenet_edge.types import NodeRow

__all__ = ["node_rows"]


def node_rows(source: GraphSource) -> tuple[NodeRow, ...]:
    """Return every node of a graph with its row of Table 1 and its multiply-accumulates for one frame.

    The row is the first part of the node's name (``inception3a`` of ``inception3a.branch1.conv``), ``"input"`` for the
    head and ``"output"`` for the tail. A node that is named after its operator only, such as ``flatten``, belongs to
    the row before it; in a graph made elsewhere, whose names say nothing, the row is ``"other"``. A convolution or
    matrix product costs its output elements times the products that each is a sum of; adding a bias counts nothing.

    Raises :class:`GraphError` if the shapes of the graph cannot be inferred.
    """
    model = load_graph(source)
    for value in (*model.graph.input, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 0 and not dims[0].HasField("dim_value"):
            dims[0].dim_value = 1
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value if model.graph.input else 1
    infer_shapes(model)
    editor = GraphEditor(model)
    made_by: dict[str, str] = {}
    rows = []
    for node in editor.nodes:
        row = _row_of(node) or next((made_by[name] for name in node.input if name in made_by), "other")
        made_by.update(dict.fromkeys(node.output, row))
        macs = _macs(editor, node) // max(batch, 1)
        rows.append(NodeRow(node=node.name or node.output[0], operator=node.op_type, row=row, macs=macs))
    return tuple(rows)


def _row_of(node: onnx.NodeProto) -> str | None:
    """The first part of a node's name; None if it is named after its operator, ``"other"`` if the name says nothing."""
    name = node.name.strip("/") or node.output[0].strip("/")
    first = re.split(r"[./]", name, maxsplit=1)[0]
    if first != name:
        return first
    operator = re.escape(node.op_type)
    if re.fullmatch(rf"{operator.lower()}(_\d+)?", name):
        return None
    if re.fullmatch(rf"(node_)?{operator}_?\d*|(n|node|val|_v)?_?\d+|", name) or name.startswith("node_"):
        return "other"
    return name


def _macs(editor: GraphEditor, node: onnx.NodeProto) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    weight, output = _shape(editor, node.input[1], node), _shape(editor, node.output[0], node)
    match node.op_type:
        case "Conv":  # weight (out, in / group, kernel...)
            return math.prod(output) * math.prod(weight[1:])
        case "ConvTranspose":  # weight (in, out / group, kernel...)
            return math.prod(_shape(editor, node.input[0], node)) * math.prod(weight[1:])
        case "Gemm":
            return math.prod(output) * weight[1 if attribute(node, "transB", 0) else 0]
        case _:
            return math.prod(output) * weight[-2 if len(weight) > 1 else 0]


def _shape(editor: GraphEditor, tensor: str, node: onnx.NodeProto) -> tuple[int, ...]:
    shape = editor.shape(tensor)
    if shape is None or None in shape:
        raise GraphError(
            f"node {node.name!r} ({node.op_type}): got shape {shape} for {tensor!r}, expected all its sizes; "
            f"fix the input's height and width"
        )
    return tuple(size for size in shape if size is not None)
