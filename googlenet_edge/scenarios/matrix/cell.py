"""One cell of a matrix: its setting, and what its rounds gave."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from googlenet_edge.bundle import Precision
from googlenet_edge.errors import InputError
from googlenet_edge.latency.early_stopping import estimate, minimum_samples
from googlenet_edge.latency.summary import nearest_rank
from googlenet_edge.runtime.open_backend import BackendChoice
from googlenet_edge.scenarios.matrix.jobs import Measured

__all__ = ["Cell", "Figure", "Setting", "Standing"]

Standing: TypeAlias = Literal["met", "not shown", "missed"]
"""How a figure stands to what is wanted: all of its range is within, part of it, or nothing."""

_LEAST_ROUNDS = 2


@dataclass(frozen=True)
class Setting:
    """What is measured in one cell."""

    title: str
    """The bundle's: :attr:`~googlenet_edge.scenarios.matrix.candidates.Candidate.title`."""
    precision: Precision
    batch: int
    backend: BackendChoice

    def named(self, *, backends: bool) -> str:
        """Return its name, with or without the backend."""
        return f"{self.title}, batch {self.batch}{f', {self.backend}' if backends else ''}"


@dataclass(frozen=True)
class Figure:
    """A measured figure, and how far it may be off."""

    value: float
    low: float | None
    high: float | None
    """The ends of its range; None where they are not known: too few rounds, or too few batches for a percentile."""

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.value, self.high) if end is not None]
        if ends != sorted(ends) or not all(map(math.isfinite, ends)):
            raise InputError(f"figure: got {self}, expected low <= value <= high")

    def raised(self, by: float) -> Figure:
        """Return it with something added."""
        return Figure(
            self.value + by,
            None if self.low is None else self.low + by,
            None if self.high is None else self.high + by,
        )

    def at_most(self, limit: float) -> Standing:
        """Say how it stands to an upper limit."""
        if self.high is not None and self.high <= limit:
            return "met"
        return "missed" if self.low is not None and self.low > limit else "not shown"

    def at_least(self, limit: float) -> Standing:
        """Say how it stands to a lower limit."""
        if self.low is not None and self.low >= limit:
            return "met"
        return "missed" if self.high is not None and self.high < limit else "not shown"

    def apart(self, other: Figure) -> bool:
        """Whether the two ranges are known and share nothing."""
        ends = (self.low, self.high, other.low, other.high)
        if ends[0] is None or ends[1] is None or ends[2] is None or ends[3] is None:
            return False
        return ends[1] < ends[2] or ends[3] < ends[0]


@dataclass(frozen=True)
class Cell:
    """A setting, and its rounds so far."""

    setting: Setting
    rounds: tuple[Measured, ...] = ()
    failure: str | None = None
    """Why it was not measured, or not to the end."""

    def with_round(self, measured: Measured) -> Cell:
        """Return it with one more round."""
        return replace(self, rounds=(*self.rounds, measured))

    @property
    def batches(self) -> int:
        """Measured batches of all rounds."""
        return sum(len(one.durations_ns) for one in self.rounds)

    def latency_ms(self, percent: int) -> Figure | None:
        """Return a percentile of a batch's latency over all rounds, nearest rank; None without a round.

        Its range reaches from the lowest to the highest of the rounds' own, and up to where it is with 99 % confidence,
        by the number of batches (early stopping).
        """
        if not self.rounds:
            return None
        rounds = [np.array(one.durations_ns, dtype=np.int64) for one in self.rounds]
        pooled = np.concatenate(rounds)
        bound_ns = estimate(pooled, percent).value_ns
        own = [_percentile_ms(one, percent) for one in rounds]
        value = _percentile_ms(pooled, percent)
        enough = len(rounds) >= _LEAST_ROUNDS
        return Figure(
            value,
            min(own) if enough else None,
            None if bound_ns is None or not enough else max(*own, bound_ns / 1e6),
        )

    def reliable(self, percent: int) -> bool:
        """Whether there are batches enough for this percentile."""
        return self.batches >= minimum_samples(percent)

    def frames_per_second(self, *, overlapped: bool = False) -> Figure | None:
        """Return the median of the rounds' rates, and from the lowest to the highest; None without a round.

        One batch after the other; ``overlapped``: as many under way as there are slots, where there are several.
        """
        if not self.rounds:
            return None
        rates = [
            one.frames_per_second
            if one.overlapped_frames_per_second is None or not overlapped
            else one.overlapped_frames_per_second
            for one in self.rounds
        ]
        if len(rates) < _LEAST_ROUNDS:
            return Figure(rates[0], None, None)
        return Figure(median(rates), min(rates), max(rates))

    @property
    def overlaps(self) -> bool:
        """Whether its backend takes a batch while another one is computed."""
        return any(one.overlapped_frames_per_second is not None for one in self.rounds)

    @property
    def peak_bytes(self) -> int | None:
        """The most memory of any round's process."""
        return max((one.peak_bytes for one in self.rounds), default=None)


def _percentile_ms(durations_ns: npt.NDArray[np.int64], percent: int) -> float:
    return nearest_rank(np.sort(durations_ns), percent) / 1e6
