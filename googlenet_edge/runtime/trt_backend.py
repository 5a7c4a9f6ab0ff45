"""TensorRT on an NVIDIA GPU: a plan and a device become a backend that any thread may use."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np

from googlenet_edge.errors import InputError
from googlenet_edge.runtime.backend import check_batch
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import find_device
from googlenet_edge.runtime.trt_owner import Owner
from googlenet_edge.runtime.trt_queue import BatchQueue, Job
from googlenet_edge.runtime.trt_work import DeviceWork

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.layer_types import EngineLayer
    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.types import ImageArray

__all__ = ["TrtBackend", "TrtConfig"]


class _TrtTicket:
    """A batch on its way; keeps its backend alive."""

    def __init__(self, backend: TrtBackend, queue: BatchQueue, job: Job) -> None:
        self._backend, self._queue, self._job = backend, queue, job

    def result(self) -> Outputs:
        return self._queue.wait(self._job)

    def done(self) -> bool:
        return self._queue.is_over(self._job)

    def withdraw(self) -> bool:
        return self._queue.withdraw(self._job)

    @property
    def ready_ns(self) -> int | None:
        return self._job.ready_ns

    @property
    def device_stage_ns(self) -> tuple[tuple[str, int], ...]:
        return self._job.stage_ns


class _Loan:
    """A slot's pinned memory, lent for the time of a block."""

    def __init__(self, backend: TrtBackend, frames: int) -> None:
        self._backend, self._frames = backend, frames

    def __enter__(self) -> ImageArray:
        backend = self._backend
        self._index = backend._queue.acquire(lend=True)
        array = backend._work.staging(self._index, self._frames)
        self._address = _address(array)
        backend._lent[self._address] = self._index
        return array

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._backend._lent[self._address]
        self._backend._queue.give_back(self._index)


class TrtBackend:
    """One engine on one GPU. All methods may be called from any thread, ``close`` too.

    Times in ``device_stage_ns`` come from CUDA events: ``h2d``, ``compute``, ``d2h``; with zero copy ``compute`` alone.
    A failure of the GPU closes the backend: it ends every ticket under way with a :class:`DeviceError`, and every later
    call says so. On ``close``, batches that the GPU has begun are still computed, and their results stay to be had;
    others end with a :class:`BackendError`.
    """

    def __init__(self, plan: bytes, flavour: Flavour, config: TrtConfig | None = None) -> None:
        """Load a plan and allocate all memory that it will need.

        Args:
            plan: The serialized engine of a bundle's graph, built for this GPU and this very TensorRT.
            flavour: That TensorRT.
            config: How to run it.

        Raises:
            MissingPackageError: pycuda is not installed.
            DeviceError: There is no such GPU, or not enough memory on it.
            BackendError: TensorRT refuses the plan, or its inputs and outputs are not a classifier's.
            InputError: ``config`` asks for zero copy on a GPU that cannot do it.
        """
        self.config = config or TrtConfig()
        self._flavour = flavour
        self._facts = find_device(self.config.device)
        self._work = DeviceWork(plan, flavour, self.config, self._facts)
        self._queue = BatchQueue(slots=self.config.slots, timeout_s=self.config.timeout_s)
        self._owner = Owner(self._work, self._queue)
        # Also when the last reference goes, and when the interpreter ends: while threads still run, so that the owner
        # frees what it made. It must not hold this object, or the first could never happen.
        self._closer = weakref.finalize(self, self._owner.close, last=True)
        try:
            self._owner.start()
        except BaseException:
            self._owner.close(last=True)
            raise
        engine = self._work.engine
        self.input, self.outputs = engine.input, engine.outputs
        self._most = engine.shapes.max_batch
        self._lent: dict[int, int] = {}

    @property
    def max_batch(self) -> int:
        """The most frames that ``submit`` takes at once: the end of the engine's optimization profile."""
        return self._most

    @property
    def slots(self) -> int:
        """How many batches may be under way at once."""
        return self.config.slots

    def staging(self, frames: int) -> AbstractContextManager[ImageArray]:
        """Lend pinned memory, uint8 (frames, size, size, 3), that the GPU reads from; see :class:`Backend`.

        Raises :class:`InputError` for a number of frames that ``submit`` would not take. Entering the block raises
        :class:`BackendError` if the backend is closed, or if no slot becomes free within ``timeout_s``.
        """
        if type(frames) is not int or not 1 <= frames <= self._most:
            raise InputError(f"staging: got {frames!r} frames, expected 1 to {self._most}; split the batch")
        return _Loan(self, frames)

    def submit(self, batch: ImageArray, *, hold: bool = False) -> _TrtTicket:
        """Start on a batch: uint8 (frames, size, size, 3) BGR, C-contiguous, 1 to ``max_batch`` frames.

        The array of :meth:`staging` (or its first frames) goes to the GPU as it is; any other is copied first, here, so
        that it is the caller's again at once. Waits for a free slot. ``hold``: see :class:`Backend`.

        Raises :class:`InputError` for any other array, :class:`BackendError` if the backend is closed.
        """
        self._queue.check_open()
        check_batch(batch, self.input, self._most)
        index = self._lent.get(_address(batch))
        if index is None:
            index = self._queue.acquire(lend=False)
            try:
                self._work.staging(index, len(batch))[:] = batch
            except BaseException:  # Ctrl-C
                self._queue.give_back(index)
                raise
        return _TrtTicket(self, self._queue, self._queue.submit(index, len(batch), hold=hold))

    def infer(self, batch: ImageArray) -> Outputs:
        """Return ``submit(batch).result()``: logits and probabilities, float32 (frames, classes)."""
        return self.submit(batch).result()

    def layer_times_ns(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """With ``profile_layers``: the engine's layers by name, each with its durations in nanoseconds, in order."""
        return self._work.times.get()

    def engine_layers(self) -> tuple[EngineLayer, ...]:
        """With ``profile_layers``: each layer of the engine with its ONNX nodes; () if the plan does not say."""
        return self._work.layers

    def clear_layer_times(self) -> None:
        """Forget the layers' times so far: after the warm-up."""
        self._work.times.clear()

    def describe(self) -> dict[str, str]:
        """Say what computes: backend, version, device and what else bears on its speed."""
        return {
            "backend": self._flavour.name,
            "version": self._flavour.version,
            "provider": self._flavour.title,
            "device": self._facts.name,
            "compute_capability": self._facts.compute_capability,
            "driver": self._facts.driver_version,
            "memory": "mapped (zero copy)" if self._work.mapped else "pinned copies",
            "cuda_graph": self._work.graph_state,
            "slots": str(self.config.slots),
            "max_batch": str(self._most),
        }

    def close(self) -> None:
        """Free what the backend holds. May be called again, from any thread, also after an error."""
        self._owner.close()

    def __enter__(self) -> TrtBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _address(batch: ImageArray) -> int:
    return int(np.asarray(batch).ctypes.data)
