"""How much of a graph is INT8, and whether TensorRT's rules of explicit quantization accept it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["Inspection", "inspect_graph"]

_COMPUTING = ("Conv", "Gemm", "MatMul")
_MOVING = ("Cast", "Concat", "Flatten", "Identity", "MaxPool", "Reshape", "Transpose")


@dataclass(frozen=True)
class Inspection:
    """What was found in a graph."""

    faults: tuple[str, ...]
    """Why TensorRT's rules refuse it; empty if they do not."""
    int8_nodes: int
    """Convolutions and matrix products whose data and weights both come from a DequantizeLinear."""
    computing_nodes: int
    """All convolutions and matrix products."""
    activation_types: tuple[str, ...]
    """Element types of the quantized activations."""
    bias: str
    """``"float"``, or the type that biases are quantized to."""
    float_types: tuple[str, ...]
    """Types of the scales, which are those that a strongly typed engine computes in between."""


def inspect_graph(model: onnx.ModelProto) -> Inspection:
    """Look at every Q/DQ node of a graph."""
    constants = _constants(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    faults: dict[str, int] = {}
    activation_types: set[str] = set()
    float_types: set[str] = set()
    biases = {node.input[2] for node in model.graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > 2}
    bias = "float"
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        source = makers.get(node.input[0])
        is_weight = node.input[0] in constants or (source is not None and source.input[0] in constants)
        zero_point = constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        quantized = _quantized_type(node, zero_point, constants.get(node.input[0]))
        scale = constants.get(node.input[1])
        if node.output[0] in biases:
            bias = quantized or bias
        elif node.op_type == "QuantizeLinear" and not is_weight:
            activation_types.add(quantized)
        for fault in _faults(node, quantized, zero_point, scale, is_weight=is_weight):
            faults[fault] = faults.get(fault, 0) + 1
        if scale is not None:
            float_types.add(str(scale.dtype))
    computing = [node for node in model.graph.node if node.op_type in _COMPUTING]
    int8 = [node for node in computing if all(_dequantized(name, makers) for name in node.input[:2])]
    if not int8:
        faults["no convolution or matrix product is quantized"] = 1
    return Inspection(
        faults=tuple(f"{count} x {fault}" if count > 1 else fault for fault, count in sorted(faults.items())),
        int8_nodes=len(int8),
        computing_nodes=len(computing),
        activation_types=tuple(sorted(activation_types)),
        bias=bias,
        float_types=tuple(sorted(float_types)),
    )


def _faults(node: onnx.NodeProto, quantized: str, zero_point: Any, scale: Any, *, is_weight: bool) -> list[str]:
    found = []
    if node.domain not in ("", "ai.onnx"):
        found.append(f"{node.op_type} of domain {node.domain}")
    if quantized and quantized != "int8":
        found.append(f"{quantized} {'constant' if is_weight else 'activation'}")
    if zero_point is not None and np.any(zero_point != 0):
        found.append("zero point that is not 0")
    if scale is None:
        found.append("scale that is no constant")
    elif not (np.isfinite(scale).all() and (scale > 0).all()):
        found.append("scale that is not above 0")
    elif scale.size > 1 and not is_weight:
        found.append("scale per channel for an activation")
    return found


def _quantized_type(node: onnx.NodeProto, zero_point: Any, value: Any) -> str:
    """The 8-bit type, as far as this node says it: of its zero point, or of the constant that it reads."""
    if zero_point is not None:
        return str(zero_point.dtype)
    if node.op_type == "DequantizeLinear":
        return "" if value is None else str(value.dtype)
    kinds = [attribute.i for attribute in node.attribute if attribute.name == "output_dtype" and attribute.i]
    return str(onnx.helper.tensor_dtype_to_np_dtype(kinds[0])) if kinds else "uint8"


def _dequantized(name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    """Does this tensor hold only what a DequantizeLinear made? Nodes that choose among numbers may stand between."""
    node = makers.get(name)
    if node is None or node.op_type == "DequantizeLinear":
        return node is not None
    sources = node.input if node.op_type == "Concat" else node.input[:1]
    return node.op_type in _MOVING and all(_dequantized(source, makers) for source in sources)


def _constants(model: onnx.ModelProto) -> dict[str, Any]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            tensors = [attribute.t for attribute in node.attribute if attribute.name == "value"]
            found |= {name: numpy_helper.to_array(tensor) for name, tensor in zip(node.output, tensors, strict=False)}
    # Some tools put a type conversion or a copy between a constant and its reader.
    for node in model.graph.node:
        if node.op_type in ("Identity", "Cast") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found
