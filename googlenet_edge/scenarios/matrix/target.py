"""What a setting shall give, and whether a cell is shown to give it.

A cell meets a limit only if all of the figure's range is within: a range that straddles the limit is "not shown" to
meet it, however good its middle looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from googlenet_edge.errors import InputError
from googlenet_edge.latency.summary import PERCENTILES, minimum_samples
from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy
from googlenet_edge.scenarios.matrix.cell import Cell, Figure, Standing

__all__ = ["Check", "Target", "standing"]

_WORST: Final[tuple[Standing, ...]] = ("missed", "not shown", "met")


@dataclass(frozen=True)
class Check:
    """One limit, and how a cell stands to it."""

    standing: Standing
    said: str
    """What was found, and what was wanted."""
    excess: float
    """How far beyond the limit the figure is, as a share of it; below 0 within."""


@dataclass(frozen=True)
class Target:
    """What is wanted. Raises :class:`InputError` for what cannot be."""

    latency_ms: float | None = None
    """The most that the percentile may be: of a batch, or, with a frame rate, of the oldest frame in it."""
    percent: int = 99
    frames_per_second: float | None = None
    """Frames that come evenly, so many a second in all: of one camera, or of several together."""
    min_top1_percent: float | None = None
    max_drop_points: float | None = None
    """The most of top-1 that may be lost against FP32, in percentage points."""

    def __post_init__(self) -> None:
        above = [value for value in (self.latency_ms, self.frames_per_second) if value is not None]
        shares = [value for value in (self.min_top1_percent, self.max_drop_points) if value is not None]
        if (
            self.percent not in PERCENTILES
            or not all(0 < value < math.inf for value in above)
            or not all(0 <= value <= 100 for value in shares)
        ):
            raise InputError(
                f"target: got {self}, expected one of the percentiles {', '.join(map(str, PERCENTILES))}, latency and "
                "rate above 0, and percentages from 0 to 100"
            )

    @property
    def wanted(self) -> bool:
        """Whether there is any limit."""
        return self.bounds_accuracy or self.latency_ms is not None or self.frames_per_second is not None

    @property
    def bounds_accuracy(self) -> bool:
        """Whether it says what accuracy is enough."""
        return self.min_top1_percent is not None or self.max_drop_points is not None

    @property
    def overlapped(self) -> bool:
        """Whether batches may overlap: latencies are those of one batch after the other."""
        return self.latency_ms is None

    def wait_ms(self, batch: int) -> float:
        """Return how long the oldest frame of a batch waits until the batch is full."""
        if self.latency_ms is None or self.frames_per_second is None:
            return 0.0
        return (batch - 1) * 1e3 / self.frames_per_second

    def batches_wanted(self, cell: Cell) -> int:
        """Return how many batches a cell should have in all, for its percentile to rest on.

        Not more than there are where half of them take too long already: no number of them would help.
        """
        median = cell.latency_ms(50)
        if self.latency_ms is None or median is None:
            return 0
        hopeless = median.value + self.wait_ms(cell.setting.batch) > self.latency_ms
        return 0 if hopeless else minimum_samples(self.percent)

    def check(self, cell: Cell, accuracy: CellAccuracy | None) -> tuple[Check, ...]:
        """Return how a cell stands to each limit. A cell without a round, or with a failure, has nothing to show."""
        latency, rate = cell.latency_ms(self.percent), cell.frames_per_second(overlapped=self.overlapped)
        if latency is None or rate is None or cell.failure is not None:
            return (Check("not shown", cell.failure or "not measured", math.inf),)
        checks = []
        if self.latency_ms is not None:
            checks.append(self._check_latency(cell, latency, self.latency_ms))
        if self.frames_per_second is not None:
            wanted = self.frames_per_second
            said = f"{_ranged(rate, 1)} frames/s, of at least {wanted:g}"
            checks.append(Check(rate.at_least(wanted), said, wanted / rate.value - 1))
        if self.min_top1_percent is not None:
            checks.append(_check_top1(accuracy, self.min_top1_percent))
        if self.max_drop_points is not None:
            checks.append(_check_drop(accuracy, self.max_drop_points))
        return tuple(checks)

    def _check_latency(self, cell: Cell, latency: Figure, limit_ms: float) -> Check:
        wait_ms = self.wait_ms(cell.setting.batch)
        age = latency.raised(wait_ms)
        few = (
            "" if cell.reliable(self.percent) else f"; {cell.batches} batches, it takes {minimum_samples(self.percent)}"
        )
        waited = f", {wait_ms:.1f} of it waiting for the batch to fill" if wait_ms else ""
        said = f"p{self.percent} {_ranged(age, 1)} ms, of at most {limit_ms:g}{waited}{few}"
        return Check(age.at_most(limit_ms), said, age.value / limit_ms - 1)


def standing(checks: Sequence[Check]) -> Standing:
    """Return the worst of them; "met" for none."""
    return min((one.standing for one in checks), key=_WORST.index, default="met")


def _check_top1(accuracy: CellAccuracy | None, least: float) -> Check:
    if accuracy is None:
        return Check("not shown", f"top-1 not known, at least {least:g} % wanted", 1.0)
    said = f"top-1 {_ranged(accuracy.top1, 2)} %, of at least {least:g}"
    return Check(accuracy.top1.at_least(least), said, (least - accuracy.top1.value) / 100)


def _check_drop(accuracy: CellAccuracy | None, most: float) -> Check:
    if accuracy is None or accuracy.drop is None:
        return Check("not shown", f"loss against FP32 not known, at most {most:g} points wanted", 1.0)
    said = f"{_ranged(accuracy.drop, 2)} points of top-1 lost against FP32, of at most {most:g}"
    return Check(accuracy.drop.at_most(most), said, (accuracy.drop.value - most) / 100)


def _ranged(figure: Figure, decimals: int) -> str:
    def number(value: float | None) -> str:
        return "?" if value is None else f"{value:.{decimals}f}"

    return f"{number(figure.value)} ({number(figure.low)} to {number(figure.high)})"
