"""Warm-up by stability: frames count as warm-up until their durations have become steady.

Durations come in windows of consecutive frames. At the end of each window the last few windows together are looked at,
and the run is steady when both hold:

- **No step.** The medians of the windows lie within the tolerance of each other; or else the windows differ no more
  than chance would have it, by the Kruskal-Wallis test at 0.1 % (W. H. Kruskal, W. A. Wallis, J. Am. Stat. Assoc. 47,
  1952).
- **No trend.** Over all frames of these windows, Sen's slope times the number of frames (P. K. Sen, J. Am. Stat. Assoc.
  63, 1968) is within the tolerance of the median; or else no more than chance would have it, by the Mann-Kendall test
  at 0.1 % (H. B. Mann, Econometrica 13, 1945).

So a quiet run must be steady to within the tolerance, and a noisy one, whose medians differ by more than that anyhow,
as far as can be told. Only ranks and medians are used: single outliers do not matter.

The frames that the decision was made on are warm-up too, and measuring starts with the next one: a run that was lucky
for a while cannot carry its luck into the figures. Nothing looks ahead, so a change that comes later, such as a clock
that drops with the heat, is in the figures, where it belongs.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.summary import WarmUp

__all__ = ["StabilityConfig", "StabilityWarmUp"]

_CHANCE: Final = 0.001
"""How often either test sees something in independent frames where there is nothing."""
_MOST_FRAMES: Final = 1000
"""Half a million pairs, for the trend: the decision is made between two frames."""


@dataclass(frozen=True)
class StabilityConfig:
    """When a run is steady. Raises :class:`InputError` for what cannot be."""

    window: int = 16
    """Frames per window; at least 5, for the tests to hold."""
    windows: int = 3
    """Windows that must agree; at least 2."""
    tolerance: float = 0.05
    """Of the median: 0.05 is 5 %."""
    minimum: int = 0
    """Frames of warm-up before which nothing is decided. ``window`` times ``windows`` is the least in any case."""
    maximum: int = 1000
    """Frames of warm-up after which measuring starts even though the run is not steady."""

    def __post_init__(self) -> None:
        frames = self.window * self.windows
        if self.window < 5 or self.windows < 2 or frames > _MOST_FRAMES or not 0 < self.tolerance < 1:
            raise InputError(
                f"stability: got window={self.window}, windows={self.windows}, tolerance={self.tolerance}, expected at "
                f"least 5 frames and 2 windows, at most {_MOST_FRAMES} frames in all, and a tolerance between 0 and 1"
            )
        if self.minimum < 0 or self.maximum < max(self.minimum, frames):
            raise InputError(
                f"stability: got minimum={self.minimum}, maximum={self.maximum}, expected a minimum of 0 or more and a "
                f"maximum of at least that and at least {frames}, which is window x windows"
            )


class StabilityWarmUp:
    """Tells warm-up frames from those to be measured, as they come. Not thread-safe: one loop asks it."""

    def __init__(self, config: StabilityConfig | None = None) -> None:
        self._config = config or StabilityConfig()
        self._last: deque[int] = deque(maxlen=self._config.window * self._config.windows)
        self._frames = 0
        self._started_ns = self._ended_ns = self._first_frame_ns = 0
        self._over = self._steady = False
        self._finding = "no frame came"

    def add(self, *, started_ns: int, ended_ns: int) -> bool:
        """Take in a frame's time points, of one clock; return whether it is a warm-up frame.

        ``started_ns`` is when the frame was taken up and ``ended_ns`` when its result was out: their difference is the
        duration that must become steady. Frames come in the order in which they ended.
        """
        if self._over:
            return False
        if not self._frames:
            self._started_ns, self._first_frame_ns = started_ns, ended_ns - started_ns
        self._frames += 1
        self._ended_ns = ended_ns
        self._last.append(ended_ns - started_ns)
        config = self._config
        if self._frames % config.window == 0 and len(self._last) == self._last.maxlen:
            unsteady = _unsteady(np.array(self._last, dtype=np.int64).reshape(config.windows, config.window), config)
            self._finding = unsteady or "steady"
            self._steady = unsteady is None
        elif len(self._last) < config.window * config.windows:
            self._finding = f"{self._frames} frames came, and it takes {self._last.maxlen} to tell"
        # A verdict that came before the minimum holds until the next window's.
        self._over = self._frames >= config.maximum or (self._steady and self._frames >= config.minimum)
        return True

    @property
    def in_warmup(self) -> bool:
        """True until the last warm-up frame has come."""
        return not self._over

    @property
    def steady(self) -> bool:
        """Whether the last windows agreed. False where the warm-up ended by its maximum, or has not ended."""
        return self._over and self._steady

    @property
    def warmup(self) -> WarmUp:
        """The frames so far that were warm-up, the time they took, and the first one's duration."""
        return WarmUp(
            frames=self._frames, duration_ns=self._ended_ns - self._started_ns, first_frame_ns=self._first_frame_ns
        )

    def note(self) -> str:
        """Return a sentence for the report: how the warm-up ended."""
        config = self._config
        if not self._over:
            return f"the run ended in its warm-up, after {self._frames} frames: {self._finding}"
        if self._steady:
            return (
                f"steady after {self._frames} frames: the last {config.windows} windows of {config.window} frames "
                f"agree within {100 * config.tolerance:g} %, or as far as their noise lets tell, and have no trend"
            )
        return f"not steady after {self._frames} frames, the most that warm-up may take: {self._finding}"


def _unsteady(windows: npt.NDArray[np.int64], config: StabilityConfig) -> str | None:
    """Return what speaks against the durations being steady: int64 (windows, frames), nanoseconds, oldest first."""
    medians = np.median(windows, axis=1)
    level = abs(float(np.median(windows)))
    if float(np.ptp(medians)) > config.tolerance * level and _differ(windows):
        return f"the medians of the last windows are {_milliseconds(medians)}"
    slope, z = _trend(windows.ravel())
    change = slope * windows.size
    if abs(change) > config.tolerance * level and abs(z) > NormalDist().inv_cdf(1 - _CHANCE / 2):
        return f"the last {windows.size} frames change by {change / 1e6:+.3g} ms, at a median of {level / 1e6:.3g} ms"
    return None


def _differ(windows: npt.NDArray[np.int64]) -> bool:
    """Return whether the windows come from different distributions: the Kruskal-Wallis test, corrected for ties."""
    groups, size = windows.shape
    count = windows.size
    inverse, ties = np.unique(windows, return_inverse=True, return_counts=True)[1:]
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[inverse.reshape(-1)].reshape(groups, size)
    between = size * float(((ranks.mean(axis=1) - (count + 1) / 2) ** 2).sum())
    correction = 1 - float((ties**3 - ties).sum()) / (count**3 - count)
    if not correction:
        return False
    # The quantile of chi-squared by E. B. Wilson and M. M. Hilferty, Proc. Natl. Acad. Sci. 17, 1931.
    part = 2 / (9 * (groups - 1))
    quantile = (groups - 1) * (1 - part + NormalDist().inv_cdf(1 - _CHANCE) * math.sqrt(part)) ** 3
    return bool(12 * between / (count * (count + 1)) / correction > quantile)


def _trend(values: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return Sen's slope per frame, and the z value of the Mann-Kendall test with its correction for ties."""
    count = values.size
    earlier, later = np.triu_indices(count, k=1)
    differences = values[later] - values[earlier]
    slope = float(np.median(differences / (later - earlier)))
    score = int(np.sign(differences).sum())
    ties = np.unique(values, return_counts=True)[1]
    variance = (count * (count - 1) * (2 * count + 5) - int((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if not variance:
        return slope, 0.0
    return slope, (score - np.sign(score)) / math.sqrt(variance)


def _milliseconds(values: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{value / 1e6:.3g}" for value in values.tolist()) + " ms"
