"""Batches that are computed on threads of their own, several at once, by a library that computes before it returns."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from googlenet_edge.errors import BackendError

if TYPE_CHECKING:
    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.types import ImageArray

__all__ = ["ComputeQueue", "QueuedTicket"]

JOIN_S: Final = 5.0
"""Longest wait in :meth:`ComputeQueue.close` for what is being computed."""


class QueuedTicket:
    """A batch in the queue; a :class:`~googlenet_edge.runtime.backend.Ticket`."""

    def __init__(self, queue: ComputeQueue, batch: ImageArray, *, hold: bool) -> None:
        self._queue = queue
        # What follows is the queue's, and guarded by its lock.
        self.batch: ImageArray | None = batch
        self.hold = hold
        self.begun_ns: int | None = None
        self.withdrawn = False
        self.outputs: Outputs | None = None
        self.error: BaseException | None = None
        self.ready_ns: int | None = None

    @property
    def device_stage_ns(self) -> tuple[tuple[str, int], ...]:
        """After :meth:`result`: how long it was being computed, as (("compute", ns),); not its time in the queue."""
        if self.begun_ns is None or self.ready_ns is None:
            return ()
        return (("compute", self.ready_ns - self.begun_ns),)

    def result(self) -> Outputs:
        """Wait for the batch, free its slot and return (logits, probabilities). Raises what computing it raised."""
        return self._queue.wait(self)

    def done(self) -> bool:
        """Say whether :meth:`result` would return, or raise, at once."""
        return self._queue.is_done(self)

    def withdraw(self) -> bool:
        """Take the batch back if computing it has not begun, and say whether that was so."""
        return self._queue.withdraw(self)


class ComputeQueue:
    """Threads that call ``compute``, for at most ``at_once`` batches at once, begun in the order of submission.

    At most ``slots`` batches are under way, those that wait and those whose result nobody has taken yet included. May
    be used from several threads.

    The threads start with the first batch, and end with :meth:`close`.
    """

    def __init__(self, compute: Callable[[ImageArray], Outputs], at_once: int, *, slots: int) -> None:
        self._compute, self._at_once, self._slots = compute, at_once, slots
        self._lock = threading.Lock()  # guards all that follows, and the tickets
        # One condition for each that waits: on a busy machine every thread that wakes for nothing interrupts computing.
        self._slot_free, self._may_compute, self._done = (threading.Condition(self._lock) for _ in range(3))
        self._waiting: deque[QueuedTicket] = deque()
        self._computing = 0
        self._taken = 0
        self._threads: list[threading.Thread] = []
        self._closed = False

    def wait_for_slot(self) -> None:
        """Return when a slot is free. Raises :class:`BackendError` if the queue is closed."""
        with self._lock:
            self._slot_free.wait_for(lambda: self._taken < self._slots or self._closed)
            self._check_open()

    def submit(self, batch: ImageArray, *, hold: bool) -> QueuedTicket:
        """Take a slot, once there is one, and queue the batch; with ``hold`` it begins when nothing is computed."""
        with self._lock:
            self._slot_free.wait_for(lambda: self._taken < self._slots or self._closed)
            self._check_open()
            self._taken += 1
            if len(self._threads) < self._at_once:
                thread = threading.Thread(target=self._run, name=f"inference {len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            ticket = QueuedTicket(self, batch, hold=hold)
            self._waiting.append(ticket)
            if self._may_begin():
                self._may_compute.notify()
            return ticket

    def wait(self, ticket: QueuedTicket) -> Outputs:
        """See :meth:`QueuedTicket.result`."""
        with self._lock:
            self._done.wait_for(lambda: self._is_done(ticket))
            self._check_not_withdrawn(ticket)
            outputs, ticket.outputs = ticket.outputs, None
            error = ticket.error
            if ticket.batch is not None:
                ticket.batch = None
                self._free()
        if error is not None:
            raise error
        if outputs is None:
            raise BackendError("result: it was taken before; keep it")
        return outputs

    def is_done(self, ticket: QueuedTicket) -> bool:
        """See :meth:`QueuedTicket.done`."""
        with self._lock:
            return self._is_done(ticket)

    def withdraw(self, ticket: QueuedTicket) -> bool:
        """See :meth:`QueuedTicket.withdraw`."""
        with self._lock:
            # On an idle device a batch waits for nothing more than a thread to wake up.
            turn = self._waiting and self._waiting[0] is ticket and self._may_begin()
            if ticket.begun_ns is not None or ticket.withdrawn or turn or self._is_done(ticket):
                return False
            self._waiting.remove(ticket)
            ticket.withdrawn, ticket.batch = True, None
            self._free()
            self._done.notify_all()
            if self._may_begin():
                self._may_compute.notify()
            return True

    def close(self) -> None:
        """End the threads after what they compute; what has not begun fails. May be called again."""
        with self._lock:
            self._closed = True
            while self._waiting:
                self._waiting.popleft().error = BackendError("backend: it was closed before this batch was computed")
            for condition in (self._slot_free, self._may_compute, self._done):
                condition.notify_all()
            threads = list(self._threads)
        end = time.monotonic() + JOIN_S
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _check_open(self) -> None:
        if self._closed:
            raise BackendError("backend: it is closed, expected an open one; make a new one")

    @staticmethod
    def _check_not_withdrawn(ticket: QueuedTicket) -> None:
        if ticket.withdrawn:
            raise BackendError("result: the batch was withdrawn, expected one that is computed; submit it again")

    @staticmethod
    def _is_done(ticket: QueuedTicket) -> bool:
        return ticket.withdrawn or ticket.error is not None or ticket.ready_ns is not None

    def _free(self) -> None:
        self._taken -= 1
        self._slot_free.notify_all()  # who waits for a slot need not take it

    def _may_begin(self) -> bool:
        return bool(self._waiting) and not (self._waiting[0].hold and self._computing)

    # On the computing threads.

    def _run(self) -> None:
        while (ticket := self._begin()) is not None:
            outputs: Outputs | None = None
            error: BaseException | None = None
            try:
                if ticket.batch is not None:
                    outputs = self._compute(ticket.batch)
            except BaseException as caught:  # noqa: BLE001 - whoever asks for the result raises it
                error = caught
            with self._lock:
                self._computing -= 1
                ticket.outputs, ticket.error, ticket.ready_ns = outputs, error, time.monotonic_ns()
                self._done.notify_all()
            del ticket, outputs, error

    def _begin(self) -> QueuedTicket | None:
        """Wait for the next batch's turn; None when closed."""
        with self._lock:
            self._may_compute.wait_for(lambda: self._may_begin() or self._closed)
            if not self._waiting:
                return None
            ticket = self._waiting.popleft()
            ticket.begun_ns = time.monotonic_ns()
            self._computing += 1
            if self._may_begin():
                self._may_compute.notify()
            return ticket
