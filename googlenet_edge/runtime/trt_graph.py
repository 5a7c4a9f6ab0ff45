"""CUDA graphs: the engine's many kernel launches recorded once for a batch size, then launched as one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from googlenet_edge.errors import BackendError

if TYPE_CHECKING:
    import pycuda.driver as cuda
    import tensorrt_rtx as trt
    from cuda.bindings import driver

    from googlenet_edge.runtime.trt_context import Addresses, BoundContext, ContextMaker

__all__ = ["Launcher", "why_no_graphs"]

logger = logging.getLogger(__name__)

# Each graph takes device memory, and so does the execution context that it needs for itself.
_MOST_GRAPHS: Final = 16


class CaptureError(Exception):
    """A step of recording or launching a graph failed; the engine is then enqueued plainly."""


@dataclass(eq=False)
class _Recorded:
    context: BoundContext
    graph: driver.CUgraphExec | None = None


class _Result(Protocol):
    @property
    def name(self) -> str: ...


def why_no_graphs() -> str | None:
    """Say why graphs cannot be captured here, or None if they can."""
    try:
        from cuda.bindings import driver  # noqa: F401 - to see whether it is there
    except ImportError as error:
        return f"cuda-bindings cannot be imported ({error}): install the extra 'graphs', of the driver's CUDA major"
    return None


class Launcher:
    """Puts the engine on the stream: as a graph where there is one for this batch size, else plainly.

    A batch size is enqueued plainly the first time, as TensorRT allocates then; at the second the enqueue is recorded.
    Only the computation lies in the graph, not the copies around it: these are single calls, and between them and the
    graph there is room for the events that time each step.
    """

    def __init__(self, maker: ContextMaker, stream: cuda.Stream, *, graphs: bool, off_because: str) -> None:
        self._maker, self._stream = maker, stream
        self._graphs = graphs
        self._off_because = off_because
        self._full = False
        self._plain: BoundContext | None = maker.make()
        self._recorded: dict[tuple[int, Addresses], _Recorded] = {}

    @property
    def state(self) -> str:
        """``"on"``, or ``"off: "`` and the reason."""
        return "on" if self._graphs else f"off: {self._off_because}"

    def profile(self, profiler: trt.IProfiler) -> None:
        """Have each layer timed from here on; only without graphs, in which layers cannot be told apart."""
        if self._plain is not None:
            self._plain.context.profiler = profiler

    def launch(self, frames: int, addresses: Addresses) -> None:
        """Queue the computation. Raises :class:`DeviceError`, or an error of pycuda's, if the plain way fails too."""
        recorded = self._recorded.get((frames, addresses)) if self._graphs else None
        if recorded is not None and self._launch_graph(recorded):
            return
        if recorded is None and self._graphs:
            recorded = self._new_context(frames, addresses)
        context = recorded.context if recorded else self._plain
        if context is None:
            raise BackendError("engine: got a closed one, expected an open one; load the plan again")
        context.bind(frames, addresses)
        context.enqueue(self._stream)

    def _new_context(self, frames: int, addresses: Addresses) -> _Recorded | None:
        if len(self._recorded) >= _MOST_GRAPHS:
            if not self._full:
                self._full = True
                logger.info("CUDA graphs: %d batch sizes have one, others are enqueued plainly", _MOST_GRAPHS)
            return None
        try:
            recorded = _Recorded(self._maker.make())
        except BackendError as error:
            self._give_up(f"no execution context for a batch of {frames}: {error}")
            return None
        self._recorded[frames, addresses] = recorded
        return recorded

    def _launch_graph(self, recorded: _Recorded) -> bool:
        try:
            if recorded.graph is None:
                recorded.graph = _record(recorded.context, self._stream)
            _launch(recorded.graph, self._stream)
        except (CaptureError, BackendError, RuntimeError, TypeError, AttributeError, ImportError) as error:
            # RuntimeError and the rest: cuda-bindings of another CUDA major than the driver misses functions.
            self._give_up(str(error))
            return False
        return True

    def _give_up(self, reason: str) -> None:
        self._graphs = False
        self._off_because = reason
        logger.warning("CUDA graphs are off from here on, the engine is enqueued plainly: %s", reason)

    def close(self) -> None:
        """Free graphs and contexts, before the engine. May be called again."""
        for recorded in self._recorded.values():
            if recorded.graph is not None:
                _destroy(recorded.graph)
                recorded.graph = None
        self._recorded.clear()
        self._plain = None

    def belongings(self) -> tuple[object, ...]:
        """All objects of TensorRT's that this holds."""
        contexts = [self._plain, *(recorded.context for recorded in self._recorded.values())]
        return tuple(bound.context for bound in contexts if bound is not None)


def _record(context: BoundContext, stream: cuda.Stream) -> driver.CUgraphExec:
    from cuda.bindings import driver

    handle = driver.CUstream(stream.handle)
    # Thread-local: what other threads and libraries of the process do meanwhile neither fails nor spoils the capture.
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    (result,) = driver.cuStreamBeginCapture(handle, mode)
    _check(result, "beginning the capture")
    try:
        context.enqueue(stream)
    except BaseException:
        _, graph = driver.cuStreamEndCapture(handle)
        if graph is not None and int(graph):
            driver.cuGraphDestroy(graph)
        raise
    result, graph = driver.cuStreamEndCapture(handle)
    _check(result, "capturing the engine")
    result, executable = driver.cuGraphInstantiate(graph, 0)
    driver.cuGraphDestroy(graph)
    _check(result, "making the graph ready")
    return executable


def _launch(graph: driver.CUgraphExec, stream: cuda.Stream) -> None:
    from cuda.bindings import driver

    (result,) = driver.cuGraphLaunch(graph, driver.CUstream(stream.handle))
    _check(result, "launching the graph")


def _destroy(graph: driver.CUgraphExec) -> None:
    from cuda.bindings import driver

    driver.cuGraphExecDestroy(graph)


def _check(result: _Result, doing: str) -> None:
    if result.name != "CUDA_SUCCESS":
        raise CaptureError(f"{doing} failed: {result.name}")
