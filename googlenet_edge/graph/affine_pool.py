"""Fold a per-channel scale and shift through the last average pool into the linear layer behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.graph.affine import Affine, affine_of
from googlenet_edge.graph.editor import GraphEditor, attribute

__all__ = ["fold_affine_through_pool"]


def fold_affine_through_pool(editor: GraphEditor) -> int:
    """Fold affine -> mean over space -> flatten -> linear into the linear layer; count them."""
    count = 0
    for node in editor.nodes:
        affine = affine_of(editor, node)
        linear = _linear_behind_mean(editor, node.output[0]) if affine is not None else None
        if affine is not None and linear is not None and _scale_linear(editor, linear, affine):
            # What lies between has other values than before: other names, so that no one takes them for the same.
            between, tensor = [], node.output[0]
            while (reader := editor.sole_reader(tensor)) is not None and reader != linear:
                between.append(reader)
                tensor = reader.output[0]
            editor.redirect(node.output[0], affine.source)
            editor.remove(node)
            for reader in between:
                editor.rename_output(reader, reader.output[0], editor.fresh(f"{reader.output[0]}.unscaled"))
            count += 1
    return count


def _linear_behind_mean(editor: GraphEditor, tensor: str) -> onnx.NodeProto | None:
    """Follow mean over space and flatten, each seen by no one else, to the Gemm or MatMul that reads them."""
    averaged = False
    while (node := editor.sole_reader(tensor)) is not None:
        if node.op_type in ("Gemm", "MatMul"):
            first = node.input[0] == tensor and not attribute(node, "transA", 0)
            return node if averaged and first else None
        if node.input[0] != tensor or not _keeps_affine(editor, node):
            return None
        averaged = averaged or node.op_type in ("GlobalAveragePool", "ReduceMean", "AveragePool")
        tensor = node.output[0]
    return None


def _keeps_affine(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Tell whether the node takes a mean within channels or only reshapes (N, C, ...) to (N, features) in order."""
    shape = editor.shape(node.input[0])
    match node.op_type:
        case "GlobalAveragePool" | "Identity":
            return True
        case "ReduceMean":
            axes = editor.constant(node.input[1]) if len(node.input) > 1 else attribute(node, "axes")
            if axes is None or shape is None:
                return False
            return all(int(axis) % len(shape) >= 2 for axis in np.atleast_1d(axes))
        case "AveragePool":
            # A mean over padded zeros is no mean of the channel's values.
            unpadded = not any(attribute(node, "pads", [0])) and attribute(node, "auto_pad", "NOTSET") in (
                "NOTSET",
                "VALID",
            )
            return not attribute(node, "count_include_pad", 0) or unpadded
        case "Flatten":
            return bool(attribute(node, "axis", 1) == 1)
        case "Squeeze":
            axes = editor.constant(node.input[1]) if len(node.input) > 1 else None
            return (
                axes is not None
                and shape is not None
                and all(int(axis) % len(shape) >= 2 for axis in np.atleast_1d(axes))
            )
        case "Reshape":
            # The first dimension is the batch on both sides; the rest keeps its order.
            target = editor.shape(node.output[0])
            if shape is None or target is None or len(target) != 2 or None in shape[1:]:
                return False
            return target[1] == int(np.prod([size for size in shape[1:] if size is not None]))
        case _:
            return False


def _scale_linear(editor: GraphEditor, linear: onnx.NodeProto, affine: Affine) -> bool:
    weight = editor.constant(linear.input[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32:
        return False
    rows_are_outputs = linear.op_type == "Gemm" and bool(attribute(linear, "transB", 0))
    matrix = weight.astype(np.float64) if rows_are_outputs else weight.astype(np.float64).T  # (outputs, features)
    per_channel, rest = divmod(matrix.shape[1], affine.scale.size)
    if rest or not per_channel:
        return False
    shift = matrix @ np.repeat(affine.shift, per_channel)
    matrix = matrix * np.repeat(affine.scale, per_channel)
    if linear.op_type == "Gemm":
        has_bias = len(linear.input) > 2 and bool(linear.input[2])
        bias = editor.constant(linear.input[2]) if has_bias else np.zeros(1)
        if bias is None or attribute(linear, "alpha", 1.0) != 1.0 or attribute(linear, "beta", 1.0) != 1.0:
            return False
        total = (bias.astype(np.float64).reshape(-1) + shift).astype(np.float32)
        if has_bias:
            editor.set_constant(linear, 2, total)
        else:
            linear.input[2:] = [editor.add_constant(f"{linear.input[1].removesuffix('.weight')}.bias", total)]
            editor.refresh()
    else:
        add = _bias_after(editor, linear)
        if add is None:
            return False
        node, index, bias = add
        editor.set_constant(node, index, (bias.astype(np.float64) + shift).astype(np.float32))
    editor.set_constant(linear, 1, (matrix if rows_are_outputs else matrix.T).astype(np.float32))
    return True


def _bias_after(editor: GraphEditor, linear: onnx.NodeProto) -> tuple[onnx.NodeProto, int, npt.NDArray[Any]] | None:
    """The Add of a constant vector behind a MatMul; one of zeros is put there if there is none."""
    output = linear.output[0]
    node = editor.sole_reader(output, "Add")
    if node is None:
        if editor.is_output(output):
            return None
        features = editor.constant(linear.input[1])
        if features is None:
            return None
        zeros = np.zeros(features.shape[1], np.float32)
        inner = editor.fresh(f"{output}.product")
        linear.output[0] = inner
        bias_name = editor.add_constant(f"{output}.bias", zeros)
        node = onnx.helper.make_node("Add", [inner, bias_name], [output], name=f"{linear.name}.add")
        position = next(i for i, other in enumerate(editor.graph.node) if other == linear)
        editor.graph.node.insert(position + 1, node)
        editor.refresh()
        node = editor.producer(output)
    if node is None:
        return None
    for index in (0, 1):
        value = editor.constant(node.input[index])
        if value is not None and value.size == max(value.shape, default=0):
            return node, index, value
    return None
