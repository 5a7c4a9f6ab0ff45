"""Read and write ONNX files: whole or not at all, and always the same bytes for the same graph."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import GraphError
from googlenet_edge.types import TensorSpec

__all__ = [
    "GraphSource",
    "GraphSpec",
    "check_graph",
    "describe",
    "load_graph",
    "save_graph",
    "sha256_of",
    "tensor_spec",
]

GraphSource: TypeAlias = "str | os.PathLike[str] | onnx.ModelProto"
"""A graph: the path of an ONNX file, or a model already in memory."""


@dataclass(frozen=True)
class GraphSpec:
    """What a deployable graph is from outside."""

    input: TensorSpec
    """``image``: uint8 (N, input_px, input_px, 3), BGR."""
    outputs: tuple[TensorSpec, ...]
    """``logits`` and ``probabilities``: float32 (N, classes)."""
    class_count: int
    input_px: int
    opset: int
    sha256: str
    """Of the file's bytes; a model in memory has the hash that its file would have."""


def load_graph(source: GraphSource) -> onnx.ModelProto:
    """Return the model of an ONNX file, its external data included; a model in memory is copied.

    Raises :class:`GraphError` if the file is missing, truncated, or no ONNX file.
    """
    if isinstance(source, onnx.ModelProto):
        copy = onnx.ModelProto()
        copy.CopyFrom(source)
        return copy
    path = Path(source)
    expected = "expected an ONNX file (a serialized ModelProto)"
    try:
        model = onnx.load(path)
    except (DecodeError, UnicodeDecodeError) as error:
        raise GraphError(
            f"{path}: got a file that does not parse, {expected}: is it truncated, or of another kind?"
        ) from error
    except FileNotFoundError as error:
        missing = f"its external data {error.filename} is missing" if path.is_file() else "no such file"
        raise GraphError(f"{path}: {missing}, {expected}") from error
    except OSError as error:
        raise GraphError(f"{path}: cannot be read ({error.strerror or error}), {expected}") from error
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        # External data that is missing, or that points outside the model's folder.
        raise GraphError(f"{path}: its external data cannot be read: {error}") from error
    if not model.graph.node or not model.opset_import:
        raise GraphError(f"{path}: got a file without graph or opset, {expected}: is it truncated, or of another kind?")
    return model


def save_graph(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model so that a crash leaves the old file or the new one. Raises :class:`OutputError` if it cannot."""
    try:
        data = model.SerializeToString(deterministic=True)
    except (ValueError, RuntimeError) as error:
        raise GraphError(f"{path}: cannot be serialized (an ONNX file holds at most 2 GB): {error}") from error
    with atomic_file(Path(path), what="ONNX file") as file:
        file.write(data)


def check_graph(model: onnx.ModelProto, what: str) -> None:
    """Raise :class:`GraphError` unless the model is valid ONNX, types and shapes included; ``what`` begins the
    message.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise GraphError(f"{what}: not valid ONNX: {error}") from error


def describe(source: GraphSource) -> GraphSpec:
    """Return what a deployable graph takes and gives. Raises :class:`GraphError` if it is not a deployable graph."""
    model = load_graph(source)
    name = "graph" if isinstance(source, onnx.ModelProto) else str(source)
    inputs = [tensor_spec(value) for value in model.graph.input]
    outputs = {value.name: tensor_spec(value) for value in model.graph.output}
    expected = (
        "expected input 'image': uint8 (N, size, size, 3), outputs 'logits' and 'probabilities': float32 (N, classes)"
    )
    got = f"{name}: got inputs {', '.join(map(str, inputs))}, outputs {', '.join(map(str, outputs.values()))}"
    remedy = "make it with export_onnx or adapt_onnx"
    if len(inputs) != 1 or inputs[0].name != "image" or inputs[0].dtype != "uint8" or len(inputs[0].shape) != 4:
        raise GraphError(f"{got}; {expected}; {remedy}")
    _, height, width, channels = inputs[0].shape
    shapes = {outputs[key].shape[1:] for key in ("logits", "probabilities") if key in outputs}
    classes = next(iter(shapes))[0] if len(shapes) == 1 and len(next(iter(shapes))) == 1 else None
    if set(outputs) != {"logits", "probabilities"} or channels != 3 or height != width:
        raise GraphError(f"{got}; {expected}; {remedy}")
    if not isinstance(classes, int) or not isinstance(height, int):
        raise GraphError(f"{got}; {expected}; {remedy}")
    return GraphSpec(
        input=inputs[0],
        outputs=(outputs["logits"], outputs["probabilities"]),
        class_count=classes,
        input_px=height,
        opset=opset_of(model),
        sha256=sha256_of(source),
    )


def sha256_of(source: GraphSource) -> str:
    """Return the sha256 of a graph's file, or of the bytes that :func:`save_graph` would write, in hex."""
    if isinstance(source, onnx.ModelProto):
        return hashlib.sha256(source.SerializeToString(deterministic=True)).hexdigest()
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the ONNX operators that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Return name, shape and type of a graph's input or output; an unknown dimension is ``"?"``."""
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    except KeyError:
        dtype = "unknown"
    return TensorSpec(value.name, shape, dtype)
