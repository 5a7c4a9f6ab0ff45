"""Where Q/DQ pairs stand, by the rules of explicit quantization, and a graph with them in place.

- Every INT8 convolution reads its data from a Q/DQ pair (int8, zero point 0, one scale) and its weights from a
  DequantizeLinear over an int8 initializer (one scale per output channel). Its bias stays float.
- The output of a concat has **one** pair, behind the concat: all that reads it shares the scale, and TensorRT moves the
  pair into the convolutions that feed the concat, which then write int8 side by side. A scale per branch would cost a
  requantizing kernel each.
- Max pooling and a Q/DQ pair may change places. Where a pool is the only reader of a tensor, the pair stands behind it,
  so that its range is that of the values that are really used. Where a pool reads a shared tensor (the fourth branch of
  an inception module), the pool reads the pair, and a second pair with the same scale, which changes nothing, stands
  behind.
- Everything else (the normalising head, average pooling, LRN, softmax) stays in floating point and reads tensors as
  they are. So does the last linear layer, unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.graph.simplify import infer_shapes
from googlenet_edge.quantization.weights import QuantizedWeight

__all__ = ["ScaleGroup", "pair_scales", "place", "quantizable_nodes", "scale_groups", "weight_of"]


@dataclass(frozen=True)
class ScaleGroup:
    """Tensors that share one scale."""

    tensor: str
    """The tensor that the pair stands behind, and whose range counts."""
    pooled: tuple[str, ...]
    """Max pools of it, which have the same scale."""
    readers: tuple[str, ...]
    """Names of the nodes that read any of them and can compute in INT8."""


def quantizable_nodes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the nodes that can compute in INT8, in order: Conv and Gemm with constant weights."""
    editor = GraphEditor(model)
    return tuple(node.name for node in editor.nodes if _quantizable(editor, node))


def weight_of(editor: GraphEditor, node: onnx.NodeProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the weights of a quantizable node, float32, output channels first."""
    weight = np.asarray(editor.constant(node.input[1]), np.float32)
    return weight.T if node.op_type == "Gemm" and not attribute(node, "transB", 0) else weight


def pair_scales(model: onnx.ModelProto) -> dict[str, float]:
    """Return the scale of each tensor that has a Q/DQ pair, by its name."""
    editor = GraphEditor(model)
    pairs = [node for node in editor.nodes if node.op_type == "QuantizeLinear"]
    return {node.input[0]: float(np.asarray(editor.constant(node.input[1]))) for node in pairs}


def scale_groups(model: onnx.ModelProto) -> tuple[ScaleGroup, ...]:
    """Return the tensors of a float32 graph that need a scale, grouped, in the order in which the graph makes them.

    Raises :class:`GraphError` if the graph has Q/DQ nodes already, or nothing to quantize.
    """
    editor = GraphEditor(model)
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in editor.nodes):
        raise GraphError(
            "got a graph with Q/DQ nodes, expected the float32 graph; quantize the graph of an fp32 bundle"
        )
    names = [node.name for node in editor.nodes]
    if "" in names or len(set(names)) < len(names):
        raise GraphError(
            "got a graph whose nodes have no names, or the same ones, expected each its own; simplify it first"
        )
    members: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for node in editor.nodes:
        if _quantizable(editor, node):
            tensor, pools = _shared_tensor(editor, node.input[0])
            pooled, readers = members.setdefault(tensor, ({}, {}))
            pooled.update(dict.fromkeys(pools))
            readers[node.name] = None
    if not members:
        raise GraphError("got a graph without convolutions, expected something to quantize")
    order = {name: index for index, node in enumerate(editor.nodes) for name in node.output}
    groups = [ScaleGroup(tensor, tuple(pooled), tuple(readers)) for tensor, (pooled, readers) in members.items()]
    return tuple(sorted(groups, key=lambda group: order.get(group.tensor, -1)))


def place(
    model: onnx.ModelProto,
    scales: Mapping[str, float],
    weights: Mapping[str, QuantizedWeight],
    *,
    biases: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] | None = None,
) -> onnx.ModelProto:
    """Return a copy of a float32 graph in which the nodes of ``weights`` compute in INT8.

    Args:
        model: The float32 graph; it is not changed.
        scales: The scale of each group that has such a node among its readers, by ``ScaleGroup.tensor``; above 0.
        weights: The int8 weights of each node that shall compute in INT8, by node name. All others stay as they are.
        biases: New biases, float32 (output channels,), by node name (see ``bias.py``).

    Raises:
        GraphError: A scale is missing or not above 0, or a name is not that of a node that can be quantized.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    groups = scale_groups(result)
    editor = GraphEditor(result)
    by_name = {node.name: node for node in editor.nodes}
    unknown = set(weights) - set(quantizable_nodes(result))
    if unknown:
        raise GraphError(
            f"got weights for {min(unknown)!r}, expected names of convolutions or Gemm nodes of this graph"
        )
    for group in groups:
        chosen = [name for name in group.readers if name in weights]
        if not chosen:
            continue
        scale = scales.get(group.tensor, 0.0)
        if not (np.isfinite(scale) and scale > 0):
            raise GraphError(
                f"scale of {group.tensor!r}: got {scale}, expected a number above 0; calibrate this graph anew"
            )
        _insert_pairs(editor, group, scale, [by_name[name] for name in chosen])
    for name, weight in weights.items():
        _set_weight(editor, by_name[name], weight)
        if biases and name in biases:
            _set_bias(editor, by_name[name], biases[name])
    editor.prune()
    infer_shapes(result)
    return result


def _quantizable(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    if node.op_type not in ("Conv", "Gemm"):
        return False
    weight = editor.constant(node.input[1])
    plain = node.op_type == "Conv" or (
        attribute(node, "alpha", 1.0) == 1.0
        and attribute(node, "beta", 1.0) == 1.0
        and not attribute(node, "transA", 0)
    )
    return weight is not None and weight.dtype == np.float32 and plain


def _shared_tensor(editor: GraphEditor, tensor: str) -> tuple[str, list[str]]:
    """Return the tensor whose scale an input of a convolution has, and the pools on the way, nearest to it first."""
    pools: list[str] = []
    pool = editor.producer(tensor, "MaxPool")
    while pool is not None and editor.sole_reader(pool.input[0]) is None:
        pools.insert(0, tensor)
        tensor = pool.input[0]
        pool = editor.producer(tensor, "MaxPool")
    return tensor, pools


def _insert_pairs(editor: GraphEditor, group: ScaleGroup, scale: float, readers: list[onnx.NodeProto]) -> None:
    """Give the chosen readers of a group, and the pools that lead to them, pairs to read from."""
    scale_name = editor.add_constant(f"{group.tensor}.scale", np.float32(scale))
    zero_name = editor.add_constant(f"{group.tensor}.zero_point", np.int8(0))
    leading = {
        tensor for reader in readers for tensor in (reader.input[0], *_way(editor, reader.input[0], group.tensor))
    }
    # From the shared tensor outward, so that a pool reads the pair before its own output gets one.
    for tensor in (group.tensor, *group.pooled):
        if tensor not in leading:
            continue
        following = [
            node for node in editor.readers(tensor) if node in readers or set(node.output) & leading & set(group.pooled)
        ]
        quantized, dequantized = editor.fresh(f"{tensor}.quantized"), editor.fresh(f"{tensor}.dequantized")
        make = onnx.helper.make_node
        pair = [
            make("QuantizeLinear", [tensor, scale_name, zero_name], [quantized], name=f"{tensor}.quantize"),
            make("DequantizeLinear", [quantized, scale_name, zero_name], [dequantized], name=f"{tensor}.dequantize"),
        ]
        names = {node.name for node in following}
        producer = editor.producer(tensor)
        position = next((i + 1 for i, node in enumerate(editor.graph.node) if node is producer or node == producer), 0)
        for offset, node in enumerate(pair):
            editor.graph.node.insert(position + offset, node)
        for node in editor.graph.node:
            if node.name in names:
                node.input[0] = dequantized
        editor.refresh()


def _way(editor: GraphEditor, tensor: str, start: str) -> list[str]:
    """The tensors from ``tensor`` up through max pools to ``start``."""
    way = []
    while tensor != start:
        pool = editor.producer(tensor, "MaxPool")
        if pool is None:
            break
        tensor = pool.input[0]
        way.append(tensor)
    return way


def _set_weight(editor: GraphEditor, node: onnx.NodeProto, weight: QuantizedWeight) -> None:
    expected = weight_of(editor, node).shape
    if weight.values.shape != expected:
        raise GraphError(f"weights of {node.name!r}: got int8 {weight.values.shape}, expected {expected}")
    base = f"{node.name}.weight"
    values = editor.add_constant(f"{base}.int8", weight.values)
    scales = editor.add_constant(f"{base}.scale", weight.scales)
    zeros = editor.add_constant(f"{base}.zero_point", np.zeros(len(weight.scales), np.int8))
    restored = editor.fresh(f"{base}.dequantized")
    dequantize = onnx.helper.make_node(
        "DequantizeLinear", [values, scales, zeros], [restored], name=f"{base}.dequantize", axis=0
    )
    position = next(i for i, other in enumerate(editor.graph.node) if other.name == node.name)
    editor.graph.node.insert(position, dequantize)
    target = next(other for other in editor.graph.node if other.name == node.name)
    target.input[1] = restored
    if target.op_type == "Gemm" and not attribute(target, "transB", 0):
        for entry in [entry for entry in target.attribute if entry.name == "transB"]:
            target.attribute.remove(entry)
        target.attribute.append(onnx.helper.make_attribute("transB", 1))
    editor.refresh()


def _set_bias(
    editor: GraphEditor, node: onnx.NodeProto, bias: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    target = next(other for other in editor.graph.node if other.name == node.name)
    if len(target.input) > 2 and target.input[2]:
        editor.set_constant(target, 2, bias.astype(np.float32))
    else:
        del target.input[2:]
        target.input.append(editor.add_constant(f"{node.name}.bias", bias.astype(np.float32)))
        editor.refresh()
