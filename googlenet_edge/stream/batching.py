"""Which frames are taken up, and which are computed next, together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from googlenet_edge.stream.lanes import READ_AHEAD

if TYPE_CHECKING:
    from googlenet_edge.stream.config import StreamConfig
    from googlenet_edge.stream.lanes import Lane

__all__ = ["Chooser", "fairest", "worth_waiting_for"]


def fairest(lanes: Collection[Lane], bound: int) -> list[Lane]:
    """Return at most ``bound`` of the lanes, those that were served longest ago first."""
    return sorted(lanes, key=lambda lane: (lane.served, lane.index))[:bound]


def worth_waiting_for(
    lanes: Collection[Lane], deadline_ns: int, now_ns: int, connected: Callable[[Lane], bool]
) -> bool:
    """Say whether a live camera that has no frame waiting will probably have one at the deadline.

    Its frames come at intervals like the last one. One that is late by a whole interval is not waited for: it may be
    dead, and must not slow the others.
    """
    return any(
        lane.interval_ns is not None
        and lane.live
        and not lane.ended
        and not lane.waiting
        and lane.last_arrived_ns + lane.interval_ns <= deadline_ns
        and now_ns < lane.last_arrived_ns + 2 * lane.interval_ns
        and connected(lane)
        for lane in lanes
    )


class Chooser:
    """Says which frames may be taken up, and which go next. Used with the feed's lock held."""

    def __init__(self, lanes: Sequence[Lane], config: StreamConfig, *, slots: int, max_batch: int) -> None:
        self._lanes, self._most, self._slots = lanes, config.max_frames, slots
        self.bound = min(max_batch, config.max_batch or max_batch, len(lanes))
        """The most frames of one batch."""
        self._wait_ns = round(config.batch_wait_ms * 1e6)

    def wanted(self, lane: Lane) -> bool:
        """Say whether the next frame of this camera is to be taken from its source."""
        if lane.newest:
            return True
        # What lies ready for the classifier is cropped and small. A whole frame that waits drops out of the caches.
        here = len(lane.waiting) + lane.under_way + len(lane.ready)
        return len(lane.waiting) < READ_AHEAD and here < max(self._slots, READ_AHEAD + 2) and self._spare > 0

    def able(self, *, caller_waits: bool, held: Collection[Lane]) -> list[Lane]:
        """Return the cameras of which a frame may be computed now; ``held``: those with one that may be taken back."""
        return [lane for lane in self._lanes if lane.waiting and self._may_go(lane, caller_waits, held)]

    def choose(self, able: Collection[Lane], now_ns: int) -> tuple[list[Lane], int | None]:
        """Return the cameras whose frames go next, and until when to wait for those of others; None: not at all."""
        spare = max(0, self._spare)
        live = [lane for lane in able if lane.newest]
        if len(live) > spare:
            able = [lane for lane in able if not lane.newest] + fairest(live, spare)
        chosen = fairest(able, self.bound)
        if not chosen or len(chosen) == self.bound:
            return chosen, None
        deadline_ns = min(lane.waiting[0].arrived_ns for lane in chosen) + self._wait_ns
        if now_ns < deadline_ns and worth_waiting_for(self._lanes, deadline_ns, now_ns, _connected):
            return chosen, deadline_ns
        return chosen, None

    @property
    def _spare(self) -> int:
        """How many more frames may be promised to the caller."""
        return len(self._lanes) if self._most is None else self._most - sum(lane.promised for lane in self._lanes)

    def _may_go(self, lane: Lane, caller_waits: bool, held: Collection[Lane]) -> bool:  # noqa: FBT001 - as in able()
        if lane.newest:
            return not (lane.ready and caller_waits)  # the caller is about to take that one: then there is room
        # Where every frame counts, none goes ahead of one that may have to wait again.
        return lane.under_way + len(lane.ready) < max(2, self._slots) and lane not in held


def _connected(lane: Lane) -> bool:
    return lane.source.connected
