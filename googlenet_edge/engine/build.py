"""Builds a plan from an ONNX graph: one strongly typed path for TensorRT 10.3+, 11 and TensorRT-RTX."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.engine.background import run_interruptibly
from googlenet_edge.engine.config import check_supported, make_config
from googlenet_edge.engine.dla import fallen_back
from googlenet_edge.engine.failure import build_failure
from googlenet_edge.engine.host import ROOT
from googlenet_edge.engine.logger import collect, process_logger
from googlenet_edge.engine.parse import parse_network
from googlenet_edge.engine.preflight import MemoryPlan, check_memory
from googlenet_edge.engine.progress import ProgressState, make_monitor
from googlenet_edge.engine.timing_cache import load_timings, save_timings
from googlenet_edge.errors import EngineError, GoogLeNetEdgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.logger import TensorRTLog
    from googlenet_edge.engine.options import BuildOptions
    from googlenet_edge.engine.progress import BuildProgress
    from googlenet_edge.types import Clock

__all__ = ["BuildSettings", "BuiltEngine", "build_engine"]

POLL_S = 0.1
STOPPED = "the build was stopped before it was done; nothing was written"

# Builds of one process share TensorRT's one logger: one at a time, so that each has its own lines. Two at once would
# also time their tactics against each other.
_one_build = threading.Lock()


@dataclass(frozen=True)
class BuiltEngine:
    """A plan, and what there is to say about the making of it."""

    plan: bytes = field(repr=False)
    seconds: float
    log: tuple[str, ...] = field(default=(), repr=False)
    """Everything that TensorRT said, if :attr:`BuildSettings.keep_log` asked for it: the engine's layers are in it."""
    fallback: tuple[str, ...] = ()
    """Layers that run on the GPU though a DLA was asked for."""
    notes: tuple[str, ...] = ()
    """What was chosen on the way, and warnings, for a user to read."""


@dataclass(frozen=True)
class BuildSettings:
    """What has a part in a build without changing what the plan is for."""

    timing_cache: Path | None = None
    """A file to read and keep the timings of tactics in; None for none. TensorRT-RTX has no use for it."""
    on_progress: Callable[[BuildProgress], None] | None = None
    """Called for each step, in another thread. What it raises stops the build and comes out of ``build_engine``."""
    stop: threading.Event | None = None
    """Set it to stop the build at the end of a step, from any thread."""
    keep_log: bool = False
    """Have every line of TensorRT's log in the result."""
    ignore_memory: bool = False
    """Build also where there seems to be too little memory for it."""
    device_context: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered in the thread that builds: makes the CUDA device to build on current, where it is not the first one."""
    root: Path = ROOT
    """The root of the file system, where the machine's own files are."""
    clock: Clock = time.monotonic_ns


def build_engine(
    flavour: Flavour, onnx: bytes, options: BuildOptions, *, settings: BuildSettings | None = None
) -> BuiltEngine:
    """Build a plan.

    Args:
        flavour: The TensorRT to build with.
        onnx: The bytes of an ONNX file whose one input is uint8 (N, height, width, 3) and whose batch N is free.
        options: What the plan is for.
        settings: Everything else.

    Ctrl-C in the main thread stops the build at the end of a step, which is soon, and comes out as KeyboardInterrupt.

    Raises :class:`EngineError` where the graph is refused (with every error, its node and the rule that it breaks),
    where this flavour does not have what the options ask for, for too little memory, and for a build that failed or was
    stopped. One build runs at a time; a second one waits.
    """
    settings = settings or BuildSettings()
    check_supported(flavour, options, settings.root)
    memory = check_memory(flavour, len(onnx), options, root=settings.root, ignore=settings.ignore_memory)
    interrupted = threading.Event()

    def stopped() -> bool:
        return interrupted.is_set() or (settings.stop is not None and settings.stop.is_set())

    state = ProgressState(settings.on_progress, stopped)

    def work() -> BuiltEngine:
        with _turn(stopped), settings.device_context(), collect(verbose=settings.keep_log) as log:
            return _build(flavour, onnx, options, (settings, memory, state, log))

    try:
        built = run_interruptibly(work, interrupted, name="engine-build")
    except (GoogLeNetEdgeError, MemoryError):
        if state.error is not None:
            raise state.error from None
        if stopped():
            raise EngineError(STOPPED) from None
        raise
    if stopped():  # in the very last step
        raise EngineError(STOPPED)
    return built


@contextmanager
def _turn(stopped: Callable[[], bool]) -> Iterator[None]:
    """Wait for the build of another thread to end, unless this one is to stop."""
    while not _one_build.acquire(timeout=POLL_S):
        if stopped():
            raise EngineError(STOPPED)
    try:
        yield
    finally:
        _one_build.release()


def _build(
    flavour: Flavour,
    onnx: bytes,
    options: BuildOptions,
    what: tuple[BuildSettings, MemoryPlan, ProgressState, TensorRTLog],
) -> BuiltEngine:
    settings, memory, state, log = what
    started_ns = settings.clock()
    try:
        builder = flavour.api.Builder(process_logger(flavour))
        graph = parse_network(flavour, builder, onnx)  # holds the weights until the end
        network = graph.network
        config = make_config(flavour, builder, network, options)
        if memory.workspace_bytes is not None:
            config.set_memory_pool_limit(flavour.api.MemoryPoolType.WORKSPACE, memory.workspace_bytes)
        monitor = make_monitor(flavour, state)  # held until the end, whether or not the config holds it
        config.progress_monitor = monitor
        timings = settings.timing_cache if flavour.has_timing_cache else None
        loaded = load_timings(config, timings) if timings is not None else b""
        if not state.go_on():
            raise EngineError(STOPPED)
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            raise build_failure(flavour, options, log.errors)
        plan = bytes(serialized)
        if timings is not None:
            save_timings(config, timings, loaded)
        fallback = fallen_back(network, config, log.warnings) if options.dla_core is not None else ()
    except GoogLeNetEdgeError:
        raise
    except (RuntimeError, TypeError, ValueError, SystemError) as error:  # what its bindings raise
        raise build_failure(flavour, options, [*log.errors, str(error)]) from error
    seconds = (settings.clock() - started_ns) / 1e9
    return BuiltEngine(plan, seconds, tuple(log.lines), fallback, memory.notes)
