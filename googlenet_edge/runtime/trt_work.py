"""What the owner thread does on the GPU: opens everything, puts batches on the stream, and frees it all."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol

from googlenet_edge.engine.layer_inspector import inspect_engine
from googlenet_edge.errors import BackendError, EngineError, InputError
from googlenet_edge.runtime.trt_context import ContextMaker
from googlenet_edge.runtime.trt_device import PrimaryContext, device_failure
from googlenet_edge.runtime.trt_engine import LoadedEngine
from googlenet_edge.runtime.trt_graph import Launcher, why_no_graphs
from googlenet_edge.runtime.trt_profile import LayerTimes, make_profiler
from googlenet_edge.runtime.trt_slot import DeviceMemory, Slot, wait_for_outputs

if TYPE_CHECKING:
    import pycuda.driver as cuda
    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.layer_types import EngineLayer
    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.runtime.trt_config import TrtConfig
    from googlenet_edge.runtime.trt_device import DeviceFacts
    from googlenet_edge.types import ImageArray

__all__ = ["DeviceWork", "wait_for_stream"]

logger = logging.getLogger(__name__)

_NON_BLOCKING: Final = 1  # CU_STREAM_NON_BLOCKING: pycuda passes the flag on, but has no name for it


def wait_for_stream(stream: cuda.Stream) -> None:
    """Wait until nothing runs on the stream any more: memory that a copy still uses must not be freed."""
    stream.synchronize()


class _Part(Protocol):
    def close(self) -> None: ...

    def belongings(self) -> tuple[object, ...]: ...


class DeviceWork:
    """An engine on a GPU, with its stream and all buffers. One thread, the owner, calls everything but ``finish``."""

    def __init__(self, plan: bytes, flavour: Flavour, config: TrtConfig, facts: DeviceFacts) -> None:
        self._plan: bytes | None = plan
        self._flavour, self._config, self._facts = flavour, config, facts
        self.times = LayerTimes()
        self.layers: tuple[EngineLayer, ...] = ()
        self.mapped = self._use_mapped()
        self._primary = PrimaryContext()
        self._stream: cuda.Stream | None = None
        self._engine: LoadedEngine | None = None
        self._maker: ContextMaker | None = None
        self._launcher: Launcher | None = None
        self._profiler: trt.IProfiler | None = None
        self._memory: DeviceMemory | None = None
        self._slots: list[Slot] = []

    def _use_mapped(self) -> bool:
        wish = self._config.zero_copy
        if wish == "on" and not self._facts.maps_host_memory:
            raise InputError(  # no fault of the plan's, which would be built again for it
                f"zero_copy: got 'on', but {self._facts.title} cannot map host memory; leave it at 'auto'"
            )
        return wish == "on" or (wish == "auto" and self._facts.integrated and self._facts.maps_host_memory)

    def open(self) -> None:
        """Load the engine and allocate everything. After an error, :meth:`close` frees what there was."""
        import pycuda.driver as cuda

        plan, self._plan = self._plan, None  # the engine has its own copy
        if plan is None:
            raise BackendError("engine: got a closed one, expected a new one; load the plan again")
        self._primary.open(self._config.device)
        self._stream = cuda.Stream(_NON_BLOCKING)
        self._engine = LoadedEngine(plan, self._flavour, allow_host_code=self._config.allow_host_code)
        self._maker = ContextMaker(self._engine, self._flavour, self._config)
        graphs_off = self._why_graphs_are_off()
        self._launcher = Launcher(self._maker, self._stream, graphs=graphs_off is None, off_because=graphs_off or "")
        if self._config.profile_layers:
            self._profiler = make_profiler(self._flavour.api, self.times)
            self._launcher.profile(self._profiler)
            self.layers = self._inspect()
        if not self.mapped:
            self._memory = DeviceMemory(self._engine.shapes)
        for _ in range(self._config.slots):
            self._slots.append(Slot(self._engine.shapes, mapped=self.mapped))

    def _why_graphs_are_off(self) -> str | None:
        if self._config.profile_layers:
            return "layers are being timed"
        if self._config.cuda_graph == "off":
            return "as asked"
        return "TensorRT-RTX has its own" if self._flavour.is_rtx else why_no_graphs()

    def _inspect(self) -> tuple[EngineLayer, ...]:
        try:
            return inspect_engine(self.engine.engine, self._flavour.api)
        except EngineError as error:
            logger.info("the engine's layers are known by name only: %s", error)
            return ()

    @property
    def engine(self) -> LoadedEngine:
        """The engine, while it is open."""
        if self._engine is None:
            raise BackendError("engine: got a closed one, expected an open one; load the plan again")
        return self._engine

    @property
    def graph_state(self) -> str:
        """``"on"``, or ``"off: "`` and why."""
        if self._flavour.is_rtx and self._config.cuda_graph == "auto" and not self._config.profile_layers:
            return "on (TensorRT-RTX's own)"
        return self._launcher.state if self._launcher is not None else "off: closed"

    def visit(self) -> AbstractContextManager[None]:
        """Have the CUDA context in another thread while the block runs."""
        return self._primary.visit()

    def staging(self, slot: int, frames: int) -> ImageArray:
        """Pinned memory of a slot, uint8 (frames, size, size, 3)."""
        return self._slots[slot].images(frames)

    def begin(self, index: int, frames: int) -> None:
        """Put a batch that lies in a slot on the stream, behind what is there, and return at once."""
        launcher, stream, memory, slot = self._launcher, self._stream, self._memory, self._slots[index]
        if launcher is None or stream is None:
            raise BackendError("engine: got a closed one, expected an open one; load the plan again")
        # An engine whose profile begins at several frames computes that many, the last ones for nothing.
        frames = max(frames, self.engine.shapes.min_batch)
        slot.start.record(stream)
        if memory is None:
            launcher.launch(frames, slot.addresses)
        else:
            memory.upload(slot.images(frames), stream)
            slot.uploaded.record(stream)
            launcher.launch(frames, memory.addresses)
            slot.computed.record(stream)
            memory.fetch(slot.outputs(frames), stream)
        slot.done.record(stream)

    def finish(self, index: int, frames: int) -> tuple[Outputs, tuple[tuple[str, int], ...]]:
        """Wait for a slot's batch; return copies of its outputs, and the device's times. In the watching thread."""
        slot = self._slots[index]
        wait_for_outputs(slot.done)
        logits, probabilities = slot.outputs(frames)
        return (logits.copy(), probabilities.copy()), slot.stage_ns()

    def explain(self, error: Exception, doing: str) -> BackendError:
        """Put a failure into an error of ours."""
        return device_failure(error, self._facts, doing)

    def close(self) -> None:
        """Free everything, in the thread that opened it. If the GPU is lost, all is left to the end of the process."""
        if self._is_lost():
            self.abandon()
            return
        if self._maker is not None:
            self._maker.save_runtime_cache()
        self._profiler = None
        for part in self._parts():
            part.close()
        self._forget()
        self._primary.close()

    def _is_lost(self) -> bool:
        """Wait for the stream, and ask twice: an error of the work on it comes once, one of the device stays."""
        import pycuda.driver as cuda

        for last in (False, True):
            try:
                if self._stream is not None:
                    wait_for_stream(self._stream)
            except cuda.Error as error:
                if last:
                    logger.info("%s is lost; only the end of the process frees it: %s", self._facts.title, error)
                    return True
            else:
                break
        return False

    def abandon(self) -> None:
        """Leave everything as it is, and only take the context off this thread, which could not end with it."""
        belongings = [thing for part in self._parts() for thing in part.belongings()]
        self._primary.abandon(self._stream, self._profiler, *belongings)
        self._profiler = None
        self._forget()

    def _parts(self) -> list[_Part]:
        # In the order in which they are freed: graphs and contexts, scratch memory, the engine, then the buffers.
        parts = (self._launcher, self._maker, self._engine, self._memory, *self._slots)
        return [part for part in parts if part is not None]

    def _forget(self) -> None:
        self._launcher = self._maker = self._engine = self._memory = self._stream = None
        self._slots.clear()
