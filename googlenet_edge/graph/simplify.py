"""Simplify an exported graph: onnxsim folds the constants, our own passes fold what it leaves."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import onnx

from googlenet_edge.errors import GraphError, MissingPackageError
from googlenet_edge.graph import affine, passes
from googlenet_edge.graph.affine_pool import fold_affine_through_pool
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.store import GraphSource, GraphSpec, check_graph, describe, load_graph, save_graph

__all__ = ["check_simplified", "simplify_model", "simplify_onnx"]

_logger = logging.getLogger(__name__)

_BEFORE: tuple[Callable[[GraphEditor], int], ...] = (passes.replace_cast_like, passes.fuse_lrn)
# Batch norm is folded here and not by onnxsim: in float64, and the convolution then writes the tensor that the batch
# norm wrote, so a tensor's name means the same values before and after. The order is that of first use to last.
_AFTER: tuple[Callable[[GraphEditor], int], ...] = (
    passes.drop_identities,
    affine.fold_affine_into_producer,
    passes.use_global_pool,
    passes.shape_to_flatten,
    fold_affine_through_pool,
    passes.fold_subsampling,
    passes.fold_channel_order,
    affine.replace_batch_norm,
)


def simplify_onnx(source: GraphSource, path: str | os.PathLike[str]) -> GraphSpec:
    """Write the simplified form of a deployable graph to ``path`` and return what it takes and gives.

    Raises :class:`GraphError` if onnxsim fails or leaves what :func:`check_simplified` refuses.
    """
    model = simplify_model(load_graph(source))
    spec = describe(model)
    save_graph(model, path)
    return spec


def simplify_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the simplified form of a model; the one passed in may be changed. Tensors that stay keep their names."""
    _apply(model, _BEFORE)
    simplified = _run_onnxsim(model)
    _refuse_subgraphs(simplified)
    infer_shapes(simplified)
    _apply(simplified, _AFTER)
    editor = GraphEditor(simplified)
    _constants_to_initializers(editor)
    editor.prune()
    name_nodes(simplified)
    infer_shapes(simplified)
    simplified.ir_version, simplified.producer_name = model.ir_version, model.producer_name
    simplified.producer_version = model.producer_version
    # onnxsim writes a long log of what it did there.
    del simplified.metadata_props[:]
    simplified.metadata_props.extend(model.metadata_props)
    check_graph(simplified, "simplified graph")
    check_simplified(simplified)
    return simplified


def check_simplified(source: GraphSource) -> None:
    """Raise :class:`GraphError` if a graph still holds what simplifying must remove; it names the first such node."""
    editor = GraphEditor(load_graph(source))
    for node in editor.nodes:
        left = None
        if node.op_type in ("Identity", "Dropout", "BatchNormalization", "CastLike", "Constant", "ConstantOfShape"):
            left = f"a {node.op_type}"
        elif node.op_type == "Cast" and passes.redundant_cast(editor, node):
            left = "a cast too many"
        elif node.input and all(editor.constant(name) is not None for name in node.input if name):
            left = "an operation on constants only"
        if left is not None:
            raise GraphError(
                f"node {node.name or node.output[0]!r} ({node.op_type}): got {left} in the simplified graph, "
                f"expected none; simplify the graph again, or export it in inference mode"
            )


def infer_shapes(model: onnx.ModelProto) -> None:
    """Replace the shapes noted in a model by inferred ones, in place. Raises :class:`GraphError` if they clash."""
    del model.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise GraphError(f"the shapes of the graph do not fit together: {error}") from error
    for value, found in zip(model.graph.output, inferred.graph.output, strict=True):
        if not value.type.tensor_type.HasField("shape"):
            value.CopyFrom(found)
    known = {tensor.name for tensor in model.graph.initializer}
    model.graph.value_info.extend(value for value in inferred.graph.value_info if value.name not in known)


def name_nodes(model: onnx.ModelProto) -> None:
    """Give each node without a name, or with one that another has, the name of its first output, in place."""
    taken: set[str] = set()
    for node in model.graph.node:
        name = node.name or node.output[0]
        number = 1
        while name in taken:
            name, number = f"{node.output[0]}_{number}", number + 1
        node.name = name
        taken.add(name)


def _run_onnxsim(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        import onnxsim
    except ImportError as error:
        raise MissingPackageError("onnxsim", extra="export") from error
    try:
        # Equal initializers stay apart: parameters keep their names.
        simplified, ok = onnxsim.simplify(
            model, check_n=0, skip_fuse_bn=True, skipped_optimizers=["eliminate_duplicate_initializer"]
        )
    except Exception as error:
        raise GraphError(
            f"onnxsim failed on the graph: {type(error).__name__}: {error}; check that the exported file runs "
            f"in ONNX Runtime, and that onnx and onnxsim are of the versions that the export extra asks for"
        ) from error
    if not ok or not isinstance(simplified, onnx.ModelProto):
        raise GraphError("onnxsim gave no valid graph back; check that the exported file runs in ONNX Runtime")
    return simplified


def _apply(model: onnx.ModelProto, steps: tuple[Callable[[GraphEditor], int], ...]) -> None:
    for step in steps:
        count = step(GraphEditor(model))
        if count:
            infer_shapes(model)
            _logger.info("%s: %d", step.__name__, count)


def _refuse_subgraphs(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if any(entry.HasField("g") or entry.graphs for entry in node.attribute):
            raise GraphError(
                f"node {node.name or node.output[0]!r} ({node.op_type}): got control flow, expected a plain "
                f"classifier; export the network without conditions and loops"
            )


def _constants_to_initializers(editor: GraphEditor) -> None:
    for node in editor.nodes:
        value = editor.constant(node.output[0]) if node.op_type == "Constant" else None
        if value is not None:
            name = node.output[0]
            editor.remove(node)
            added = editor.add_constant(name, value)
            editor.redirect(name, added)
