"""Measures a backend layer by layer, and says which rows of Table 1 each layer computes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from googlenet_edge.engine.layers import rows_of
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.latency.layer_times import LayerReport, layer_report
from googlenet_edge.latency.summary import nearest_rank

if TYPE_CHECKING:
    from types import TracebackType

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.layers import EngineLayer
    from googlenet_edge.runtime.backend import Backend, Outputs
    from googlenet_edge.types import Clock, ImageArray

__all__ = [
    "MOST_INFERENCES",
    "ProfileConfig",
    "ProfiledBackend",
    "known_nodes_in",
    "measure_layers",
    "measure_whole",
    "open_profiled",
]

MOST_INFERENCES: Final = 1000
"""Measured ones and warm-up: ONNX Runtime's profiler keeps a million events, and INT8 GoogLeNet makes 340 a run."""

# What ONNX Runtime puts before the name of a node that it has rewritten.
_PREFIX: Final = re.compile(r"(?:InsertedPrecisionFreeCast_|InsertedCast_)+")
# TensorRT writes "a + b" and "PWN(a, b)" for fused nodes, "a || b" for merged ones, "{ForeignNode[a...b]}" for a range.
_BETWEEN: Final = re.compile(r"\.\.\.|[^\w./:-]+")
_PART: Final = re.compile(r"[._/:-][^._/:-]*$")


class ProfiledBackend(Protocol):
    """A backend that was opened so that it times its layers."""

    @property
    def max_batch(self) -> int | None:
        """The most frames at once."""

    def infer(self, batch: ImageArray) -> Outputs:
        """Compute a batch."""

    def layer_times_ns(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Layer names, each with its nanoseconds in each inference."""

    def clear_layer_times(self) -> None:
        """Forget the times so far."""

    def engine_layers(self) -> tuple[EngineLayer, ...]:
        """Return what the library tells of its layers, the ONNX nodes in each above all; () if it tells nothing."""

    def describe(self) -> dict[str, str]:
        """Say what computes."""

    def __enter__(self) -> ProfiledBackend: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class ProfileConfig:
    """How layers are measured."""

    batch: int = 1
    """Frames per inference."""
    inferences: int = 100
    warmup: int = 10
    """Inferences before the measured ones."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"batch: got {self.batch}, expected at least 1 frame per inference")
        if self.warmup < 0 or self.inferences < 1 or self.inferences + self.warmup > MOST_INFERENCES:
            raise InputError(
                f"inferences: got {self.inferences} and {self.warmup} for warm-up, expected at least 1, and together "
                f"at most {MOST_INFERENCES}"
            )


def open_profiled(backend: Backend, bundle: Bundle) -> ProfiledBackend:
    """Return a backend that times its layers, for one that was opened with layer profiling: itself, where it can.

    ONNX Runtime's is opened again: its profiler belongs to a session from the beginning. Whichever is not returned is
    closed. Raises :class:`BackendError` for a backend that cannot time its layers, which is closed then.
    """
    from googlenet_edge.runtime.trt_backend import TrtBackend  # only now: measuring one needs not the other's package

    if isinstance(backend, TrtBackend):
        return backend
    from googlenet_edge.runtime.ort_backend import OrtBackend

    backend.close()
    if isinstance(backend, OrtBackend):
        return OrtBackend(bundle.graph_path, replace(backend.config, profile_layers=True))
    raise BackendError(f"backend: got {type(backend).__name__}, expected one that times its layers")


def measure_layers(
    backend: ProfiledBackend,
    bundle: Bundle,
    config: ProfileConfig,
    *,
    clock: Clock = time.monotonic_ns,
) -> LayerReport:
    """Run the bundle's golden frames, and return the time of each layer and row.

    Which nodes a layer computes is what the backend tells of it or, where it tells nothing, what the layer's name says.

    Args:
        backend: Of this bundle, opened with layer profiling on.
        bundle: Whose nodes and rows the layers are named after.
        config: How often, and on how many frames at once.
        clock: Monotonic nanoseconds.

    Raises:
        InputError: The backend does not take so many frames at once.
        BackendError: The inference failed, or the layers were not timed in each inference.
    """
    wall_ns = _wall_ns(backend, bundle, config, clock, before_measuring=backend.clear_layer_times)
    nodes = bundle.manifest.nodes
    times_ns = backend.layer_times_ns()
    known = {node.node: node.row for node in nodes}
    told = {layer.name: rows_of(layer, nodes) for layer in backend.engine_layers()}
    rows = {name: told.get(name) or tuple(known[node] for node in known_nodes_in(name, known)) for name, _ in times_ns}
    order = tuple(dict.fromkeys(node.row for node in nodes))
    try:
        return layer_report(times_ns, rows, wall_ns, order=order, frames=config.batch)
    except InputError as error:
        raise BackendError(str(error)) from error


def measure_whole(backend: Backend, bundle: Bundle, config: ProfileConfig, *, clock: Clock = time.monotonic_ns) -> int:
    """Run the bundle's golden frames, and return the median wall time of an inference, nanoseconds.

    It reaches from the batch on the host to its results there, as :attr:`LayerReport.wall_ns` does, on a backend that
    was opened without layer profiling. The arguments and what is raised are those of :func:`measure_layers`.
    """
    return nearest_rank(np.sort(np.array(_wall_ns(backend, bundle, config, clock), dtype=np.int64)), 50)


def _wall_ns(
    backend: Backend | ProfiledBackend,
    bundle: Bundle,
    config: ProfileConfig,
    clock: Clock,
    before_measuring: Callable[[], None] = lambda: None,
) -> list[int]:
    if backend.max_batch is not None and config.batch > backend.max_batch:
        raise InputError(
            f"batch: got {config.batch}, expected at most {backend.max_batch}; build an engine for larger batches"
        )
    images = bundle.golden().images
    batch = np.ascontiguousarray(images[np.arange(config.batch) % len(images)])
    for _ in range(config.warmup):
        backend.infer(batch)
    before_measuring()
    wall_ns = []
    for _ in range(config.inferences):
        began_ns = clock()
        backend.infer(batch)
        wall_ns.append(clock() - began_ns)
    return wall_ns


def known_nodes_in(layer: str, known: Mapping[str, object]) -> tuple[str, ...]:
    """Return the ONNX nodes that a layer's name speaks of: ``"conv1.conv + conv1.relu"``, ``"conv1.relu_nchwc"``."""
    found = []
    for text in _BETWEEN.split(layer):
        word = _PREFIX.sub("", text)
        while word and word not in known:
            # Libraries append to a node's name what they made of it.
            word, cut = _PART.subn("", word)
            if not cut:
                word = ""
        if word:
            found.append(word)
    return tuple(dict.fromkeys(found))
