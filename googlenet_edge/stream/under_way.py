"""Batches between the feeder, which submits them, and the caller, who takes their results."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from googlenet_edge.stream.feed import PendingFrames
    from googlenet_edge.stream.lanes import Entry, Lane
    from googlenet_edge.types import Prediction

__all__ = ["Batch", "UnderWay", "out_of_date"]


@dataclass(eq=False)
class Batch:
    """Frames that were submitted together, at most one of each camera."""

    entries: Sequence[Entry]
    pending: PendingFrames
    served_before: Sequence[int]
    """``Lane.served`` of each, before this batch."""
    may_give_way: bool
    """It was submitted to begin when nothing else is being computed, and has not been seen to have begun."""


def out_of_date(batch: Batch, could_join: Collection[Lane], bound: int) -> bool:
    """Say whether a batch that has not begun is better made anew.

    That is so when all its live cameras have a newer frame, or one has its second newer frame: the frames are thus no
    older than two periods when they begin, and a batch of cameras that deliver at different moments is not made anew
    at each one's frame. Or when there is room in it, and another camera has a frame that ``could_join``.
    """
    live = [entry for entry in batch.entries if entry.lane.newest]
    if live and all(entry.lane.waiting for entry in live):
        return True
    if any(entry.lane.count.taken - entry.number >= 2 for entry in live):
        return True
    inside = {entry.lane for entry in batch.entries}
    return len(batch.entries) < bound and any(lane not in inside for lane in could_join)


class UnderWay:
    """The batches that were submitted, oldest first. Used with the feed's lock held, and never waits.

    A classifier of one slot computes before it returns: only the results come through here.
    """

    def __init__(self, *, slots: int, bound: int) -> None:
        self._slots, self._bound = slots, bound
        self._batches: deque[Batch] = deque()
        self._served = 0
        self.awaited: Batch | None = None
        """The one whose results the caller waits for, without the lock."""
        self.caller_is_idle = False
        """The caller waits for anything."""
        self.sizes: Counter[int] = Counter()
        """How many batches of each size were computed."""

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def caller_waits(self) -> bool:
        """Whatever comes next is taken at once."""
        return self.caller_is_idle or self.awaited is not None

    @property
    def has_room(self) -> bool:
        """Another batch can be submitted without a wait."""
        return self._slots == 1 or len(self._batches) + (self.awaited is not None) < self._slots

    @property
    def held(self) -> set[Lane]:
        """The cameras whose frames may be taken back."""
        return {entry.lane for batch in self._batches if batch.may_give_way for entry in batch.entries}

    def add(self, entries: Sequence[Entry], pending: PendingFrames, *, hold: bool) -> None:
        """Note a batch that was submitted."""
        self._batches.append(Batch(entries, pending, self._serve(entries), may_give_way=hold))

    def add_computed(self, entries: Sequence[Entry], predictions: Sequence[Prediction]) -> None:
        """Note a batch that was submitted and computed in one."""
        self._serve(entries)
        self.finish(entries, predictions)

    def withdraw(self, could_join: Collection[Lane]) -> None:
        """Take back batches that have not begun and are out of date; their frames wait again, or have given way."""
        later: set[Lane] = set()
        for batch in reversed(tuple(self._batches)):
            if batch.may_give_way and out_of_date(batch, could_join, self._bound):
                if batch.pending.withdraw():
                    self._batches.remove(batch)
                    for entry, served in zip(batch.entries, batch.served_before, strict=True):
                        entry.lane.served = served
                        entry.lane.put_back(entry, gives_way=entry.lane in later)
                    continue
                batch.may_give_way = False
            later.update(entry.lane for entry in batch.entries)

    def harvest(self) -> None:
        """Take the results that are there, while the caller is busy with older ones. Raises what they raise."""
        while not self.caller_waits and self._batches and self._batches[0].pending.done():
            batch = self._batches.popleft()
            self.finish(batch.entries, batch.pending.result(), late=True)

    def await_oldest(self) -> Batch:
        """Take out the oldest batch, for the caller to wait for."""
        self.awaited = self._batches.popleft()
        return self.awaited

    def finish(self, entries: Sequence[Entry], predictions: Sequence[Prediction], *, late: bool = False) -> None:
        """Put results where the caller takes them; ``late``: as in :meth:`Lane.finish`."""
        self.sizes[len(entries)] += 1
        for entry, prediction in zip(entries, predictions, strict=True):
            entry.lane.finish(entry, prediction, caller_waits=self.caller_waits, late=late)

    def clear(self) -> list[Batch]:
        """Take out what is left at the end."""
        batches = [*([self.awaited] if self.awaited else []), *self._batches]
        self.awaited = None
        self._batches.clear()
        return batches

    def _serve(self, entries: Sequence[Entry]) -> list[int]:
        """Note whose turn it was, and return when it was their turn before."""
        before = [entry.lane.served for entry in entries]
        for entry in entries:  # in the order of their turns, which thus stays the same for those of one batch
            self._served += 1
            entry.lane.served = self._served
        return before
