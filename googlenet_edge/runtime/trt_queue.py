"""Batches on their way to a GPU and back: which slot they lie in, whose turn it is, and what became of them.

No thread and no CUDA here, only the state that callers, the owner thread and the watcher thread share, behind one lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from googlenet_edge.errors import BackendError, DeviceError

if TYPE_CHECKING:
    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.types import Clock

__all__ = ["BatchQueue", "Job"]

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """A batch in a slot, from its submission to its results."""

    slot: int
    frames: int
    hold: bool
    state: Literal["waiting", "beginning", "running", "done", "withdrawn", "failed"] = "waiting"
    outputs: Outputs | None = None
    stage_ns: tuple[tuple[str, int], ...] = ()
    ready_ns: int | None = None

    @property
    def over(self) -> bool:
        """Whether nothing will become of it any more."""
        return self.state in ("done", "withdrawn", "failed")


@dataclass(eq=False)
class _Slot:
    lender: int | None = None
    """The thread that has its memory on loan."""
    busy: bool = False
    """A job owns it."""


class BatchQueue:
    """First in, first out. The first methods are for callers, the last ones for the two threads that serve them."""

    def __init__(self, *, slots: int, timeout_s: float, clock: Clock = time.monotonic_ns) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._slots = [_Slot() for _ in range(slots)]
        self._waiting: deque[Job] = deque()
        self._running: deque[Job] = deque()
        self._opened = self._stopping = self._last = False
        self._failure: BackendError | None = None
        # Reentrant: the garbage collector may close one backend in a thread that is inside another one.
        self._lock = threading.RLock()
        self._for_owner = threading.Condition(self._lock)
        self._for_watcher = threading.Condition(self._lock)
        self._for_callers = threading.Condition(self._lock)

    def wait_until_open(self) -> None:
        """Wait until the engine is loaded; raise what went wrong."""
        with self._lock:
            self._for_callers.wait_for(lambda: self._opened or self._stopping)
            if self._failure is not None:
                raise self._failure

    def check_open(self) -> None:
        """Raise :class:`BackendError` if the backend is closed, with the reason if a failure closed it."""
        with self._lock:
            if self._failure is not None:
                raise DeviceError(f"backend: it was closed by an error; make a new one. The error: {self._failure}")
            if self._stopping:
                raise BackendError("backend: it is closed, expected an open one; make a new one")

    def acquire(self, *, lend: bool) -> int:
        """Take a free slot; ``lend``: until :meth:`give_back`, else until its job is over."""
        with self._lock:
            self._for_callers.wait_for(lambda: self._stopping or self._free() is not None, self._timeout_s)
            self.check_open()
            index = self._free()
            if index is None:
                raise BackendError(
                    f"backend: got no free slot within {self._timeout_s:g} s, expected one of {len(self._slots)}; "
                    "end the blocks of staging() that lend one"
                )
            self._slots[index].busy = not lend
            self._slots[index].lender = threading.get_ident() if lend else None
            return index

    def give_back(self, index: int) -> None:
        """End a loan; or, of a slot that was taken without one, give up before it is submitted."""
        with self._lock:
            if self._slots[index].lender is None:
                self._slots[index].busy = False
            self._slots[index].lender = None
            self._notify()

    def submit(self, index: int, frames: int, *, hold: bool) -> Job:
        """Queue the batch that lies in a slot."""
        with self._lock:
            try:
                self.check_open()
            except BackendError:
                self._slots[index].busy = False
                self._notify()
                raise
            if self._slots[index].lender is not None and self._slots[index].busy:
                raise BackendError("staging: got the same array twice, expected it once; lend another for each batch")
            self._slots[index].busy = True
            job = Job(index, frames, hold)
            self._waiting.append(job)
            self._for_owner.notify()
            return job

    def wait(self, job: Job) -> Outputs:
        """Wait for a job and return its outputs; raise :class:`BackendError` if it has none."""
        with self._lock:
            if not self._for_callers.wait_for(lambda: job.over, self._timeout_s):
                seconds = f"{self._timeout_s:g} s"
                self.fail(DeviceError(f"GPU: got no result within {seconds}, expected one; start the program again"))
            if job.outputs is not None:
                return job.outputs
            if job.state == "withdrawn":
                raise BackendError("ticket: got one that was withdrawn, which has no result; submit the batch again")
            if self._failure is not None:
                raise type(self._failure)(str(self._failure)) from self._failure
            raise BackendError("backend: it was closed before this batch was computed; make a new one")

    def is_over(self, job: Job) -> bool:
        """Say whether :meth:`wait` would return, or raise, at once."""
        with self._lock:
            return job.over

    def withdraw(self, job: Job) -> bool:
        """Take a job back that has not begun, and say whether that was so.

        One that the idle device is about to begin stays: a caller who is always quicker than the owner's thread would
        else take back every batch, and nothing would ever be computed.
        """
        with self._lock:
            if job.state != "waiting" or (self._waiting[0] is job and not self._running):
                return False
            self._waiting.remove(job)
            self._end(job, "withdrawn")
            return True

    def stop(self, *, last: bool) -> bool:
        """Take no more batches; those that have begun are still computed, others fail.

        ``last``: the interpreter ends, so that what is on loan will never be given back. Returns whether this very
        thread has a loan: it must not wait for the memory to be freed, then.
        """
        with self._lock:
            self._last = self._last or last
            self._stop()
            return any(slot.lender == threading.get_ident() for slot in self._slots)

    # For the two threads.

    def opened(self) -> None:
        """The engine is loaded."""
        with self._lock:
            self._opened = True
            self._notify()

    def next(self) -> Job | None:
        """Wait for the batch to begin next; None: there will be no more."""
        with self._lock:
            while not self._stopping:
                # A held batch waits for an idle device; what was submitted after it stays behind it.
                if self._waiting and not (self._waiting[0].hold and self._running):
                    job = self._waiting.popleft()
                    job.state = "beginning"
                    self._running.append(job)
                    return job
                self._for_owner.wait()
            return None

    def begun(self, job: Job) -> None:
        """The batch is on the device."""
        with self._lock:
            if not job.over:
                job.state = "running"
            self._for_watcher.notify()

    def oldest(self) -> Job | None:
        """Wait for the batch that will be ready next; None: there will be no more."""
        with self._lock:
            while True:
                if self._running and self._running[0].state == "running":
                    return self._running[0]
                if self._stopping and not self._running:
                    return None
                self._for_watcher.wait()

    def finished(self, job: Job, outputs: Outputs, stage_ns: tuple[tuple[str, int], ...]) -> None:
        """The oldest batch has its results."""
        with self._lock:
            if not job.over:
                self._running.popleft()
                job.outputs, job.stage_ns, job.ready_ns = outputs, stage_ns, self._clock()
                self._end(job, "done")

    def fail(self, error: BackendError) -> None:
        """Nothing works any more: close, and end every batch with this error."""
        with self._lock:
            if self._failure is None:
                self._failure = error
                logger.info("the GPU backend closes: %s", error)  # callers are told by an exception
            while self._running:
                self._end(self._running.popleft(), "failed")
            self._stop()

    def wait_for_loans(self) -> bool:
        """Wait until no memory is on loan; False: it will never be given back."""
        with self._lock:
            self._for_owner.wait_for(lambda: self._last or not self._lent())
            return not self._lent()

    # With the lock held.

    def _free(self) -> int | None:
        return next((i for i, slot in enumerate(self._slots) if slot.lender is None and not slot.busy), None)

    def _lent(self) -> bool:
        return any(slot.lender is not None for slot in self._slots)

    def _end(self, job: Job, state: Literal["done", "withdrawn", "failed"]) -> None:
        job.state = state
        self._slots[job.slot].busy = False
        self._notify()

    def _stop(self) -> None:
        self._stopping = True
        while self._waiting:
            self._end(self._waiting.popleft(), "failed")
        self._notify()

    def _notify(self) -> None:
        self._for_callers.notify_all()
        self._for_owner.notify()
        self._for_watcher.notify()
