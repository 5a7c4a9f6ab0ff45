"""Two networks on the same images: the difference of their accuracies, and what it may be by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

from googlenet_edge.errors import InputError
from googlenet_edge.evaluation.report import Accuracy

__all__ = ["PairedCounts"]


@dataclass(frozen=True)
class PairedCounts:
    """How many images each of two networks got right. Only those on which they differ say which one is better."""

    both: int
    only_reference: int
    only_candidate: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.only_reference, self.only_candidate, self.neither) < 0 or self.count < 1:
            raise InputError(f"paired counts: got {self}, expected numbers from 0, and at least one image")

    @property
    def count(self) -> int:
        """Images in all."""
        return self.both + self.only_reference + self.only_candidate + self.neither

    @property
    def reference(self) -> Accuracy:
        """The reference's accuracy."""
        return Accuracy(self.both + self.only_reference, self.count)

    @property
    def candidate(self) -> Accuracy:
        """The candidate's accuracy."""
        return Accuracy(self.both + self.only_candidate, self.count)

    @property
    def difference_points(self) -> float:
        """The candidate's accuracy less the reference's, in percentage points."""
        return 100 * (self.only_candidate - self.only_reference) / self.count

    @property
    def interval_points(self) -> tuple[float, float]:
        """The 95 % confidence interval of the difference, in percentage points.

        Method 10 of Newcombe (1998, Statistics in Medicine 17, 2635-2650): the score intervals (Wilson) of both
        accuracies, put together by squaring and adding, less what their correlation takes away; the correlation is
        corrected for continuity where it is positive. Closed form, never empty, within -100 to 100; of the methods
        there, the one whose coverage is near 95 % also for small samples and accuracies near 100 %.
        """
        count, correlation = self.count, self._correlation()
        first, second = self.candidate, self.reference
        (low_1, high_1), (low_2, high_2) = first.interval_percent, second.interval_percent
        below_1, above_1 = first.percent - low_1, high_1 - first.percent
        below_2, above_2 = second.percent - low_2, high_2 - second.percent
        # The square cannot be below 0 but for rounding: a correlation is at most 1.
        down = math.sqrt(max(0.0, below_1**2 - 2 * correlation * below_1 * above_2 + above_2**2))
        up = math.sqrt(max(0.0, above_1**2 - 2 * correlation * above_1 * below_2 + below_2**2))
        difference = 100 * (self.only_candidate - self.only_reference) / count
        return max(-100.0, difference - down), min(100.0, difference + up)

    def _correlation(self) -> float:
        rows = (self.both + self.only_candidate) * (self.only_reference + self.neither)
        columns = (self.both + self.only_reference) * (self.only_candidate + self.neither)
        if rows == 0 or columns == 0:
            return 0.0
        covariance = float(self.both * self.neither - self.only_reference * self.only_candidate)
        if covariance > 0:
            covariance = max(0.0, covariance - self.count / 2)
        return covariance / math.sqrt(rows * columns)
