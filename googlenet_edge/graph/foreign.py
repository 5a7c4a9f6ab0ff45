"""Take an ONNX classifier that was made elsewhere, and make it a deployable graph.

Such a graph takes float32 (N, 3, H, W), normalised by whoever calls it, and gives logits or probabilities. Here it gets
the uint8 head, the outputs ``logits`` and ``probabilities``, a free batch size and current operators; then it is
compared with the file that it came from.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from googlenet_edge.atomic import check_writable
from googlenet_edge.errors import GraphError, InputError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.graph.export import OPSET
from googlenet_edge.graph.head import add_head, add_tail
from googlenet_edge.graph.session import FloatArray, Images, open_session, run_session
from googlenet_edge.graph.simplify import name_nodes
from googlenet_edge.graph.store import GraphSpec, check_graph, describe, load_graph, save_graph, tensor_spec
from googlenet_edge.graph.upgrade import clean, free_batch, upgrade
from googlenet_edge.graph.verify import compare
from googlenet_edge.types import Normalization

__all__ = ["ForeignRunner", "adapt_onnx"]

_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "DynamicQuantizeLinear",
    "QLinearMatMul",
)
_TAIL = ("Identity", "Flatten", "Reshape", "Squeeze", "Dropout", "Cast")
_EXAMPLE = "give a classifier of one image: float32 (N, 3, height, width) to (N, classes)"


def adapt_onnx(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    normalization: Normalization,
    input_px: int | None = None,
) -> GraphSpec:
    """Write a deployable graph made from the ONNX classifier ``source`` to ``path`` and return what it takes and gives.

    ``normalization`` is what ``source`` expects to have been done to its input, on the 0 to 1 scale: a graph that takes
    BGR pixels of 0 to 255 less a mean of (104, 117, 123) has ``mean=(104 / 255, 117 / 255, 123 / 255)``, ``std=(1 /
    255,) * 3`` and ``color_order="bgr"``. ``input_px`` is needed only where the file leaves height and width open.

    Raises :class:`GraphError` if the file is no such classifier, and :class:`VerificationError` if the result does not
    compute the same.
    """
    name = os.fspath(source)
    check_writable(Path(path), what="ONNX file")
    model = load_graph(source)
    _refuse(model, name)
    check_graph(model, name)
    model = upgrade(model, OPSET, name)
    size = _input_size(model, name, input_px)
    _set_input_size(model, size)
    editor = GraphEditor(model)
    free_batch(editor, name)
    logits = _find_logits(editor, name)
    classes = _class_count(editor, logits, name)
    if len(editor.shape(logits) or ()) > 2:
        flat = editor.fresh("flatten")
        editor.graph.node.append(onnx.helper.make_node("Flatten", [logits], [flat], name=flat, axis=1))
        editor.refresh()
        logits = flat
    if editor.producer(logits) is None:
        raise GraphError(f"{name}: got a graph without a network, its output is its input; {_EXAMPLE}")
    add_tail(editor, logits, classes)
    add_head(editor, normalization, size)
    editor.prune()
    name_nodes(model)
    model.producer_name, model.producer_version = "googlenet-edge", ""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    check_graph(model, f"{name}, adapted")
    spec = describe(model)
    frames = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    compare(ForeignRunner(name, normalization), model, frames, batches=(1, 2))
    save_graph(model, path)
    return spec


class ForeignRunner:
    """The classifier as it was made, fed with frames normalised as it expects: the reference for its adapted form."""

    def __init__(self, source: str | os.PathLike[str], normalization: Normalization, *, threads: int = 2) -> None:
        self.name = os.fspath(source)
        self._normalization = normalization
        self._model = load_graph(source)
        _refuse(self._model, self.name)
        clean(self._model, self.name)
        value = self._model.graph.input[0]
        self._input = value.name
        # A graph with a fixed batch gets each image that often, and its first answer counts.
        self._copies = max(value.type.tensor_type.shape.dim[0].dim_value, 1)
        editor = GraphEditor(self._model)
        logits = _find_logits(editor, self.name)
        # The graph as it is, with its logits for its only output.
        del self._model.graph.output[:]
        self._model.graph.output.append(onnx.helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, None))
        self._logits = logits
        self._session = open_session(self._model, self.name, threads=threads)

    def run(self, images: Images) -> tuple[FloatArray, FloatArray]:
        """Return logits and probabilities, float32 (N, classes), of uint8 images (N, H, W, 3), BGR, one at a time."""
        order = slice(None, None, -1) if self._normalization.color_order == "rgb" else slice(None)
        scaled = images[..., order].astype(np.float64) / 255.0
        x = (scaled - np.asarray(self._normalization.mean)) / np.asarray(self._normalization.std)
        batch = x.transpose(0, 3, 1, 2).astype(np.float32)
        rows = []
        for one in batch:
            feeds = {self._input: np.repeat(one[np.newaxis], self._copies, axis=0)}
            rows.append(run_session(self._session, self.name, [self._logits], feeds)[0][:1].reshape(1, -1))
        logits = np.concatenate(rows)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return logits, powers / powers.sum(axis=1, keepdims=True)

    def tensors(self, images: Images) -> OrderedDict[str, FloatArray]:  # noqa: ARG002
        """Nothing: names inside may have changed their meaning on the way."""
        return OrderedDict()


def _refuse(model: onnx.ModelProto, name: str) -> None:
    """Refuse what no classifier of one image is."""
    for node in model.graph.node:
        label = f"{name}: node {node.name or node.output[0]!r} ({node.op_type})"
        if node.op_type in _QUANTIZED:
            raise GraphError(
                f"{label}: the graph is quantized already, expected float32; start from the file before that"
            )
        if any(entry.HasField("g") or entry.graphs for entry in node.attribute):
            raise GraphError(f"{label}: got control flow, expected a plain classifier; export it without")
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor_spec(value) for value in model.graph.input if value.name not in initializers]
    got = "; ".join(map(str, inputs)) or "none"
    if len(inputs) != 1:
        raise GraphError(f"{name}: got {len(inputs)} inputs ({got}), expected one image; {_EXAMPLE}")
    shape = inputs[0].shape
    if inputs[0].dtype == "uint8" and len(shape) == 4 and shape[3] == 3:
        raise GraphError(f"{name}: got input {got}: the graph has a uint8 head already; deploy it as it is")
    if inputs[0].dtype != "float32" or len(shape) != 4:
        raise GraphError(f"{name}: got input {got}, expected float32 (N, 3, height, width); {_EXAMPLE}")
    if shape[3] == 3 and shape[1] != 3:
        raise GraphError(
            f"{name}: got input {got}, channels last (NHWC), expected channels first (NCHW); convert it with its "
            f"exporter (tf2onnx: --inputs-as-nchw {inputs[0].name})"
        )
    if shape[1] != 3:
        raise GraphError(f"{name}: got input {got}, expected three channels in the second place; {_EXAMPLE}")


def _input_size(model: onnx.ModelProto, name: str, input_px: int | None) -> int:
    spec = tensor_spec(model.graph.input[0])
    fixed = {size for size in spec.shape[2:] if isinstance(size, int) and size > 0}
    if len(fixed) > 1:
        raise GraphError(f"{name}: got input {spec}, expected a square image")
    if not fixed and input_px is None:
        raise GraphError(f"{name}: got input {spec}, whose height and width are open: say input_px, usually 224")
    size = fixed.pop() if fixed else input_px
    if size is None or not 1 <= size <= 4096:
        raise InputError(f"input_px: got {size}, expected 1 to 4096 pixels")
    if input_px not in (None, size):
        raise GraphError(
            f"{name}: got input {spec}, expected {input_px} x {input_px} pixels; leave input_px out, or say {size}"
        )
    return size


def _set_input_size(model: onnx.ModelProto, size: int) -> None:
    for dim in list(model.graph.input[0].type.tensor_type.shape.dim)[2:]:
        dim.Clear()
        dim.dim_value = size


def _find_logits(editor: GraphEditor, name: str) -> str:
    """Return the tensor that holds the logits: what the last softmax reads, or the output if there is none."""
    outputs = [value.name for value in editor.graph.output]
    softmaxes = {output: _softmax_before(editor, output) for output in outputs}
    found = {node.input[0] if node is not None else output for output, node in softmaxes.items()}
    if len(found) != 1:
        specs = "; ".join(str(tensor_spec(value)) for value in editor.graph.output)
        raise GraphError(
            f"{name}: got {len(outputs)} outputs ({specs}), expected one, the class scores (or logits and their "
            f"softmax); a detector is no classifier, and auxiliary classifiers are to be left out when exporting"
        )
    last = editor.producer(outputs[0])
    if last is not None and last.op_type == "Sigmoid":
        raise GraphError(
            f"{name}: got sigmoid scores (several labels for one image), expected one class per image, by softmax"
        )
    (logits,) = found
    return str(logits)


def _softmax_before(editor: GraphEditor, tensor: str) -> onnx.NodeProto | None:
    """The softmax (or log softmax) over classes that makes a tensor, up to reshaping; None if there is none."""
    node = editor.producer(tensor)
    while node is not None and node.op_type in _TAIL:
        node = editor.producer(node.input[0])
    return node if node is not None and node.op_type in ("Softmax", "LogSoftmax") else None


def _class_count(editor: GraphEditor, logits: str, name: str) -> int:
    shape: tuple[Any, ...] | None = editor.shape(logits)
    softmax = next((node for node in editor.readers(logits) if node.op_type in ("Softmax", "LogSoftmax")), None)
    expected = f"expected class scores (N, classes) with at least two classes; {_EXAMPLE}"
    if shape is None or len(shape) not in (2, 4) or not isinstance(shape[1], int) or shape[1] < 2:
        raise GraphError(f"{name}: got an output of shape {shape}, {expected}")
    if any(size != 1 for size in shape[2:]):
        raise GraphError(f"{name}: got an output of shape {shape}, scores for each place in the image, {expected}")
    if isinstance(shape[0], int):
        raise GraphError(
            f"{name}: got scores with a fixed batch of {shape[0]}, {expected}; export it with a dynamic batch"
        )
    if softmax is not None and attribute(softmax, "axis", -1) % len(shape) != 1:
        raise GraphError(f"{name}: got a softmax over axis {attribute(softmax, 'axis', -1)} of {shape}, {expected}")
    return int(shape[1])
