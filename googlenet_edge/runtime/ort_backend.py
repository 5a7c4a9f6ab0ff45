"""ONNX Runtime on the CPU: the backend where there is no NVIDIA GPU, and the reference where there is one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from googlenet_edge.errors import BackendError, MissingPackageError
from googlenet_edge.runtime.backend import check_batch, check_frames
from googlenet_edge.runtime.ort_config import OrtConfig
from googlenet_edge.runtime.ort_profile import OrtProfile
from googlenet_edge.runtime.ort_queue import ComputeQueue, QueuedTicket
from googlenet_edge.types import TensorSpec

# Official packages since 1.29 collect telemetry, and leave files in the user's cache, unless they are told before they
# are imported not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    import onnxruntime
except ImportError as error:
    raise MissingPackageError("onnxruntime", extra="cpu") from error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from googlenet_edge.engine.layers import EngineLayer
    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.types import ImageArray

__all__ = ["OrtBackend", "OrtConfig"]

_PROVIDER: Final = "CPUExecutionProvider"
_ERRORS_ONLY: Final = 3
_DTYPES: Final = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}


@dataclass(frozen=True)
class _Done:
    """A ticket whose batch was computed before it was issued."""

    outputs: Outputs
    device_stage_ns: tuple[tuple[str, int], ...] = ()
    ready_ns: int | None = None

    def result(self) -> Outputs:
        return self.outputs

    def done(self) -> bool:
        return True

    def withdraw(self) -> bool:
        return False


class OrtBackend:
    """A :class:`~googlenet_edge.runtime.backend.Backend` on ONNX Runtime's CPU provider.

    ``submit`` computes at once and returns a finished ticket; with ``OrtConfig.at_once``, it returns while threads of
    the backend compute. May be used from several threads.
    """

    max_batch: int | None = None
    """The graph's batch size is free."""

    def __init__(self, graph: str | os.PathLike[str] | bytes, config: OrtConfig | None = None) -> None:
        """Load an ONNX file, or its bytes. A path needs half the memory while loading.

        Raises :class:`BackendError` if ONNX Runtime cannot load it, or if it is no deployable graph: one input
        ``image`` uint8 ("N", size, size, 3), outputs ``logits`` and ``probabilities`` float32 ("N", classes).
        """
        self.config = config or OrtConfig()
        self.slots = 1 if self.config.at_once == 1 else self.config.at_once + 2  # two more lie ready
        source = f"ONNX graph of {len(graph)} bytes" if isinstance(graph, bytes) else f"ONNX graph {str(graph)!r}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = self.config.intra_op_threads or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if self.config.spin else "0")
        # Left to itself, ONNX Runtime fuses Q/DQ pairs and convolutions into its own S8S8 kernels. These saturate on
        # processors without VNNI, and everywhere they round a float bias to the product of the scales, where TensorRT
        # adds it in floating point. Nor are they faster: the demo's GoogLeNet took 104 ms a frame with them and 57
        # without (FP16 besides INT8; 58 and 36 with FP32), in turns on two AVX-512 VNNI cores under load.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        if self.config.optimization == "off":
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._profile = OrtProfile() if self.config.profile_layers else None
        if self._profile is not None:
            self._profile.switch_on(options)
        self._session: Any = None
        self._queue = ComputeQueue(self.infer, self.config.at_once, slots=self.slots) if self.slots > 1 else None
        try:
            content = graph if isinstance(graph, bytes) else _path_or_content(os.fspath(graph))
            self._session = onnxruntime.InferenceSession(content, options, providers=[_PROVIDER])
        except Exception as error:  # ONNX Runtime's exceptions have no other base
            self.close()
            raise BackendError(
                f"{source}: ONNX Runtime {onnxruntime.__version__} cannot load it: {error}; "
                "make the bundle again, or upgrade onnxruntime if the graph is of a newer opset"
            ) from error
        try:
            self.input, self.outputs = self._check_graph(source)
        except BaseException:
            self.close()
            raise

    def _check_graph(self, source: str) -> tuple[TensorSpec, tuple[TensorSpec, TensorSpec]]:
        inputs = [_spec(node) for node in self._session.get_inputs()]
        outputs = [_spec(node) for node in self._session.get_outputs()]
        size = inputs[0].shape[1] if inputs and len(inputs[0].shape) == 4 else "size"
        classes = outputs[0].shape[1] if outputs and len(outputs[0].shape) == 2 else "classes"
        expected = [
            TensorSpec("image", ("N", size, size, 3), "uint8"),
            TensorSpec("logits", ("N", classes), "float32"),
            TensorSpec("probabilities", ("N", classes), "float32"),
        ]
        if [*inputs, *outputs] != expected or not isinstance(size, int) or not isinstance(classes, int):
            raise BackendError(
                f"{source}: got {'; '.join(map(str, [*inputs, *outputs]))}, expected {'; '.join(map(str, expected))}; "
                "make a deployable graph of it with `googlenet-edge deploy`"
            )
        return inputs[0], (outputs[0], outputs[1])

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        """Lend a new array uint8 (frames, size, size, 3), once a slot is free; any other does as well here.

        Raises :class:`InputError` for a number of frames below 1, :class:`BackendError` if the backend is closed.
        """
        self._open_session()
        check_frames(frames, self.input, self.max_batch)
        if self._queue is not None:
            self._queue.wait_for_slot()
        yield np.empty((frames, *(int(size) for size in self.input.shape[1:])), dtype=np.uint8)

    def submit(self, batch: ImageArray, *, hold: bool = False) -> _Done | QueuedTicket:
        """Start on a batch: uint8 (frames, size, size, 3) BGR, C-contiguous; see :class:`Backend` for who owns what.

        With one slot, ``hold`` changes nothing: the batch is computed before this returns. Raises :class:`InputError`
        for any other array, :class:`BackendError` if ONNX Runtime fails or is closed.
        """
        if self._queue is None:
            return _Done(self.infer(batch))
        self._open_session()
        check_batch(batch, self.input, self.max_batch)
        return self._queue.submit(batch, hold=hold)

    def infer(self, batch: ImageArray) -> Outputs:
        """Compute a batch and return (logits, probabilities), float32 (frames, classes); errors as in ``submit``."""
        session = self._open_session()
        check_batch(batch, self.input, self.max_batch)
        try:
            logits, probabilities = session.run(["logits", "probabilities"], {"image": batch})
        except Exception as error:
            raise BackendError(
                f"inference of uint8 {batch.shape}: ONNX Runtime {onnxruntime.__version__} failed: {error}; "
                "if memory is short, use smaller batches"
            ) from error
        if self._profile is not None:
            self._profile.runs += 1
        return logits, probabilities

    def layer_times_ns(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """With ``profile_layers``: the nodes as ONNX Runtime runs them, each with its nanoseconds in each inference.

        Ends the profiling: inferences after the first call are in no later one. Not for use from several threads.
        """
        session = self._open_session()
        return () if self._profile is None else self._profile.read(session)

    def layer_bytes(self) -> dict[str, int]:
        """With ``profile_layers``, after :meth:`layer_times_ns`: what each node reads and writes in one inference."""
        return {} if self._profile is None else self._profile.layer_bytes

    def engine_layers(self) -> tuple[EngineLayer, ...]:
        """Return (): ONNX Runtime tells no more of its nodes than their names."""
        return ()

    def clear_layer_times(self) -> None:
        """Leave out the inferences so far: after the warm-up."""
        if self._profile is not None:
            self._profile.clear()

    def describe(self) -> dict[str, str]:
        """Say what computes: backend, version, provider, threads, at_once, optimization, spin."""
        return {
            "backend": "onnxruntime",
            "version": onnxruntime.__version__,
            "provider": _PROVIDER,
            "threads": str(self.config.intra_op_threads or "one a physical core"),
            "at_once": str(self.config.at_once),
            "optimization": self.config.optimization,
            "spin": str(self.config.spin).lower(),
        }

    def _open_session(self) -> Any:
        if self._session is None:
            raise BackendError("backend: it is closed, expected an open one; make a new one")
        return self._session

    def close(self) -> None:
        """Free the session and its memory; what is being computed is waited for. May be called again."""
        if self._queue is not None:
            self._queue.close()
        session, self._session = self._session, None
        if self._profile is not None:
            del session  # it writes its file when it ends
            self._profile.close()

    def __enter__(self) -> OrtBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _path_or_content(path: str) -> str | bytes:
    """Return the path, or what is in the file if the path is not UTF-8: ONNX Runtime takes no such path."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return Path(path).read_bytes()
    return path


def _spec(node: Any) -> TensorSpec:
    """Say in our words what a node is. A free dimension is None, or has a name of the exporter's choice."""
    shape = [d if isinstance(d, int) else "N" if i == 0 else str(d) for i, d in enumerate(node.shape)]
    return TensorSpec(node.name, tuple(shape), _DTYPES.get(node.type, node.type))
