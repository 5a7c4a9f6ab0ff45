"""The frames of one camera on their way through the loop. All that is here is guarded by the feed's lock."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from googlenet_edge.stream.counting import CaptureCount

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source
    from googlenet_edge.types import Frame, Prediction

__all__ = ["READ_AHEAD", "Entry", "Finished", "Lane"]

READ_AHEAD: Final = 2
"""Frames that are decoded ahead of the classifier, where every frame is computed."""


@dataclass(eq=False)
class Entry:
    """A frame in its lane."""

    lane: Lane
    frame: Frame
    number: int
    """Its place among the frames that arrived in this lane, from 1."""
    arrived_ns: int


@dataclass(frozen=True)
class Finished:
    """A result that waits to be taken."""

    frame: Frame
    prediction: Prediction
    overtaken_from: int
    """Frames of its lane with a higher number arrived after it was there."""


class Lane:
    """One camera: frames that wait to be computed, those under way, and results that wait to be taken.

    Where the newest frame wins, one frame waits, and one that arrives takes its place; a result that nobody has taken
    yet gives way to a newer one, and of an only camera to a frame that arrives after it was there. (Of several cameras,
    results wait for each other's sinks; to drop one before the next is there would be a waste.) Where every frame is
    computed, none gives way, and the camera is made to wait.
    """

    def __init__(
        self,
        index: int,
        source: Source,
        delivery: Literal["auto", "newest", "every"],
        *,
        lock: threading.RLock,
        alone: bool,
    ) -> None:
        self.index, self.source = index, source
        self._delivery, self._alone = delivery, alone
        self.room = threading.Condition(lock)
        """Notified when the taker may go on."""
        self.count = CaptureCount(source)
        self.newest, self.live = delivery == "newest", False  # both are known with the first frame
        self.waiting: deque[Entry] = deque()
        self.under_way = 0
        self.ready: deque[Finished] = deque()
        self.delivered = 0
        self.taking = False
        """The taker is waiting for a frame of a source that is not live: that frame will come out."""
        self.waiting_since_s = 0.0
        """When the taker last began to wait for a frame."""
        self.taker_ended = False
        self.ended = False
        self.error: BaseException | None = None
        self.told = False
        """The caller knows that it is over."""
        self.served = 0
        """When it last had its turn: of two cameras, the one with the lower number goes first."""
        self.shown = 0
        """When a result of it was last taken, as the number of that result."""
        self.interval_ns: int | None = None
        """The time between its last two frames."""
        self.last_arrived_ns = 0

    @property
    def idle(self) -> bool:
        """No frame of it is here."""
        return not (self.waiting or self.under_way or self.ready)

    @property
    def over(self) -> bool:
        """Nothing more will come of it."""
        return self.ended and self.idle

    @property
    def promised(self) -> int:
        """Frames that came out or will, if all goes well."""
        certain = self.delivered + self.under_way + len(self.ready)
        return certain if self.newest else certain + len(self.waiting) + self.taking

    def put(self, frame: Frame, now_ns: int, *, caller_waits: bool) -> None:
        """Take in a frame that just arrived."""
        if not self.count.taken:
            self.live = self.source.live
            self.newest = self._delivery == "newest" or (self._delivery == "auto" and self.live)
        else:
            self.interval_ns = now_ns - self.last_arrived_ns
        self.last_arrived_ns = now_ns
        self.count.add(frame)
        if self.ended:
            return  # it failed meanwhile
        if self.newest:
            self.waiting.clear()
            self._give_way(caller_waits=caller_waits)
        self.waiting.append(Entry(self, frame, self.count.taken, now_ns))

    def begin(self) -> Entry:
        """Take the oldest waiting frame out, to compute it."""
        entry = self.waiting.popleft()
        self.under_way += 1
        self.room.notify()
        return entry

    def put_back(self, entry: Entry, *, gives_way: bool) -> None:
        """Take back a frame whose computing has not begun; ``gives_way``: a newer one is under way."""
        self.under_way -= 1
        if not (self.newest and (self.waiting or gives_way)):
            self.waiting.appendleft(entry)

    def finish(self, entry: Entry, prediction: Prediction, *, caller_waits: bool, late: bool) -> None:
        """Take in a result; ``late``: it may have been there before the frame that waits arrived."""
        self.under_way -= 1
        if self.newest and not caller_waits:
            self.ready.clear()
        overtaken_from = self.count.taken - (len(self.waiting) if late else 0)
        self.ready.append(Finished(entry.frame, prediction, overtaken_from))
        self._give_way(caller_waits=caller_waits)

    def take(self, number: int) -> Finished:
        """Hand the oldest result to the caller, as the one with this number over all cameras."""
        self.shown = number
        self.delivered += 1
        self.room.notify()
        return self.ready.popleft()

    def end(self, error: BaseException | None) -> None:
        """Note that no frame will arrive any more; those that wait are still computed."""
        self.ended, self.error = True, self.error or error

    def fail(self, error: BaseException) -> None:
        """End it; those that wait are not computed any more."""
        self.end(error)
        self.waiting.clear()
        self.room.notify()

    def _give_way(self, *, caller_waits: bool) -> None:
        """Let go of a result that is out of date. While the caller waits, what is ready is as good as taken."""
        if self.newest and self._alone and not caller_waits:
            while self.ready and self.count.taken > self.ready[0].overtaken_from:
                self.ready.popleft()
