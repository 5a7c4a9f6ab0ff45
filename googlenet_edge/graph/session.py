"""Run a deployable graph, or the network it came from, on frames, and look inside while it runs."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from googlenet_edge.errors import BackendError, GraphError, MissingPackageError
from googlenet_edge.graph.store import GraphSource, load_graph

__all__ = ["FloatArray", "OnnxRunner", "Runnable", "Runner", "TorchRunner", "open_runner", "open_session"]

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
    if isinstance(source, nn.Module):
        return TorchRunner(source, threads=threads)
    if isinstance(source, (str, os.PathLike, onnx.ModelProto)):
        return OnnxRunner(source, threads=threads)
    return source


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


class TorchRunner:
    """A :class:`DeployableNetwork` (or anything with its inputs and outputs) in PyTorch, on the CPU."""

    def __init__(self, module: nn.Module, *, threads: int = 2) -> None:
        self._threads = threads
        # Channels last is many times faster on CPUs here, and rounds no worse.
        self._module = copy.deepcopy(module).cpu().eval()
        self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = f"the network {type(getattr(module, 'network', module)).__name__}"

    def run(self, images: Images) -> tuple[FloatArray, FloatArray]:
        """Return logits and probabilities, float32 (N, classes), of uint8 images (N, H, W, 3), BGR."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)  # PyTorch's is one number for the whole process
        try:
            with torch.no_grad():
                result = self._module(torch.from_numpy(np.ascontiguousarray(images)))
        finally:
            torch.set_num_threads(before)
        if not isinstance(result, tuple) or len(result) != 2:
            raise GraphError(
                f"{self.name}: got {type(result).__name__}, expected logits and probabilities; "
                f"wrap it as DeployableNetwork"
            )
        logits, probabilities = (tensor.contiguous().numpy() for tensor in result)
        return logits, probabilities

    def tensors(self, images: Images) -> OrderedDict[str, FloatArray]:
        """Return what every module without children makes, by the module's path, in the order of the calls."""
        seen: OrderedDict[str, FloatArray] = OrderedDict()
        handles = []
        for path, module in self._module.named_modules():
            name = path.removeprefix("network.")
            if name and not [*module.children()]:
                # A module that is called again keeps its first tensor, as its node does in the graph.
                def note(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
                    if isinstance(output, Tensor) and name not in seen:
                        seen[name] = output.detach().contiguous().numpy().copy()

                handles.append(module.register_forward_hook(note))
        try:
            seen["logits"], seen["probabilities"] = self.run(images)
        finally:
            for handle in handles:
                handle.remove()
        seen.move_to_end("logits")
        seen.move_to_end("probabilities")
        return seen


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
