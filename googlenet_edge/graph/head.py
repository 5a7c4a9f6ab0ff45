"""What stands before and behind the network in a deployable graph: pixels to normalised channels, logits to
probabilities.

The head is Cast, Transpose, one Mul and one Add per channel, and, for a network that was trained on RGB, a Gather that
turns the channels round. Three things about it are on purpose:

- The Cast comes first, because TensorRT takes uint8 only as a network input that is cast at once.
- Scale and shift stay out of the first convolution's weights. The shift has to, because that convolution pads with
  zeros *after* the normalisation; the scale could go, but 1/(255 std) is about 0.017, and would push small weights
  below what FP16 resolves. The tensor behind the Add is also the one that INT8 needs a scale for, and is well centred.
- Normalising is done in BGR order and the turning comes last, right before the convolution: simplifying then folds it
  into the order of that convolution's weights, which is exact and costs nothing at run time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.types import Normalization

__all__ = ["DeployableNetwork", "add_head", "add_tail", "factors_bgr"]

_TURNED = (2, 1, 0)


def factors_bgr(normalization: Normalization) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return what to multiply a pixel (0-255) by and what to add then: float32, shape (3,) each, in BGR order."""
    mean, std = np.asarray(normalization.mean, np.float64), np.asarray(normalization.std, np.float64)
    scale, shift = 1.0 / (255.0 * std), -mean / std
    if normalization.color_order == "rgb":
        scale, shift = scale[::-1], shift[::-1]
    return scale.astype(np.float32), shift.astype(np.float32)


class _Head(nn.Module):
    """uint8 (N, H, W, 3) BGR, 0-255 -> float32 (N, 3, H, W), normalised, in the network's channel order."""

    multiplier: Tensor
    offset: Tensor
    order: Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        scale, shift = factors_bgr(normalization)
        self.turn = normalization.color_order == "rgb"
        self.register_buffer("multiplier", torch.from_numpy(scale).reshape(1, 3, 1, 1))
        self.register_buffer("offset", torch.from_numpy(shift).reshape(1, 3, 1, 1))
        self.register_buffer("order", torch.tensor(_TURNED))

    def forward(self, image: Tensor) -> Tensor:
        x = image.to(torch.float32).permute(0, 3, 1, 2) * self.multiplier + self.offset
        return x.index_select(1, self.order) if self.turn else x


class _Tail(nn.Module):
    """float32 logits (N, classes) -> probabilities."""

    def forward(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, dim=1)


class DeployableNetwork(nn.Module):
    """A network with the head and tail of a deployable graph: uint8 (N, H, W, 3) BGR -> logits, probabilities.

    ``network`` takes float32 (N, 3, H, W), normalised, in the channel order of ``normalization``, and gives float32
    logits (N, classes). The wrapper puts it into inference mode.
    """

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.input = _Head(normalization)
        self.network = network
        self.output = _Tail()
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities, float32 (N, classes), of uint8 images (N, H, W, 3), BGR."""
        logits = self.network(self.input(image))
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            got = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise GraphError(f"network output: got {got}, expected logits of shape (N, classes), in inference mode")
        return logits, self.output(logits)


def add_head(editor: GraphEditor, normalization: Normalization, input_px: int) -> None:
    """Put the head in front of a graph whose only input is float32 (N, 3, H, W); its tensor keeps its name."""
    graph = editor.graph
    old = graph.input[0].name
    scale, shift = factors_bgr(normalization)
    multiplier = editor.add_constant("input.multiplier", scale.reshape(1, 3, 1, 1))
    offset = editor.add_constant("input.offset", shift.reshape(1, 3, 1, 1))
    node = onnx.helper.make_node
    turn = normalization.color_order == "rgb"
    inner = editor.producer("image")
    if inner is not None:
        editor.rename_output(inner, "image", editor.fresh("image.inner"))
    if old == "image":
        old = editor.fresh("image.normalized")
        editor.redirect("image", old)
    cast, transposed, scaled = (editor.fresh(f"input.{name}") for name in ("cast", "transpose", "mul"))
    added = editor.fresh("input.add") if turn else old
    nodes = [
        node("Cast", ["image"], [cast], name="input.cast", to=onnx.TensorProto.FLOAT),
        node("Transpose", [cast], [transposed], name="input.transpose", perm=[0, 3, 1, 2]),
        node("Mul", [transposed, multiplier], [scaled], name="input.mul"),
        node("Add", [scaled, offset], [added], name="input.add"),
    ]
    if turn:
        order = editor.add_constant("input.order", np.array(_TURNED, np.int64))
        nodes.append(node("Gather", [added, order], [old], name="input.gather", axis=1))
    del graph.input[:]
    graph.input.append(
        onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", input_px, input_px, 3])
    )
    for position, item in enumerate(nodes):
        graph.node.insert(position, item)
    editor.refresh()


def add_tail(editor: GraphEditor, logits: str, class_count: int) -> None:
    """Make ``logits`` (float32 (N, classes), made by some node) the graph's outputs ``logits`` and
    ``probabilities``.
    """
    graph = editor.graph
    del graph.output[:]
    editor.refresh()
    producer = editor.producer(logits)
    if producer is None:
        raise GraphError(f"the tensor {logits!r} that should hold the logits is made by no node")
    for name in {"logits", "probabilities"} - {logits}:
        holder = editor.producer(name)
        if holder is not None:
            editor.rename_output(holder, name, editor.fresh(f"{name}.inner"))
    editor.rename_output(producer, logits, "logits")
    graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], name="output.softmax", axis=1))
    for name in ("logits", "probabilities"):
        graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", class_count]))
    editor.refresh()
