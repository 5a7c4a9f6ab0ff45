"""A stand-in for a GPU: a backend that takes a set time for each batch and leaves the processor alone meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from googlenet_edge.bundle.reader import Bundle
from googlenet_edge.errors import BackendError
from googlenet_edge.runtime.backend import Outputs, check_batch
from googlenet_edge.types import ImageArray

__all__ = ["TimedBackend"]


@dataclass
class _TimedTicket:
    """A batch on the timetable of the device."""

    backend: TimedBackend
    frames: int
    begin_ns: int
    end_ns: int
    ready_ns: int | None = None
    device_stage_ns: tuple[tuple[str, int], ...] = ()
    withdrawn: bool = False

    def result(self) -> Outputs:
        return self.backend.wait(self)

    def done(self) -> bool:
        return time.monotonic_ns() >= self.end_ns

    def withdraw(self) -> bool:
        return self.backend.withdraw(self)


@dataclass
class TimedBackend:
    """A :class:`~googlenet_edge.runtime.backend.Backend` of two slots, with an exact timetable instead of a device.

    A batch begins when it is submitted or, if another one is being computed, at the very end of that one, as on a
    GPU's queue; it ends ``device_ms`` later, however many frames it has. Whoever asks for the result sleeps until
    then. So the device itself is exact, and a sleep that ends late (``late_ns``) delays that one result, never the
    next batch.
    """

    bundle: Bundle
    device_ms: float
    slots: int = 2
    max_batch: int | None = None
    late_ns: list[int] = field(default_factory=list)
    """How much later than asked each sleep ended."""

    def __post_init__(self) -> None:
        self.input = self.bundle.manifest.input
        logits, probabilities = self.bundle.manifest.outputs
        self.outputs = (logits, probabilities)
        self._classes = len(self.bundle.labels)
        self._changed = threading.Condition()
        self._under_way: list[_TimedTicket] = []

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        with self._changed:
            self._changed.wait_for(lambda: len(self._under_way) < self.slots)
        yield np.empty((frames, *(int(size) for size in self.input.shape[1:])), dtype=np.uint8)

    def submit(self, batch: ImageArray, *, hold: bool = False) -> _TimedTicket:  # noqa: ARG002 - see withdraw
        check_batch(batch, self.input, self.max_batch)
        with self._changed:
            if len(self._under_way) >= self.slots:
                raise BackendError(f"stand-in: got a batch while {self.slots} are under way, expected a free slot")
            begin_ns = time.monotonic_ns()
            if self._under_way:
                begin_ns = max(begin_ns, self._under_way[-1].end_ns)
            ticket = _TimedTicket(self, len(batch), begin_ns, begin_ns + round(self.device_ms * 1e6))
            self._under_way.append(ticket)
            return ticket

    def infer(self, batch: ImageArray) -> Outputs:
        return self.submit(batch).result()

    def wait(self, ticket: _TimedTicket) -> Outputs:
        """Sleep until the batch is done, and free its slot."""
        if ticket.withdrawn:
            raise BackendError("stand-in: the batch was withdrawn and has no result")
        left_ns = ticket.end_ns - time.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)
            self.late_ns.append(time.monotonic_ns() - ticket.end_ns)
        ticket.ready_ns = ticket.end_ns
        self._free(ticket)
        logits = np.zeros((ticket.frames, self._classes), np.float32)
        return logits, np.full_like(logits, 1 / self._classes)

    def withdraw(self, ticket: _TimedTicket) -> bool:
        """Take the batch back unless it has begun. Nothing was queued behind it then: there are two slots."""
        with self._changed:
            ticket.withdrawn = ticket.begin_ns > time.monotonic_ns() and self._under_way[-1] is ticket
        if ticket.withdrawn:
            self._free(ticket)
        return ticket.withdrawn

    def _free(self, ticket: _TimedTicket) -> None:
        with self._changed:
            self._under_way.remove(ticket)
            self._changed.notify_all()

    def describe(self) -> dict[str, str]:
        return {"backend": "timed stand-in", "version": "1", "provider": f"{self.device_ms:g} ms a batch"}

    def close(self) -> None: ...

    def __enter__(self) -> TimedBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
