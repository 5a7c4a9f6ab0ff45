"""Memory for the batches under way: pinned arrays on the host, buffers on the device, events that time each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pycuda.driver as cuda

    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.types import ImageArray

__all__ = ["DeviceMemory", "Shapes", "Slot", "wait_for_outputs"]

_NS_PER_MS: Final = 1_000_000
_T = TypeVar("_T", np.uint8, np.float32)


@dataclass(frozen=True)
class Shapes:
    """Sizes of an engine's I/O tensors."""

    size_px: int
    classes: int
    min_batch: int
    max_batch: int

    def input(self, frames: int) -> tuple[int, int, int, int]:
        """Shape of ``image`` for so many frames."""
        return frames, self.size_px, self.size_px, 3

    def output(self, frames: int) -> tuple[int, int]:
        """Shape of ``logits`` and of ``probabilities``."""
        return frames, self.classes


def wait_for_outputs(done: cuda.Event) -> None:
    """Wait until the event was reached: until then the outputs in host memory are those of an older batch.

    pycuda lets other threads run meanwhile, and the event is one that sleeps instead of spinning.
    """
    done.synchronize()


class DeviceMemory:
    """Device buffers of the I/O tensors, sized for the largest batch.

    One set serves all slots: everything runs on one stream, so a batch is uploaded only after the one before it has
    been computed and fetched. So a CUDA graph's addresses fit every slot.
    """

    def __init__(self, shapes: Shapes) -> None:
        import pycuda.driver as cuda

        self._buffers: list[cuda.DeviceAllocation] = []
        output_bytes = shapes.max_batch * shapes.classes * np.dtype(np.float32).itemsize
        for size_bytes in (int(np.prod(shapes.input(shapes.max_batch))), output_bytes, output_bytes):
            try:
                self._buffers.append(cuda.mem_alloc(size_bytes))
            except BaseException:
                self.close()
                raise

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Device addresses of ``image``, ``logits`` and ``probabilities``."""
        image, logits, probabilities = self._buffers
        return int(image), int(logits), int(probabilities)

    def upload(self, images: ImageArray, stream: cuda.Stream) -> None:
        """Queue the copy of ``image`` from pinned memory to the device."""
        import pycuda.driver as cuda

        cuda.memcpy_htod_async(self._buffers[0], images, stream)

    def fetch(self, outputs: Outputs, stream: cuda.Stream) -> None:
        """Queue the copies of both outputs from the device to pinned memory."""
        import pycuda.driver as cuda

        for buffer, array in zip(self._buffers[1:], outputs, strict=True):
            cuda.memcpy_dtoh_async(array, buffer, stream)

    def close(self) -> None:
        """Give the memory back. In the owner thread only."""
        while self._buffers:
            self._buffers.pop().free()

    def belongings(self) -> tuple[object, ...]:
        """All objects of pycuda's that this holds."""
        return tuple(self._buffers)


class Slot:
    """Pinned memory for one batch, and the events along its way."""

    def __init__(self, shapes: Shapes, *, mapped: bool) -> None:
        """Allocate; ``mapped``: the device uses this memory in place, so that nothing is copied."""
        import pycuda.driver as cuda

        self._mapped = mapped
        self._allocations: list[cuda.PagelockedHostAllocation] = []
        self._events: list[cuda.Event] = []
        most = shapes.max_batch
        try:
            self._images: ImageArray = self._pinned(shapes.input(most), np.uint8)
            self._images[:] = 0  # an engine that begins at several frames also computes rows that nobody wrote
            self._logits: npt.NDArray[np.float32] = self._pinned(shapes.output(most), np.float32)
            self._probabilities: npt.NDArray[np.float32] = self._pinned(shapes.output(most), np.float32)
            self._addresses = tuple(part.get_device_pointer() for part in self._allocations) if mapped else ()
            self._events += (cuda.Event(cuda.event_flags.BLOCKING_SYNC) for _ in range(4))
        except BaseException:
            self.close()
            raise

    def _pinned(self, shape: tuple[int, ...], dtype: type[_T]) -> npt.NDArray[_T]:
        import pycuda.driver as cuda

        flags = cuda.host_alloc_flags.DEVICEMAP if self._mapped else 0
        array = cuda.pagelocked_empty(shape, dtype, mem_flags=flags)
        self._allocations.append(cast("cuda.PagelockedHostAllocation", array.base))
        return array

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Of mapped memory: the device's addresses of ``image``, ``logits`` and ``probabilities``."""
        image, logits, probabilities = self._addresses
        return image, logits, probabilities

    @property
    def start(self) -> cuda.Event:
        """Before everything."""
        return self._events[0]

    @property
    def uploaded(self) -> cuda.Event:
        """After the copy to the device; of mapped memory never reached."""
        return self._events[1]

    @property
    def computed(self) -> cuda.Event:
        """After the engine; of mapped memory never reached."""
        return self._events[2]

    @property
    def done(self) -> cuda.Event:
        """After everything."""
        return self._events[3]

    def images(self, frames: int) -> ImageArray:
        """Pinned uint8 (frames, size, size, 3)."""
        return self._images[:frames]

    def outputs(self, frames: int) -> Outputs:
        """Pinned logits and probabilities, float32 (frames, classes)."""
        return self._logits[:frames], self._probabilities[:frames]

    def stage_ns(self) -> tuple[tuple[str, int], ...]:
        """After ``done``: how long each step took on the device, from the events."""
        if self._mapped:
            return (("compute", _between_ns(self.start, self.done)),)
        return (
            ("h2d", _between_ns(self.start, self.uploaded)),
            ("compute", _between_ns(self.uploaded, self.computed)),
            ("d2h", _between_ns(self.computed, self.done)),
        )

    def close(self) -> None:
        """Give the memory and the events back. In the owner thread only; no view of the arrays may be used later."""
        self._events.clear()
        while self._allocations:
            self._allocations.pop().free()

    def belongings(self) -> tuple[object, ...]:
        """All objects of pycuda's that this holds."""
        return (*self._allocations, *self._events)


def _between_ns(start: cuda.Event, end: cuda.Event) -> int:
    return round(start.time_till(end) * _NS_PER_MS)
