"""Rewrites that make a classifier's graph smaller without changing what it computes; each returns how often it
applied.
"""

from __future__ import annotations

import re

import numpy as np
import onnx

from googlenet_edge.graph.editor import GraphEditor, attribute

__all__ = [
    "drop_identities",
    "fold_channel_order",
    "fold_subsampling",
    "fuse_lrn",
    "redundant_cast",
    "replace_cast_like",
    "shape_to_flatten",
    "use_global_pool",
]

_THROUGH_LRN = ("Reshape", "Squeeze", "Unsqueeze", "Pad", "AveragePool")


def replace_cast_like(editor: GraphEditor) -> int:
    """Turn CastLike, which hides from constant folding, into the Cast that it stands for."""
    count = 0
    for node in editor.nodes:
        if node.op_type == "CastLike" and (to := editor.element_type(node.input[1])):
            node.op_type = "Cast"
            del node.input[1:]
            node.attribute.append(onnx.helper.make_attribute("to", to))
            count += 1
    editor.refresh()
    return count


def fuse_lrn(editor: GraphEditor) -> int:
    """Fuse local response normalisation, which PyTorch exports as about ten nodes, into ONNX's own LRN.

    The pattern is ``x / (k + alpha * mean(x * x)) ** beta``, the mean over ``size`` neighbouring channels with zeros
    around (Krizhevsky et al. 2012, section 3.3); ONNX's LRN is the same, its alpha divided by size included.
    """
    count = 0
    for node in editor.nodes:
        if node.op_type != "Div":
            continue
        source = node.input[0]
        power = editor.producer(node.input[1], "Pow")
        exponent = _scalar(editor, power.input[1]) if power is not None else None
        add = editor.producer(power.input[0], "Add") if power is not None else None
        if add is None or exponent is None:
            continue
        bias, product = _scalar_operand(editor, add)
        mul = editor.producer(product, "Mul") if product else None
        if mul is None or bias is None:
            continue
        alpha, tensor = _scalar_operand(editor, mul)
        size = 0
        while tensor and (step := editor.producer(tensor, *_THROUGH_LRN)) is not None:
            if step.op_type == "AveragePool":
                size = _pooled_channels(step)
            tensor = step.input[0]
        square = editor.producer(tensor, "Mul") if tensor else None
        if alpha is None or square is None or list(square.input) != [source, source] or size < 1 or size % 2 == 0:
            continue
        lrn = onnx.helper.make_node(
            "LRN", [source], [node.output[0]], name=node.name, alpha=alpha, beta=exponent, bias=bias, size=size
        )
        editor.insert_before(node, [lrn])
        editor.remove(node)
        count += 1
    editor.prune()
    return count


def _scalar(editor: GraphEditor, tensor: str) -> float | None:
    value = editor.constant(tensor)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def _scalar_operand(editor: GraphEditor, node: onnx.NodeProto) -> tuple[float | None, str | None]:
    """The constant of a two-input node and the name of its other input."""
    for index in (0, 1):
        value = _scalar(editor, node.input[index])
        if value is not None:
            return value, node.input[1 - index]
    return None, None


def _pooled_channels(pool: onnx.NodeProto) -> int:
    """How many channels a pool averages whose window lies along the (reshaped) channels only; 0 for another pool."""
    kernel = attribute(pool, "kernel_shape")
    unpadded = not any(attribute(pool, "pads", [0])) or bool(attribute(pool, "count_include_pad", 0))
    plain = all(step == 1 for step in attribute(pool, "strides", [1])) and unpadded
    return int(kernel[0]) if plain and len(kernel) >= 2 and all(size == 1 for size in kernel[1:]) else 0


def fold_subsampling(editor: GraphEditor) -> int:
    """Give the stride of an average pool of kernel 1, which averages nothing, to the convolution in front of it.

    The pool keeps every second row and column of what the convolution (and its ReLU) made; the convolution need not
    make the others. It also frees INT8 from a pool that its scales cannot pass.
    """
    count = 0
    for pool in editor.nodes:
        if pool.op_type != "AveragePool" or any(size != 1 for size in attribute(pool, "kernel_shape")):
            continue
        if any(attribute(pool, "pads", [0])) or attribute(pool, "ceil_mode", 0):
            continue
        relu = editor.producer(pool.input[0], "Relu")
        tensor = relu.input[0] if relu is not None else pool.input[0]
        conv = editor.producer(tensor, "Conv")
        seen_once = editor.sole_reader(tensor) is not None and editor.sole_reader(pool.input[0]) is not None
        if conv is None or not seen_once or attribute(conv, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            continue
        steps = attribute(pool, "strides", [1, 1])
        old = attribute(conv, "strides", [1] * len(steps))
        kept = [entry for entry in conv.attribute if entry.name != "strides"]
        kept.append(onnx.helper.make_attribute("strides", [a * b for a, b in zip(old, steps, strict=True)]))
        del conv.attribute[:]
        conv.attribute.extend(kept)
        editor.bypass(pool)
        # The tensors in front of the pool have another size now, and so another name; the last one is the pool's.
        if relu is not None:
            editor.rename_output(conv, tensor, editor.fresh(f"{tensor}.strided"))
            if editor.producer(pool.output[0]) is None and relu.output[0] == pool.input[0]:
                editor.rename_output(relu, relu.output[0], pool.output[0])
        elif editor.producer(pool.output[0]) is None:
            editor.rename_output(conv, conv.output[0], pool.output[0])
        count += 1
    return count


def fold_channel_order(editor: GraphEditor) -> int:
    """Fold a reordering of the channels into the weights of the convolutions that read it, which is exact."""
    count = 0
    for gather in editor.nodes:
        if gather.op_type != "Gather" or attribute(gather, "axis", 0) != 1:
            continue
        order = editor.constant(gather.input[1])
        shape = editor.shape(gather.input[0])
        readers = editor.readers(gather.output[0])
        if order is None or shape is None or shape[1] is None or editor.is_output(gather.output[0]) or not readers:
            continue
        order = order.reshape(-1) % shape[1]
        weights = [
            editor.constant(node.input[1]) if node.op_type == "Conv" and attribute(node, "group", 1) == 1 else None
            for node in readers
        ]
        if sorted(order.tolist()) != list(range(shape[1])) or any(weight is None for weight in weights):
            continue
        for node, weight in zip(readers, weights, strict=True):
            # conv(x[:, order]) sums weight[:, i] * x[:, order[i]]: weight i belongs to channel order[i] of x.
            if weight is not None:
                editor.set_constant(node, 1, weight[:, np.argsort(order)])
        editor.bypass(gather)
        count += 1
    return count


def use_global_pool(editor: GraphEditor) -> int:
    """Write the mean over all rows and columns as what it is, a GlobalAveragePool."""
    count = 0
    for node in editor.nodes:
        shape = editor.shape(node.input[0]) if node.input else None
        if shape is None or len(shape) != 4:
            continue
        whole = False
        if node.op_type == "ReduceMean" and attribute(node, "keepdims", 1):
            axes = editor.constant(node.input[1]) if len(node.input) > 1 else attribute(node, "axes")
            whole = axes is not None and sorted(int(axis) % 4 for axis in np.atleast_1d(axes)) == [2, 3]
        elif node.op_type == "AveragePool" and None not in shape[2:]:
            unpadded = not any(attribute(node, "pads", [0])) and attribute(node, "auto_pad", "NOTSET") in (
                "NOTSET",
                "VALID",
            )
            whole = unpadded and tuple(attribute(node, "kernel_shape")) == shape[2:]
        if whole:
            node.op_type = "GlobalAveragePool"
            del node.attribute[:]
            del node.input[1:]
            count += 1
    editor.refresh()
    return count


def shape_to_flatten(editor: GraphEditor) -> int:
    """Write a Reshape or Squeeze from (N, C, H, W) to (N, C * H * W) as Flatten, which asks for no fixed batch."""
    count = 0
    for node in editor.nodes:
        if node.op_type not in ("Reshape", "Squeeze"):
            continue
        before, after = editor.shape(node.input[0]), editor.shape(node.output[0])
        if before is None or after is None or len(before) < 3 or len(after) != 2 or None in before[1:]:
            continue
        if after[1] != int(np.prod([size for size in before[1:] if size is not None])):
            continue
        if re.fullmatch(r"(reshape|squeeze)(_\d+)?", node.name):
            # Named after the operator that it was, for want of a module.
            node.name = ""
            if not editor.is_output(node.output[0]):
                editor.rename_output(node, node.output[0], editor.fresh("flatten"))
        node.op_type = "Flatten"
        del node.input[1:]
        del node.attribute[:]
        node.attribute.append(onnx.helper.make_attribute("axis", 1))
        count += 1
    editor.refresh()
    return count


def drop_identities(editor: GraphEditor) -> int:
    """Remove Identity, Dropout as it is at inference, and casts that only widen on the way to another cast."""
    count = 0
    for node in editor.nodes:
        if node.op_type in ("Identity", "Dropout") and not (len(node.output) > 1 and editor.readers(node.output[1])):
            count += editor.bypass(node)
        elif node.op_type == "Cast" and redundant_cast(editor, node):
            first = editor.producer(node.input[0], "Cast")
            if first is None or editor.element_type(node.input[0]) == attribute(node, "to"):
                count += editor.bypass(node)
            else:
                node.input[0] = first.input[0]
                editor.refresh()
                count += 1
    editor.prune()
    return count


def redundant_cast(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Tell whether a Cast changes nothing, or reads a Cast to a type that held every value: one of the two can go.

    A pair that narrows first (float32 to float16 and back) rounds on purpose, and stays.
    """
    if editor.element_type(node.input[0]) == attribute(node, "to"):
        return True
    first = editor.producer(node.input[0], "Cast")
    source = editor.element_type(first.input[0]) if first is not None else 0
    if first is None or not source:
        return False
    as_numpy = onnx.helper.tensor_dtype_to_np_dtype
    return bool(np.can_cast(as_numpy(source), as_numpy(attribute(first, "to")), "safe"))
