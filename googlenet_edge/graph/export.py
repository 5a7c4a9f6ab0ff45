"""Export a network to ONNX, with the head and tail that make it deployable."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import nn

from googlenet_edge.atomic import check_writable
from googlenet_edge.errors import GraphError, MissingPackageError, UsageError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.head import DeployableNetwork
from googlenet_edge.graph.names import name_by_module, strip_metadata
from googlenet_edge.graph.simplify import infer_shapes
from googlenet_edge.graph.store import GraphSpec, check_graph, describe, save_graph
from googlenet_edge.types import Normalization

__all__ = ["OPSET", "export_onnx"]

OPSET = 19
"""The oldest operator set with FP16 scales for Q/DQ; TensorRT 10.3 parses up to 20, TensorRT-RTX and ONNX Runtime
more.
"""

_NEWEST_OPSET = 21


def export_onnx(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    normalization: Normalization,
    input_px: int = 224,
    opset: int = OPSET,
) -> GraphSpec:
    """Export a network as a deployable graph: ``image`` uint8 (N, input_px, input_px, 3) BGR -> ``logits``,
    ``probabilities`` float32 (N, classes), N free.

    ``network`` maps float32 (N, 3, H, W), normalised as ``normalization`` says, to logits (N, classes). It is exported
    in inference mode, from a copy: what only training needs stays out, and the network itself is left as it was. The
    same weights give the same bytes. Raises :class:`GraphError` if the network cannot be exported or run at this size.
    """
    if not 1 <= input_px <= 4096:
        raise UsageError(f"input_px: got {input_px}, expected 1 to 4096 pixels")
    if not OPSET <= opset <= _NEWEST_OPSET:
        raise UsageError(f"opset: got {opset}, expected {OPSET} (FP16 scales for Q/DQ) to {_NEWEST_OPSET}")
    check_writable(Path(path), what="ONNX file")
    _check_parameters(network)
    inner = copy.deepcopy(network).cpu()
    inner.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    wrapped = DeployableNetwork(inner, normalization).requires_grad_(False)
    model = _run_exporter(wrapped, input_px, opset)
    leaves = {
        name.removeprefix("network.") for name, module in inner.named_modules() if name and not [*module.children()]
    }
    name_by_module(model, leaves, prefix="network")
    _name_parameters(model)
    strip_metadata(model)
    GraphEditor(model).prune()
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True)
    model.producer_name, model.producer_version = "googlenet-edge", ""
    model.graph.name = type(network).__name__
    infer_shapes(model)
    check_graph(model, "exported graph")
    spec = describe(model)
    save_graph(model, path)
    return spec


def _check_parameters(network: nn.Module) -> None:
    for name, parameter in network.state_dict().items():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            raise GraphError(
                f"parameter {name!r}: got {parameter.dtype}, expected torch.float32; call network.float() first"
            )
        if parameter.is_floating_point() and not bool(torch.isfinite(parameter).all()):
            raise GraphError(
                f"parameter {name!r}: got NaN or infinite values, expected finite weights; train or load it anew"
            )


def _run_exporter(network: DeployableNetwork, input_px: int, opset: int) -> onnx.ModelProto:
    # Two images, because a size of 1 would be taken for a constant.
    example = torch.zeros((2, input_px, input_px, 3), dtype=torch.uint8)
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("onnxscript", extra="export") from error
    try:
        with torch.no_grad(), _quiet():
            network(example)
            # Without the exporter's own optimisation: what it fuses would have lost its name, and would go unproved.
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=opset,
                optimize=False,
                verbose=False,
                external_data=False,
                input_names=["image"],
                output_names=["logits", "probabilities"],
                dynamic_shapes={"image": {0: torch.export.Dim("N", min=1, max=65535)}},
            )
    except GraphError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GraphError(
            f"{type(network.network).__name__} cannot be exported at {input_px} x {input_px} pixels: {reason}; "
            f"expected a network from float32 (N, 3, {input_px}, {input_px}) to logits (N, classes)"
        ) from error
    if program is None:
        raise GraphError("the exporter gave no graph back")
    model = program.model_proto
    if model.functions:
        raise GraphError(
            "the exporter left functions in the graph, expected plain ONNX operators; update torch and onnxscript"
        )
    return model


def _name_parameters(model: onnx.ModelProto) -> None:
    """Parameters have the names that they have in the network, without the wrapper's ``network.``."""
    editor = GraphEditor(model)
    for tensor in model.graph.initializer:
        old = tensor.name
        if old.startswith("network."):
            tensor.name = old.removeprefix("network.")
            editor.redirect(old, tensor.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks (on packages that it would use if they were there) out of the caller's output."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
