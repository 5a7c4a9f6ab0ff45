"""An INT8 graph as a calculation in float32, with scales and biases that may be changed between two runs.

Choosing thresholds and correcting biases run the network hundreds of times with one number changed. Here scales and
biases are inputs with default values, so that all of these runs share one session. ONNX Runtime's own INT8 kernels stay
off (they can saturate on CPUs without VNNI); what it may fuse or fold otherwise does not change the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.types import ImageArray

__all__ = ["SimulatedNetwork", "mean_names"]

FloatArray = npt.NDArray[np.float32]

BATCH = 4
"""Small enough for the activations to stay in the cache of a desktop CPU."""


class SimulatedNetwork:
    """A float32 or Q/DQ graph, uint8 (N, H, W, 3) BGR -> logits, on ONNX Runtime's CPU kernels in float32."""

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        means_of: Sequence[str] = (),
        show: Sequence[str] = (),
        threads: int | None = None,
    ) -> None:
        """Open a session.

        Args:
            model: The graph; it is not changed.
            means_of: Nodes whose output's mean per channel shall be available from :meth:`channel_means`.
            show: Tensors, float32, that shall be available from :meth:`tensors`.
            threads: Threads of ONNX Runtime; None leaves it to it.
        """
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        _separate_biases(copy)
        self._means_of = tuple(means_of)
        _add_means(copy, self._means_of)
        self._shown = tuple(show)
        outputs = {value.name for value in copy.graph.output}
        copy.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in self._shown if n not in outputs)
        self.scales = _make_changeable(copy, "QuantizeLinear", 1)
        """Name of the scale of each tensor with a Q/DQ pair."""
        self.biases = _make_changeable(copy, "Conv", 2) | _make_changeable(copy, "Gemm", 2)
        """Name of the bias of each convolution and linear layer."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session: Any = onnxruntime.InferenceSession(
                copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise GraphError(f"the graph cannot be simulated in ONNX Runtime: {error}") from error

    def logits(self, images: ImageArray, changes: Mapping[str, npt.ArrayLike] | None = None) -> FloatArray:
        """Return float32 (N, classes); ``changes`` has new values by a name of ``scales`` or ``biases``."""
        return np.concatenate([found[0] for found in self._run(["logits"], images, changes)])

    def channel_means(
        self, images: ImageArray, changes: Mapping[str, npt.ArrayLike] | None = None
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Return each channel's mean over images and pixels, float64 (channels,), for each node of ``means_of``."""
        names = [mean_names(node) for node in self._means_of]
        runs = self._run(names, images, changes)
        return {
            node: np.concatenate([found[index] for found in runs]).astype(np.float64).mean(axis=0)
            for index, node in enumerate(self._means_of)
        }

    def tensors(self, images: ImageArray) -> dict[str, FloatArray]:
        """Return each tensor of ``show``, float32 (N, ...), all of it at once: give it few images."""
        if not self._shown:
            return {}
        runs = self._run(list(self._shown), images, None)
        return {name: np.concatenate([found[index] for found in runs]) for index, name in enumerate(self._shown)}

    def _run(
        self, names: list[str], images: ImageArray, changes: Mapping[str, npt.ArrayLike] | None
    ) -> list[list[FloatArray]]:
        feeds = {name: np.asarray(value, np.float32) for name, value in (changes or {}).items()}
        return [
            self._session.run(names, {"image": np.ascontiguousarray(images[start : start + BATCH]), **feeds})
            for start in range(0, len(images), BATCH)
        ]


def mean_names(node: str) -> str:
    """Return the name of the tensor with the channel means of a node's output."""
    return f"{node}.channel_mean"


def _add_means(model: onnx.ModelProto, nodes: Sequence[str]) -> None:
    """Average over the pixels inside the graph: a convolution's whole output need not leave it."""
    if not nodes:
        return
    editor = GraphEditor(model)
    axes = editor.add_constant("channel_mean.axes", np.array([2, 3], np.int64))
    by_name = {node.name: node for node in editor.nodes}
    for name in nodes:
        source = by_name[name].output[0]
        if by_name[name].op_type == "Conv":
            mean = onnx.helper.make_node("ReduceMean", [source, axes], [mean_names(name)], keepdims=0)
        else:
            mean = onnx.helper.make_node("Identity", [source], [mean_names(name)])
        model.graph.node.append(mean)
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(mean_names(name)))


def _separate_biases(model: onnx.ModelProto) -> None:
    """Give every layer a bias of its own: to change one must not change another's."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    taken: set[str] = set()
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[2] not in initializers:
            continue
        if node.input[2] in taken:
            copy = onnx.TensorProto()
            copy.CopyFrom(initializers[node.input[2]])
            copy.name = f"{node.input[2]}.of.{node.output[0]}"
            model.graph.initializer.append(copy)
            node.input[2] = copy.name
        taken.add(node.input[2])


def _make_changeable(model: onnx.ModelProto, operator: str, position: int) -> dict[str, str]:
    """Make an input of all nodes of a kind a graph input with a default; return its name by tensor or node."""
    found: dict[str, str] = {}
    known = {value.name for value in model.graph.input}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != operator or len(node.input) <= position or node.input[position] not in initializers:
            continue
        name = node.input[position]
        tensor = initializers[name]
        if name not in known:
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
            known.add(name)
        found[node.input[0] if operator == "QuantizeLinear" else node.name] = name
    return found
