"""What the threads of a run share: the cameras' frames and batches under way, behind one lock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.stream.batching import Chooser
from googlenet_edge.stream.feed import Ended, Result
from googlenet_edge.stream.lanes import Entry, Lane
from googlenet_edge.stream.under_way import Batch, UnderWay

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source
    from googlenet_edge.stream.config import StreamConfig
    from googlenet_edge.stream.feed import Event, PendingFrames
    from googlenet_edge.types import Clock, Frame, Prediction

__all__ = ["Traffic"]


class Traffic:
    """Frames from arrival to result. Methods that do not begin with an underscore take the lock."""

    def __init__(
        self,
        sources: Sequence[Source],
        config: StreamConfig,
        *,
        slots: int,
        max_batch: int,
        now: Clock = time.monotonic_ns,
    ) -> None:
        self._now = now
        self._lock = threading.RLock()
        self._for_feeder = threading.Condition(self._lock)
        self._for_caller = threading.Condition(self._lock)
        # Guarded by the lock:
        self.lanes = [
            Lane(index, source, config.delivery, lock=self._lock, alone=len(sources) == 1)
            for index, source in enumerate(sources)
        ]
        self._chooser = Chooser(self.lanes, config, slots=slots, max_batch=max_batch)
        self._under_way = UnderWay(slots=slots, bound=self._chooser.bound)
        self._suspects: deque[Entry] = deque()  # one of them was refused: each is submitted alone
        self._shown = 0
        self._stopped = False
        self._feeder_ended = False
        self._error: BaseException | None = None

    @property
    def batches(self) -> dict[int, int]:
        """How many batches of each size were computed, so far."""
        with self._lock:
            return dict(self._under_way.sizes)

    # For the takers, one of each camera.

    def may_take(self, lane: Lane) -> bool:
        """Wait until another frame of this camera is wanted, and return False when none will be."""
        with self._lock:
            lane.taking = False
            lane.room.wait_for(lambda: self._stopped or lane.ended or self.wants(lane))
            if self._stopped or lane.ended:
                return False
            lane.taking = not lane.source.live
            lane.waiting_since_s = time.monotonic()
            return True

    def wants(self, lane: Lane) -> bool:
        """Say whether another frame of this camera is wanted now."""
        with self._lock:
            return self._chooser.wanted(lane)

    def arrived(self, lane: Lane, frame: Frame) -> None:
        """Take in a frame."""
        with self._lock:
            lane.taking = False
            lane.put(frame, self._now(), caller_waits=self._under_way.caller_waits)
            self._tell_feeder()
            self._let_take()  # a frame that gave way makes room under max_frames

    def source_ended(self, lane: Lane, error: BaseException | None) -> None:
        """Note that no frame of this camera will arrive any more."""
        with self._lock:
            lane.taking, lane.taker_ended = False, True
            lane.end(error)
            self._wake()

    # For the feeder.

    def next_entries(self) -> list[Entry] | None:
        """Wait until frames are to be computed, together, and return them; None when there will be none."""
        with self._lock:
            while not (self._stopped or self._all_submitted):
                entries, until_ns = self.due()
                if entries:
                    return entries
                self._for_feeder.wait(None if until_ns is None else max(0, until_ns - self._now()) / 1e9)
            return None

    def due(self) -> tuple[list[Entry], int | None]:
        """Return the frames that are to be computed now, or when to ask again if nothing happens until then."""
        with self._lock:
            self._under_way.withdraw(self._able)
            self._harvest()
            if not self._under_way.has_room or self._stopped:
                return [], None
            if self._suspects:
                return [self._suspects.popleft()], None
            lanes, until_ns = self._chooser.choose(self._able, self._now())
            return [lane.begin() for lane in lanes] if until_ns is None else [], until_ns

    def submitted(self, entries: Sequence[Entry], pending: PendingFrames, *, hold: bool) -> None:
        """Note that a batch is under way, which the caller or :meth:`next_entries` will ask for its results."""
        with self._lock:
            self._under_way.add(entries, pending, hold=hold)
            self._for_caller.notify()

    def computed(self, entries: Sequence[Entry], predictions: Sequence[Prediction]) -> None:
        """Take in the results of a batch that was computed at once."""
        with self._lock:
            self._under_way.add_computed(entries, predictions)
            self._for_caller.notify()

    def refused(self, entries: Sequence[Entry], error: GoogLeNetEdgeError) -> None:
        """Note that the classifier does not take a frame: the camera that it comes from ends, the others do not."""
        with self._lock:
            if len(entries) > 1:
                self._suspects.extend(entries)
                return
            entries[0].lane.under_way -= 1
            entries[0].lane.fail(error)
            self._wake()

    def feeder_ended(self, error: BaseException | None) -> None:
        """Note that nothing will be submitted any more."""
        with self._lock:
            self._feeder_ended = True
            self._error = self._error or error
            self._wake()

    # For the caller.

    def next(self, timeout_s: float) -> Event | None:
        """See :meth:`~googlenet_edge.stream.feed.Feed.next`."""
        with self._lock:
            self._harvest()  # of what is there already, the newest
            self._under_way.caller_is_idle = True
            try:
                self._tell_feeder()
                if not self._for_caller.wait_for(self._has_something, timeout_s):
                    return None
                event = self._pop()
                if event is not None:
                    return event
                if not self._under_way:
                    raise self._error or RuntimeError("woken without a reason")
                batch = self._under_way.await_oldest()
            finally:
                self._under_way.caller_is_idle = False
        try:
            predictions = batch.pending.result()
        except GoogLeNetEdgeError:
            with self._lock:
                self._under_way.awaited = None  # after any other exception, it still has to be waited for at the end
            raise
        with self._lock:
            self._under_way.finish(batch.entries, predictions)
            self._under_way.awaited = None
            self._for_feeder.notify()
            return self._pop()

    def idle(self, camera: int) -> bool:
        """Say whether no frame of this camera is under way."""
        with self._lock:
            return self.lanes[camera].idle

    def stop(self) -> None:
        """Tell the threads to end."""
        with self._lock:
            self._stopped = True
            self._wake()

    def wait_for_takers(self, timeout_s: float) -> list[Lane]:
        """Return the cameras whose takers have not ended in this time."""
        with self._lock:
            self._for_caller.wait_for(lambda: all(lane.taker_ended for lane in self.lanes), timeout_s)
            return [lane for lane in self.lanes if not lane.taker_ended]

    def wait_for_feeder(self, timeout_s: float) -> bool:
        """Say whether the feeder has ended within this time."""
        with self._lock:
            return self._for_caller.wait_for(lambda: self._feeder_ended, timeout_s)

    def left(self) -> list[Batch]:
        """Return, once the threads have ended, the batches that nobody has taken."""
        with self._lock:
            return self._under_way.clear()

    # With the lock held.

    @property
    def _able(self) -> list[Lane]:
        return self._chooser.able(caller_waits=self._under_way.caller_waits, held=self._under_way.held)

    @property
    def _all_submitted(self) -> bool:
        return not self._suspects and all(lane.ended and not lane.waiting for lane in self.lanes)

    def _tell_feeder(self) -> None:
        """Wake the feeder if it has something to do. Where processors compute, waking a thread interrupts them."""
        if any(lane.newest for lane in self.lanes) or (self._under_way.has_room and self._able):
            self._for_feeder.notify()

    def _harvest(self) -> None:
        try:
            self._under_way.harvest()
        except BaseException as error:  # noqa: BLE001 - the caller raises it, after the results before it
            self._error, self._stopped = self._error or error, True
            self._wake()

    def _has_something(self) -> bool:
        if self._under_way or self._error is not None:
            return True
        return any(lane.ready or (lane.over and not lane.told) for lane in self.lanes)

    def _pop(self) -> Event | None:
        for lane in self.lanes:
            if lane.over and not lane.told:
                lane.told = True
                if lane.error is None or isinstance(lane.error, GoogLeNetEdgeError):
                    return Ended(lane.index, lane.error)
                raise lane.error
        ready = [lane for lane in self.lanes if lane.ready]
        if not ready:
            return None
        lane = min(ready, key=lambda lane: (lane.shown, lane.index))
        self._shown += 1
        finished = lane.take(self._shown)
        self._for_feeder.notify()
        return Result(lane.index, finished.frame, finished.prediction)

    def _wake(self) -> None:
        self._for_feeder.notify()
        self._for_caller.notify()
        self._let_take()

    def _let_take(self) -> None:
        for lane in self.lanes:
            lane.room.notify()
