"""Run a deployable graph, or the network it came from, on frames, and look inside while it runs."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import BackendError, GraphError, MissingPackageError
from googlenet_edge.graph.store import GraphSource, load_graph

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FloatArray", "OnnxRunner", "Runnable", "Runner", "open_runner", "open_session"]

FloatArray: TypeAlias = npt.NDArray[np.float32]
Images: TypeAlias = npt.NDArray[np.uint8]


class Runner(Protocol):
    """Something that classifies frames."""

    @property
    def name(self) -> str:
        """How messages call it."""
        ...

    def run(self, images: Images) -> tuple[FloatArray, FloatArray]:
        """Return logits and probabilities, float32 (N, classes), of uint8 images (N, H, W, 3), BGR."""
        ...

    def tensors(self, images: Images) -> OrderedDict[str, FloatArray]:
        """Return the float32 tensors between input and output by name, in the order in which they are made."""
        ...


Runnable: TypeAlias = "nn.Module | GraphSource | Runner"
"""What can be compared: a :class:`DeployableNetwork`, an ONNX file, a model in memory, or any :class:`Runner`."""


def open_runner(source: Runnable, *, threads: int = 2) -> Runner:
    """Return a runner for a network, a graph or a runner."""
    if isinstance(source, (str, os.PathLike, onnx.ModelProto)):
        return OnnxRunner(source, threads=threads)
    # Whoever hands over a network has loaded torch; those who compare graphs need not load it.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.nn.Module):
        from googlenet_edge.graph.torch_session import TorchRunner

        return TorchRunner(source, threads=threads)
    return cast("Runner", source)


class OnnxRunner:
    """A deployable graph in ONNX Runtime, on the CPU, with its optimisations off: the graph as it is written."""

    def __init__(self, source: GraphSource, *, threads: int = 2) -> None:
        self._model = load_graph(source)
        self._threads = threads
        self.name = "the graph in memory" if isinstance(source, onnx.ModelProto) else os.fspath(source)
        missing = {"logits", "probabilities"} - {value.name for value in self._model.graph.output}
        if missing or [value.name for value in self._model.graph.input] != ["image"]:
            raise GraphError(
                f"{self.name}: expected input 'image' and outputs 'logits' and 'probabilities', got inputs "
                f"{[value.name for value in self._model.graph.input]}, outputs "
                f"{[value.name for value in self._model.graph.output]}; make it with export_onnx or adapt_onnx"
            )
        self._session = open_session(self._model, self.name, threads=threads)

    def run(self, images: Images) -> tuple[FloatArray, FloatArray]:
        """Return logits and probabilities, float32 (N, classes), of uint8 images (N, H, W, 3), BGR."""
        logits, probabilities = run_session(self._session, self.name, ["logits", "probabilities"], {"image": images})
        return logits, probabilities

    def tensors(self, images: Images) -> OrderedDict[str, FloatArray]:
        """Return every float32 tensor that a node makes, by name, in the order of the nodes."""
        open_model = load_graph(self._model)
        known = {value.name for value in open_model.graph.output}
        types = {value.name: value.type.tensor_type.elem_type for value in open_model.graph.value_info}
        names = [
            name
            for node in open_model.graph.node
            for name in node.output
            if name and (name in known or types.get(name) == onnx.TensorProto.FLOAT)
        ]
        open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
        for value in open_model.graph.output:
            if value.name not in known:
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        session = open_session(open_model, self.name, threads=self._threads)
        values = run_session(session, self.name, names, {"image": images})
        return OrderedDict(zip(names, values, strict=True))


def open_session(model: onnx.ModelProto, name: str, *, threads: int = 2) -> Any:
    """Open a model in ONNX Runtime on the CPU, optimisations off. Raises :class:`GraphError` if it does not load."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("onnxruntime", extra="cpu") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise GraphError(f"{name}: ONNX Runtime {onnxruntime.__version__} does not load the graph: {error}") from error


def run_session(session: Any, name: str, outputs: list[str], feeds: dict[str, Any]) -> list[Any]:
    """Run a session once. Raises :class:`BackendError` if it fails."""
    try:
        return list(session.run(outputs, feeds))
    except Exception as error:
        shapes = ", ".join(f"{key}: {value.dtype} {value.shape}" for key, value in feeds.items())
        raise BackendError(f"{name}: ONNX Runtime failed on {shapes}: {error}") from error
