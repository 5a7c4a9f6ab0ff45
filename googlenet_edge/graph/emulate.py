"""The judge of FP16 on a machine without a GPU: the same graph in FP32, rounded to FP16 after every operation.

ONNX Runtime computes FP16 graphs in FP32 on the CPU and drops the casts that it puts around each operator for that: a
value of 96,000 passes as if FP16 could hold it. Here each float16 tensor ``x`` becomes a float32 one that is made by
Cast(FP16) and Cast(FP32), which ONNX Runtime keeps at every optimisation level: it is rounded, and it overflows to
infinity, as on a card. Weights, biases and scales hold the values that they have in FP16. It takes hardly longer than
the FP32 graph.

It is derived from the FP16 graph itself, so the two cannot disagree on which tensors are FP16. What it assumes:

- Inside one convolution or matrix product the sum is FP32, as tensor cores keep it, and rounds once, at its end. A
  kernel with an FP16 accumulator rounds more; TensorRT says neither which one it picks nor lets one choose.
- A card that fuses operators rounds less often than the graph says, so it is nearer to FP32 than this: after a
  convolution with Q/DQ pairs around it, for example, it goes from the INT32 sum to INT8 without FP16 between.
- Operators in FP32 (see :mod:`~googlenet_edge.graph.half_plan`) are exact but for FP32 rounding.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from googlenet_edge.errors import UsageError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.graph.half import to_half
from googlenet_edge.graph.half_plan import float_tensors
from googlenet_edge.graph.simplify import infer_shapes, name_nodes
from googlenet_edge.graph.store import check_graph, load_graph

__all__ = ["emulate_half"]

_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def emulate_half(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a float32 graph that computes in ONNX Runtime what the FP16 graph computes on a card.

    ``model`` is an FP32 graph, with or without Q/DQ pairs, that is first converted by :func:`to_half` with ``keep``; or
    an FP16 graph that :func:`to_half` gave, which is judged as it is written (then ``keep`` says nothing, and must be
    empty). Every float16 tensor of that graph is here a float32 tensor of the same name, rounded to FP16.
    """
    source = load_graph(model)
    infer_shapes(source)
    if not float_tensors(source, _HALF):
        source = to_half(source, keep=keep)
    elif keep:
        raise UsageError("keep: got names of nodes for a graph that is FP16 already, expected none")
    else:
        name_nodes(source)
    half = float_tensors(source, _HALF)
    floats = float_tensors(source, _FLOAT)
    graph = source.graph
    for tensor in graph.initializer:
        if tensor.data_type == _HALF:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    taken = half | floats | {name for node in graph.node for name in (*node.input, *node.output)}
    nodes: list[onnx.NodeProto] = []
    alias: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    for old in graph.node:
        if old.op_type == "Cast" and old.input[0] in half and old.output[0] in floats - outputs:
            # Up from FP16: the tensor is FP32 here already.
            alias[old.output[0]] = alias.get(old.input[0], old.input[0])
            continue
        node = onnx.NodeProto()
        node.CopyFrom(old)
        node.input[:] = [alias.get(name, name) for name in old.input]
        rounded = [(i, name) for i, name in enumerate(old.output) if name in half]
        if node.op_type == "Cast" and attribute(node, "to") == _HALF:
            # Its own rounding is what is wanted.
            node.output[0] = _fresh(f"{old.output[0]}.fp16", taken)
            nodes += [node, _cast(node.output[0], old.output[0], _FLOAT)]
            continue
        nodes.append(node)
        for index, name in rounded:
            node.output[index] = _fresh(f"{name}.exact", taken)
            low = _fresh(f"{name}.fp16", taken)
            nodes += [_cast(node.output[index], low, _HALF), _cast(low, name, _FLOAT)]
    del graph.node[:]
    graph.node.extend(nodes)
    name_nodes(source)
    GraphEditor(source).prune()
    infer_shapes(source)
    check_graph(source, "emulated FP16 graph")
    return source


def _cast(source: str, target: str, element: int) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=element)


def _fresh(wanted: str, taken: frozenset[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name
