"""Execution contexts: made for one engine, bound to shapes and addresses, enqueued on a stream."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from googlenet_edge.atomic import atomic_file
from googlenet_edge.engine.logger import collect
from googlenet_edge.errors import BackendError, DeviceError, OutputError
from googlenet_edge.runtime.trt_engine import LoadedEngine, said

if TYPE_CHECKING:
    from pathlib import Path

    import pycuda.driver as cuda
    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.runtime.trt_config import TrtConfig

__all__ = ["Addresses", "BoundContext", "ContextMaker"]

logger = logging.getLogger(__name__)

Addresses = tuple[int, int, int]
"""Device addresses of ``image``, ``logits`` and ``probabilities``."""


class BoundContext:
    """An execution context, and what it is bound to."""

    def __init__(self, context: trt.IExecutionContext, engine: LoadedEngine, flavour: Flavour) -> None:
        self.context = context
        self._shapes = engine.shapes
        self._title = flavour.title
        self._bound: tuple[int, Addresses] | None = None

    def bind(self, frames: int, addresses: Addresses) -> None:
        """Set the input's shape and all addresses, where they are not yet so. Raises :class:`BackendError`."""
        if self._bound == (frames, addresses):
            return
        self._bound = None
        with collect() as log:
            shape = self._shapes.input(frames)
            bound = self.context.set_input_shape("image", shape)
            for name, address in zip(("image", "logits", "probabilities"), addresses, strict=True):
                bound = self.context.set_tensor_address(name, address) and bound
        if not bound:
            raise BackendError(f"{self._title}: got {said(log)}, expected image {shape} to be bound; build it again")
        for name in ("logits", "probabilities"):
            got = tuple(self.context.get_tensor_shape(name))
            if got != self._shapes.output(frames):
                raise BackendError(
                    f"{self._title}: got {name} {got} of image {shape}, expected {self._shapes.output(frames)}; "
                    "deploy and build it again"
                )
        self._bound = (frames, addresses)

    def enqueue(self, stream: cuda.Stream) -> None:
        """Queue the computation on the stream. Raises :class:`DeviceError` with TensorRT's own words if that fails."""
        with collect() as log:
            queued = self.context.execute_async_v3(stream.handle)
        if not queued:
            raise DeviceError(
                f"{self._title}: cannot enqueue the engine: {said(log)}; start the program again, "
                "and build the engine again if it comes back"
            )


class ContextMaker:
    """Makes the execution contexts of one engine.

    TensorRT: a context whose CUDA graph was captured must keep its shapes, so each graph has one of its own. All
    compute on one stream, one after the other, so they share the scratch memory, which is ours.

    TensorRT-RTX: one context, which captures and replays by itself; it has its own scratch memory.
    """

    def __init__(self, engine: LoadedEngine, flavour: Flavour, config: TrtConfig) -> None:
        self._engine, self._flavour = engine, flavour
        self._scratch: cuda.DeviceAllocation | None = None
        self._runtime_config: trt.IRuntimeConfig | None = None
        self._runtime_cache: trt.IRuntimeCache | None = None
        self._cache_path: Path | None = None
        if flavour.is_rtx:
            self._configure_rtx(config)
        else:
            self._scratch_bytes = engine.engine.device_memory_size_v2
            if self._scratch_bytes:
                import pycuda.driver as cuda

                self._scratch = cuda.mem_alloc(self._scratch_bytes)

    def _configure_rtx(self, config: TrtConfig) -> None:
        self._runtime_config = self._engine.engine.create_runtime_config()
        strategy = self._flavour.api.CudaGraphStrategy
        graphs = config.cuda_graph == "auto" and not config.profile_layers
        self._runtime_config.cuda_graph_strategy = strategy.WHOLE_GRAPH_CAPTURE if graphs else strategy.DISABLED
        if config.runtime_cache is None:
            return
        self._cache_path = config.runtime_cache
        self._runtime_cache = self._runtime_config.create_runtime_cache()
        with collect() as log:
            try:
                content = config.runtime_cache.read_bytes()
                if not self._runtime_cache.deserialize(content):
                    logger.warning("runtime cache %s does not fit and is made again: %s", self._cache_path, said(log))
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("runtime cache %s cannot be read and is made again: %s", self._cache_path, error)
        self._runtime_config.set_runtime_cache(self._runtime_cache)

    def make(self) -> BoundContext:
        """Make one more context. Raises :class:`DeviceError` if there is no memory for it."""
        engine = self._engine.engine
        with collect() as log:
            if self._runtime_config is not None:
                context = engine.create_execution_context(self._runtime_config)
            else:
                by_us = self._flavour.api.ExecutionContextAllocationStrategy.USER_MANAGED
                context = engine.create_execution_context(by_us)
        if context is None:
            raise DeviceError(
                f"{self._flavour.title}: cannot make an execution context: {said(log)}; close what else uses the GPU, "
                "or use an engine of a smaller largest batch (--max-batch)"
            )
        if self._scratch is not None:
            context.set_device_memory(int(self._scratch), self._scratch_bytes)
        return BoundContext(context, self._engine, self._flavour)

    def save_runtime_cache(self) -> None:
        """TensorRT-RTX: keep what was compiled for this GPU. A file that cannot be written is a warning, no more."""
        if self._runtime_cache is None or self._cache_path is None:
            return
        content = bytes(self._runtime_cache.serialize())
        try:
            with atomic_file(self._cache_path, what="runtime cache") as file:
                file.write(content)
        except OutputError as error:
            logger.warning("%s", error)

    def close(self) -> None:
        """Free the scratch memory, after all contexts. May be called again."""
        self._runtime_cache = None
        self._runtime_config = None
        scratch, self._scratch = self._scratch, None
        if scratch is not None:
            scratch.free()

    def belongings(self) -> tuple[object, ...]:
        """All objects of TensorRT's and pycuda's that this holds."""
        return self._scratch, self._runtime_config, self._runtime_cache
