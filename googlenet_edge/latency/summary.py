"""Statistics of durations: nearest-rank percentiles, and how many samples each of them needs.

- **Percentile** p of N samples = nearest rank: the ceil(p / 100 x N)-th smallest sample. No interpolation: every figure
  was really measured.
  Of a run that is too long to keep all samples, it is read from a histogram, which rounds it up by 0.1 % at most.
- **fps** = (N - 1) / (last emitted - first emitted): N frames make N - 1 intervals.
- **Reliable**: the rule of MLPerf Inference's early stopping at 99 % confidence: there are so many samples that the
  chance of at most one of them lying beyond the true percentile, which makes the reported one too low, is at most 1 %.
  That takes 11 samples for p50, 64 for p90, 130 for p95 and 662 for p99.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.early_stopping import minimum_samples
from googlenet_edge.latency.histogram import Histogram
from googlenet_edge.latency.rank import rank_of

__all__ = [
    "NOTHING_MEASURED",
    "PERCENTILES",
    "LatencySummary",
    "Maximum",
    "Percentile",
    "RunTimes",
    "StageStatistics",
    "WarmUp",
    "frames_per_second",
    "histogram_statistics",
    "minimum_samples",
    "nearest_rank",
    "stage_statistics",
]

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Percentile:
    """One percentile of a duration."""

    percent: int
    """0 to 100."""
    duration_ns: int
    reliable: bool
    """False: fewer than :func:`minimum_samples` samples."""


@dataclass(frozen=True)
class Maximum:
    """The longest duration and when it happened."""

    duration_ns: int
    sequence: int
    """The frame."""
    at_ns: int
    """When that frame was emitted, counted from the start of the run."""


@dataclass(frozen=True)
class StageStatistics:
    """The durations of one stage over all measured frames."""

    name: str
    count: int
    mean_ns: float
    maximum: Maximum
    percentiles: tuple[Percentile, ...]
    """In the order of :data:`PERCENTILES`."""

    def percentile(self, percent: int) -> Percentile:
        """Return one of :data:`PERCENTILES`. Raises :class:`InputError` for any other."""
        for percentile in self.percentiles:
            if percentile.percent == percent:
                return percentile
        raise InputError(f"percentile: got {percent}, expected one of {', '.join(map(str, PERCENTILES))}")


@dataclass(frozen=True)
class WarmUp:
    """The frames before the measured ones: run like all others, but in no statistic."""

    frames: int
    duration_ns: int
    """From the first frame being taken up to the last warm-up frame being emitted."""
    first_frame_ns: int
    """From the first frame of the run being taken up to its being emitted, also where there is no warm-up."""


@dataclass(frozen=True)
class RunTimes:
    """When a run was measured, by its clock."""

    started_ns: int
    """From which samples and maxima are counted."""
    measured_from_ns: int
    """The result before the first measured frame or, without one, when that frame was taken up."""
    measured_to_ns: int
    """The last result of all."""
    frames: int
    """Results after ``measured_from_ns``; of several cameras, also those of frames in another's warm-up."""


@dataclass(frozen=True)
class LatencySummary:
    """The statistics of a run."""

    count: int
    """Measured frames, without warm-up."""
    sampled: int
    """Frames whose raw time points are kept: all measured ones, or a uniform random sample of them on a long run."""
    fps: float | None
    """Frames per second over the measured frames; None for fewer than two."""
    dropped: int
    """Frames that gave way to newer ones, in the source or while they waited for the device, over the whole run."""
    dropped_in_warmup: int
    """Those of them that were dropped before the first measured frame."""
    warmup: WarmUp
    stages: tuple[StageStatistics, ...]
    """Empty if no frame was measured."""
    times: RunTimes | None = None
    """None where nothing was measured, and where they are not known, as of a summary that was read from a file."""

    @property
    def exact(self) -> bool:
        """Whether percentiles are of the durations themselves; else they come from a histogram of all of them."""
        return self.sampled == self.count

    def stage(self, name: str) -> StageStatistics:
        """Return the statistics of one stage. Raises :class:`InputError` if it was not measured."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        known = ", ".join(stage.name for stage in self.stages) or "none, as no frame was measured"
        raise InputError(f"stage: got {name!r}, expected one of: {known}")


NOTHING_MEASURED: Final = LatencySummary(0, 0, None, 0, 0, WarmUp(0, 0, 0), ())
"""The summary of a run that ended before its first frame."""


def nearest_rank(ordered: npt.NDArray[np.int64], percent: float) -> int:
    """Return the ceil(percent / 100 x N)-th smallest of N samples.

    ``ordered`` is int64 (N,), ascending, N >= 1; ``percent`` is above 0 and at most 100. Raises :class:`InputError`.
    """
    if ordered.size == 0 or not 0 < percent <= 100:
        raise InputError(
            f"percentile: got percent={percent} of {ordered.size} samples, expected 0 < percent <= 100 of at least one"
        )
    return int(ordered[rank_of(percent, ordered.size) - 1])


def frames_per_second(count: int, span_ns: int) -> float | None:
    """Return the rate of ``count`` frames whose first and last are ``span_ns`` apart; None where there is none."""
    return (count - 1) * 1e9 / span_ns if count > 1 and span_ns > 0 else None


def stage_statistics(
    name: str, samples: npt.NDArray[np.int64], *, count: int, mean_ns: float, maximum: Maximum
) -> StageStatistics:
    """Add the percentiles of ``samples`` (int64 (N,), nanoseconds, any order) to what is known exactly of a stage."""
    ordered = np.sort(samples)
    return StageStatistics(
        name=name,
        count=count,
        mean_ns=mean_ns,
        maximum=maximum,
        percentiles=tuple(
            Percentile(percent, nearest_rank(ordered, percent), reliable=ordered.size >= minimum_samples(percent))
            for percent in PERCENTILES
        )
        if ordered.size
        else (),
    )


def histogram_statistics(name: str, histogram: Histogram, maximum: Maximum) -> StageStatistics:
    """Return the statistics of all durations of a stage, at least one, that a histogram has counted."""
    return StageStatistics(
        name=name,
        count=histogram.count,
        mean_ns=histogram.mean_ns,
        maximum=maximum,
        percentiles=tuple(
            Percentile(percent, histogram.percentile(percent), reliable=histogram.count >= minimum_samples(percent))
            for percent in PERCENTILES
        ),
    )
