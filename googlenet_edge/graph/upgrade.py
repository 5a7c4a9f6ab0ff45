"""Bring an ONNX graph made elsewhere to the operators and the file version that this package works with."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.version_converter

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.graph.simplify import infer_shapes, name_nodes
from googlenet_edge.graph.store import opset_of

__all__ = ["clean", "free_batch", "upgrade"]

_NEWEST_OPSET = 21
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def upgrade(model: onnx.ModelProto, opset: int, what: str) -> onnx.ModelProto:
    """Return the model at the given opset or at its own newer one; ``what`` begins messages.

    Raises :class:`GraphError` for operators that are not ONNX's own, and where there is no way up from an old version.
    """
    for node in model.graph.node:
        if node.domain not in _DOMAINS:
            raise GraphError(
                f"{what}: node {node.name or node.output[0]!r} is {node.domain}.{node.op_type}, expected ONNX's own "
                f"operators only; export the model without the optimisations of one runtime"
            )
    own = opset_of(model)
    if not 1 <= own <= _NEWEST_OPSET:
        raise GraphError(f"{what}: got opset {own}, expected 1 to {_NEWEST_OPSET}; export it with opset {opset}")
    clean(model, what)
    if own < opset:
        # The converter wants version 4 or later of the file format, in which initializers need not be inputs.
        model.ir_version = max(model.ir_version, 8)
        try:
            model = onnx.version_converter.convert_version(model, opset)
        except Exception as error:
            raise GraphError(
                f"{what}: cannot be brought from opset {own} to {opset}: {error}; export it with opset {opset}"
            ) from error
    if model.functions:
        raise GraphError(
            f"{what}: got local functions, expected plain operators; export the model with functions inlined"
        )
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    name_nodes(model)
    return model


def free_batch(editor: GraphEditor, what: str) -> None:
    """Let the first dimension of the only input, and of all that follows from it, vary.

    Reshapes to a fixed batch are mended. Raises :class:`GraphError` if the batch is still fixed somewhere.
    """
    graph = editor.graph
    dims = graph.input[0].type.tensor_type.shape.dim
    old = dims[0].dim_value
    for node in editor.nodes:
        if node.op_type == "Reshape" and editor.constant(node.input[0]) is None:
            target = editor.constant(node.input[1])
            if (
                target is not None
                and target.size > 1
                and target[0] == (old or 1)
                and not (attribute(node, "allowzero", 0) and 0 in target)
            ):
                # torch's exporter sets allowzero everywhere; without a 0 in the target it says nothing.
                for entry in [entry for entry in node.attribute if entry.name == "allowzero"]:
                    node.attribute.remove(entry)
                # 0 copies the batch from the input; -1 does so too, and also says so where the input's is not known.
                free = target.copy()
                free[0] = 0 if -1 in target else -1
                editor.set_constant(node, 1, free)
    dims[0].Clear()
    dims[0].dim_param = "N"
    # What the file says of shapes is for the fixed batch.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        infer_shapes(editor.model)
    except GraphError as error:
        raise GraphError(
            f"{what}: its batch size cannot be made free: {error}; export it with a dynamic batch"
        ) from error
    editor.refresh()


def clean(model: onnx.ModelProto, what: str) -> None:
    """Remove, in place, what old files have and nothing here needs: initializers as inputs, dropouts, training outputs.

    The version converter takes none of these, and ONNX Runtime is not safe with the last.
    """
    graph = model.graph
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    if len(inputs) != len(graph.input):
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in inputs]
        del graph.input[:]
        graph.input.extend(kept)
    editor = GraphEditor(model)
    for node in editor.nodes:
        if node.op_type in ("Dropout", "BatchNormalization", "MaxPool") and len(node.output) > 1:
            if any(name and (editor.readers(name) or editor.is_output(name)) for name in node.output[1:]):
                if node.op_type == "MaxPool":
                    continue
                raise GraphError(
                    f"{what}: node {node.name or node.output[0]!r} ({node.op_type}) is in training mode: expected a "
                    f"graph exported for inference"
                )
            del node.output[1:]
        if node.op_type == "Dropout":
            training = editor.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.array(False)
            if training is None or bool(np.any(training)):
                raise GraphError(
                    f"{what}: node {node.name or node.output[0]!r} (Dropout) is in training mode: expected a graph "
                    f"exported for inference"
                )
            editor.refresh()
            editor.bypass(node)
    editor.refresh()
    # Also for old files: names that repeat would be mixed up later.
    name_nodes(model)
