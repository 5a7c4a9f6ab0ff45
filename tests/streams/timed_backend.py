"""Backends whose inference takes a given time, off the CPU as on a GPU, and gives what ONNX Runtime computes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from googlenet_edge.bundle import Bundle
from googlenet_edge.errors import BackendError
from googlenet_edge.runtime.backend import Outputs
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
from googlenet_edge.types import ImageArray, TensorSpec


class OneSlot:
    """Computes in ``submit``, as ONNX Runtime does, after a sleep."""

    slots = 1

    def __init__(self, bundle: Path, inference_s: float, *, max_batch: int | None = 4) -> None:
        self.inference_s, self.max_batch = inference_s, max_batch
        self._real = OrtBackend(Bundle.open(bundle).graph_path, OrtConfig(threads=1))

    @property
    def input(self) -> TensorSpec:
        return self._real.input

    @property
    def outputs(self) -> tuple[TensorSpec, TensorSpec]:
        return self._real.outputs

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        with self._real.staging(frames) as batch:
            yield batch

    def submit(self, batch: ImageArray, *, hold: bool = False) -> Done:
        return Done(self.infer(batch))

    def infer(self, batch: ImageArray) -> Outputs:
        time.sleep(self.inference_s)
        return self._real.infer(batch)

    def describe(self) -> dict[str, str]:
        return {**self._real.describe(), "backend": f"timed {self.inference_s * 1000:g} ms"}

    def close(self) -> None:
        self._real.close()

    def __enter__(self) -> OneSlot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Done:
    outputs: Outputs
    device_stage_ns: tuple[tuple[str, int], ...] = ()
    ready_ns: int | None = None

    def result(self) -> Outputs:
        return self.outputs

    def done(self) -> bool:
        return True

    def withdraw(self) -> bool:
        return False


class Work:
    """A batch that waits for the device, or is on it."""

    device_stage_ns: tuple[tuple[str, int], ...] = ()
    ready_ns: int | None = None

    def __init__(self, device: TwoSlots, slot: int, frames: int) -> None:
        self.device, self.slot, self.frames = device, slot, frames
        self.outputs: Outputs | None = None

    def result(self) -> Outputs:
        device = self.device
        with device.changed:
            device.changed.wait_for(lambda: self.outputs is not None or device.closed)
            if self.outputs is None:
                raise BackendError("the stand-in was closed")
            device.free.append(self.slot)
            device.changed.notify_all()
            return self.outputs

    def done(self) -> bool:
        with self.device.changed:
            return self.outputs is not None

    def withdraw(self) -> bool:
        device = self.device
        with device.changed:
            if self not in device.waiting:
                return False
            device.waiting.remove(self)
            device.free.append(self.slot)
            device.changed.notify_all()
            return True


class TwoSlots(OneSlot):
    """Computes on a thread of its own, one batch after the other, so that the next is prepared meanwhile."""

    slots = 2

    def __init__(self, bundle: Path, inference_s: float, *, max_batch: int = 4) -> None:
        super().__init__(bundle, inference_s, max_batch=max_batch)
        size = [int(side) for side in self.input.shape[1:]]
        self.buffers = np.zeros((self.slots, max_batch, *size), np.uint8)
        self.changed = threading.Condition()  # guards all that follows
        self.free = deque(range(self.slots))
        self.waiting: deque[Work] = deque()
        self.busy = False
        self.closed = False
        self._thread = threading.Thread(target=self._run, name="stand-in device", daemon=True)
        self._thread.start()

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        with self.changed:
            self.changed.wait_for(lambda: self.free or self.closed)
            if self.closed:
                raise BackendError("the stand-in was closed")
            slot = self.free.popleft()
            self._lent, self._used = slot, False
        try:
            yield self.buffers[slot, :frames]
        finally:
            with self.changed:
                if not self._used:
                    self.free.append(slot)
                    self.changed.notify_all()

    def submit(self, batch: ImageArray, *, hold: bool = False) -> Work:  # type: ignore[override]
        with self.changed:
            assert np.shares_memory(batch, self.buffers[self._lent])
            work = Work(self, self._lent, len(batch))
            self._used = True
            self.waiting.append(work)
            self.changed.notify_all()
            return work

    def infer(self, batch: ImageArray) -> Outputs:
        with self.staging(len(batch)) as staged:
            staged[:] = batch
            work = self.submit(staged)
        return work.result()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self._thread.join(30)
        super().close()

    def _run(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting or self.closed)
                if self.closed:
                    return
                work = self.waiting.popleft()
            outputs = super().infer(self.buffers[work.slot, : work.frames])
            with self.changed:
                work.ready_ns = time.monotonic_ns()
                work.outputs = outputs
                self.changed.notify_all()
