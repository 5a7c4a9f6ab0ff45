"""How clocks and temperatures went during a run, and when the machine was slowed down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.sensors.rail import Channel

__all__ = ["MOST_EPISODES", "Episode", "EpisodeLog", "Span", "Timeline"]

MOST_EPISODES = 1000
"""Episodes kept; those after are only counted."""


@dataclass(frozen=True)
class Episode:
    """A stretch of time in which something slowed the machine down.

    The machine is looked at every second or so: an episode begins with the last look before that saw nothing, and ends
    with the first one after that, so it holds the true one, and may be up to two looks longer.
    """

    cause: str
    started_ns: int
    ended_ns: int
    looks: int
    """How many looks saw it; 1 may have been a moment."""


class EpisodeLog:
    """Makes episodes of what each look saw. Times come in rising order, in nanoseconds. Not thread-safe."""

    def __init__(self, most: int = MOST_EPISODES) -> None:
        self._most = most
        self._open: dict[str, tuple[int, int]] = {}
        self._done: list[Episode] = []
        self._previous_ns: int | None = None
        self.dropped = 0
        """Episodes beyond those that are kept."""

    def add(self, causes: Sequence[str], at_ns: int) -> None:
        """Add what one look saw; no cause is common."""
        started_ns = at_ns if self._previous_ns is None else self._previous_ns
        for cause in [cause for cause in self._open if cause not in causes]:
            self._end(cause, at_ns)
        for cause in causes:
            began, looks = self._open.get(cause, (started_ns, 0))
            self._open[cause] = (began, looks + 1)
        self._previous_ns = at_ns

    def episodes(self) -> tuple[Episode, ...]:
        """Return the episodes by their start; those that go on end with the last look."""
        going_on = [
            Episode(cause, began, began if self._previous_ns is None else self._previous_ns, looks)
            for cause, (began, looks) in self._open.items()
        ]
        return tuple(sorted([*self._done, *going_on], key=lambda one: (one.started_ns, one.cause)))

    def _end(self, cause: str, at_ns: int) -> None:
        began, looks = self._open.pop(cause)
        if len(self._done) < self._most:
            self._done.append(Episode(cause, began, at_ns, looks))
        else:
            self.dropped += 1


@dataclass(frozen=True)
class Span:
    """Lowest and highest value of each channel in a stretch of time; nan where there was none."""

    started_ns: int
    ended_ns: int
    """Times of the first and the last look in it."""
    lowest: npt.NDArray[np.float64]
    """float64 (channels,)"""
    highest: npt.NDArray[np.float64]
    """float64 (channels,)"""


class Timeline:
    """Keeps what was seen over time, in bounded memory: on long runs, neighbours are joined two by two.

    No extreme is lost: a span has the lowest and the highest of what it joins. Not thread-safe.
    """

    def __init__(self, channels: Sequence[Channel], capacity: int = 1024) -> None:
        """``capacity`` is the most spans kept; raises :class:`InputError` for fewer than 2, and for an odd number."""
        if capacity < 2 or capacity % 2:
            raise InputError(f"timeline: got capacity {capacity}, expected an even number from 2")
        self.channels = tuple(channels)
        self._times = np.zeros((capacity, 2), dtype=np.int64)
        self._extremes = np.full((2, capacity, len(self.channels)), np.nan)
        self._filled = 0
        self._looks_a_span = 1
        self._looks = 0

    @property
    def looks(self) -> int:
        """How many were added."""
        return self._looks

    def add(self, values: Sequence[float | None], at_ns: int) -> None:
        """Add one look: a value a channel. Raises :class:`InputError` for another number of values."""
        if len(values) != len(self.channels):
            raise InputError(f"timeline: got {len(values)} values, expected {len(self.channels)}, one a channel")
        if self._looks % self._looks_a_span == 0:
            if self._filled == len(self._times):
                self._join()
            self._times[self._filled, 0] = at_ns
            self._extremes[:, self._filled] = np.nan
            self._filled += 1
        row = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        span = self._filled - 1
        self._times[span, 1] = at_ns
        np.fmin(self._extremes[0, span], row, out=self._extremes[0, span])
        np.fmax(self._extremes[1, span], row, out=self._extremes[1, span])
        self._looks += 1

    def spans(self) -> tuple[Span, ...]:
        """Return what is kept, oldest first."""
        return tuple(
            Span(int(times[0]), int(times[1]), low.copy(), high.copy())
            for times, low, high in zip(self._times[: self._filled], self._extremes[0], self._extremes[1], strict=False)
        )

    def _join(self) -> None:
        """Join the full spans two by two."""
        self._times[: self._filled // 2, 0] = self._times[::2, 0]
        self._times[: self._filled // 2, 1] = self._times[1::2, 1]
        self._extremes[0, : self._filled // 2] = np.fmin(self._extremes[0, ::2], self._extremes[0, 1::2])
        self._extremes[1, : self._filled // 2] = np.fmax(self._extremes[1, ::2], self._extremes[1, 1::2])
        self._filled //= 2
        self._looks_a_span *= 2
