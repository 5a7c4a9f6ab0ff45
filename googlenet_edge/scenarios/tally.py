"""Durations of a run: all of them up to a bound, a histogram of them beyond it."""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.early_stopping import PercentileEstimate, estimate, estimate_at
from googlenet_edge.latency.histogram import Histogram
from googlenet_edge.latency.summary import (
    Maximum,
    StageStatistics,
    histogram_statistics,
    nearest_rank,
    stage_statistics,
)

__all__ = ["MOST_EXACT", "Tally"]

MOST_EXACT: Final = 131_072
"""Durations up to which all figures are exact: 1 MB. Beyond it, percentiles are at most 0.1 % too high."""


class Tally:
    """Collects durations in nanoseconds. Count, mean and maximum are always exact. Not thread-safe."""

    def __init__(self, most_exact: int = MOST_EXACT) -> None:
        self._most_exact = most_exact
        self._exact = array("q")
        self._histogram = Histogram()
        self._maximum = Maximum(0, 0, 0)

    def add(self, duration_ns: int, *, sequence: int, at_ns: int) -> None:
        """Add the duration of frame or query ``sequence``, which ended ``at_ns`` after the start of the run."""
        if not self._histogram.count or duration_ns > self._maximum.duration_ns:
            self._maximum = Maximum(duration_ns, sequence, at_ns)
        if len(self._exact) < self._most_exact:
            self._exact.append(duration_ns)
        self._histogram.record(duration_ns)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._histogram.count

    @property
    def exact(self) -> bool:
        """Whether all are kept."""
        return len(self._exact) == self.count

    def samples(self) -> npt.NDArray[np.int64]:
        """Return those that are kept, int64 (N,), in the order of adding."""
        return np.array(self._exact, dtype=np.int64)

    def percentile_ns(self, percent: int) -> int:
        """Return the nearest-rank percentile, above 0 and up to 100. Raises :class:`InputError` where there is none."""
        if not self.exact or not self.count:
            return self._histogram.percentile(percent)
        return nearest_rank(np.sort(self.samples()), percent)

    def estimate(self, percent: float) -> PercentileEstimate:
        """Return the early-stopping estimate of a percentile, at 99 % confidence."""
        if self.exact:
            return estimate(self.samples(), percent)
        return estimate_at(self._histogram.count, self._histogram.at_rank, percent)

    def statistics(self, name: str) -> StageStatistics | None:
        """Return the statistics under this name, None where there is no duration."""
        if not self.count:
            return None
        if self.exact:
            mean_ns = self._histogram.mean_ns
            return stage_statistics(name, self.samples(), count=self.count, mean_ns=mean_ns, maximum=self._maximum)
        return histogram_statistics(name, self._histogram, self._maximum)
