"""Fold per-channel scale and shift (batch norm, or a Mul or Add by constants) into the weights next to it.

Folding is done in float64 and rounded once. Backward, ``affine(conv(x))`` is a convolution with scaled weights.
Forward, ``linear(flatten(mean(affine(x))))`` is a linear layer with scaled columns, because a mean keeps an affine map.
Forward into a *padded* convolution would be wrong, as its zeros are padded after the affine map: this is why the
normalisation of the input stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.graph.editor import GraphEditor, attribute

__all__ = ["Affine", "affine_of", "fold_affine_into_producer", "replace_batch_norm"]

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """``y[:, c] = scale[c] * x[:, c] + shift[c]``; both have shape (channels,)."""

    source: str
    scale: Vector
    shift: Vector


def fold_affine_into_producer(editor: GraphEditor) -> int:
    """Fold every affine map whose input comes straight from a Conv or Gemm into that one's weights; count them."""
    count = 0
    for node in editor.nodes:
        affine = affine_of(editor, node)
        if affine is None or editor.sole_reader(affine.source) is None:
            continue
        producer = editor.producer(affine.source, "Conv", "Gemm")
        if producer is None or not _scale_producer(editor, producer, affine):
            continue
        # The producer now makes what the affine node made, so it writes the tensor of that name.
        editor.remove(node)
        editor.rename_output(producer, affine.source, node.output[0])
        count += 1
    return count


def _scale_producer(editor: GraphEditor, producer: onnx.NodeProto, affine: Affine) -> bool:
    weight = editor.constant(producer.input[1])
    has_bias = len(producer.input) > 2 and bool(producer.input[2])
    bias = editor.constant(producer.input[2]) if has_bias else None
    if weight is None or weight.dtype != np.float32 or (has_bias and bias is None):
        return False
    axis = 0
    bias_factor = 1.0
    if producer.op_type == "Gemm":
        axis = 0 if attribute(producer, "transB", 0) else 1
        bias_factor = attribute(producer, "beta", 1.0)
        if attribute(producer, "alpha", 1.0) != 1.0 or bias_factor != 1.0:
            return False
    channels = weight.shape[axis]
    if affine.scale.size != channels or (bias is not None and bias.size not in (1, channels)):
        return False
    along = [1] * weight.ndim
    along[axis] = channels
    scaled = weight.astype(np.float64) * affine.scale.reshape(along)
    shifted = (
        np.zeros(channels) if bias is None else bias.astype(np.float64).reshape(-1)
    ) * affine.scale + affine.shift
    editor.set_constant(producer, 1, scaled.astype(np.float32))
    # A bias that stands for none is one tensor of zeros for many convolutions; theirs differ from now on.
    base = producer.input[1].removesuffix(".weight")
    own = has_bias and len(editor.readers(producer.input[2])) == 1
    if own and (base == producer.input[1] or producer.input[2] == f"{base}.bias"):
        editor.set_constant(producer, 2, shifted.astype(np.float32))
    else:
        del producer.input[2:]
        producer.input.append(editor.add_constant(f"{base}.bias", shifted.astype(np.float32)))
        editor.refresh()
    return True


def replace_batch_norm(editor: GraphEditor) -> int:
    """Turn every batch norm that could not be folded (behind a Concat, say) into a Mul and an Add; count them."""
    count = 0
    for node in editor.nodes:
        affine = affine_of(editor, node) if node.op_type == "BatchNormalization" else None
        if affine is None:
            continue
        rank = len(editor.shape(affine.source) or (0, 0, 0, 0))
        around = [affine.scale.size] + [1] * (rank - 2)
        name, inner = node.name or node.output[0], editor.fresh(f"{node.output[0]}.mul")
        scale = editor.add_constant(f"{name}.scale", affine.scale.reshape(around).astype(np.float32))
        shift = editor.add_constant(f"{name}.shift", affine.shift.reshape(around).astype(np.float32))
        mul = onnx.helper.make_node("Mul", [affine.source, scale], [inner], name=f"{name}.mul")
        add = onnx.helper.make_node("Add", [inner, shift], [node.output[0]], name=f"{name}.add")
        editor.insert_before(node, (mul, add))
        editor.remove(node)
        count += 1
    return count


def affine_of(editor: GraphEditor, node: onnx.NodeProto) -> Affine | None:
    """Read a node as a per-channel affine map with constant factors, if it is one."""
    if node.op_type == "BatchNormalization":
        if attribute(node, "training_mode", 0) or any(node.output[1:]):
            return None
        values = [editor.constant(name) for name in node.input[1:5]]
        gamma, beta, mean, variance = (None if v is None else v.astype(np.float64) for v in values)
        if gamma is None or beta is None or mean is None or variance is None:
            return None
        scale = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return Affine(node.input[0], scale, beta - mean * scale)
    if node.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    index = 0 if editor.constant(node.input[0]) is not None else 1
    value = editor.constant(node.input[index])
    source = node.input[1 - index]
    shape = editor.shape(source)
    if value is None or value.dtype != np.float32 or shape is None or len(shape) < 2 or shape[1] is None:
        return None
    channels = shape[1]
    if index == 0 and node.op_type in ("Sub", "Div"):
        return None
    aligned = (1,) * (len(shape) - value.ndim) + value.shape
    if len(aligned) != len(shape) or value.size not in (1, channels) or (value.size > 1 and aligned[1] != channels):
        return None
    vector = np.broadcast_to(value.astype(np.float64).reshape(-1), (channels,)).copy()
    if node.op_type == "Div" and not vector.all():
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    scale = {"Mul": vector, "Div": 1.0 / np.where(vector == 0, 1.0, vector)}.get(node.op_type, one)
    shift = {"Add": vector, "Sub": -vector}.get(node.op_type, zero)
    return Affine(source, scale, shift)
