"""Confidence intervals that hold for all figures at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import Figure

__all__ = ["log_ratio", "run_level_draws", "simultaneous_intervals"]


def log_ratio(new: npt.NDArray[np.float64], baseline: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the draws of new / baseline from those of each side, all logarithms, float64 (resamples,).

    NaN where both are infinite alike: the ratio may be anything.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(new - baseline, dtype=np.float64)


def simultaneous_intervals(
    draws: Mapping[Figure, npt.NDArray[np.float64]], confidence: float
) -> dict[Figure, tuple[float, float]]:
    """Return an interval of each figure, such that all of them contain the truth at once with this confidence.

    Each cuts off as many draws at either end as all others do, and as many as leave ``confidence`` of the joint draws
    within all intervals: R. Beran, "Balanced Simultaneous Confidence Sets", JASA 83 (1988). That corrects for the
    number of comparisons, and no more than it must, because figures that move together count as less than two.

    Args:
        draws: Of each figure, float64 (resamples,), the same resample in the same place. NaN may be anything.
        confidence: Above 0, below 1.

    Raises:
        InputError: So few draws that not one may be cut off at each end.
    """
    if not draws:
        return {}
    table = np.stack(list(draws.values()), axis=1)
    count = len(table)
    # From both ends at once: how near each draw is to the nearer end, 1 = the outermost.
    place = np.argsort(np.argsort(table, axis=0, kind="stable"), axis=0) + 1
    outermost = np.sort(np.minimum(place, count + 1 - place).min(axis=1))
    cut = int(outermost[int((1 - confidence) * count)])
    if cut <= 1:
        raise InputError(
            f"simultaneous intervals: got {count} resamples for {len(draws)} figures, expected more: "
            f"{50 * len(draws) / (1 - confidence):.0f} are surely enough"
        )
    low = np.sort(np.where(np.isnan(table), -np.inf, table), axis=0)[cut - 1]
    high = np.sort(np.where(np.isnan(table), np.inf, table), axis=0)[count - cut]
    return {figure: (float(low[j]), float(high[j])) for j, figure in enumerate(draws)}


def run_level_draws(
    baseline: Sequence[float], new: Sequence[float], resamples: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return draws of the difference of two means, float64 (resamples,), from one value of each run.

    B. L. Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved",
    Biometrika 34 (1947). A bootstrap of runs would be too narrow: from k runs it sees a variance (k - 1) / k of the
    true one, and never leaves the range of the runs. Each side has at least two.
    """
    counts = len(baseline), len(new)
    if min(counts) < 2:
        raise InputError(f"comparison of runs: got {counts[0]} and {counts[1]}, expected at least two on each side")
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (baseline, new)]
    difference = float(np.mean(new) - np.mean(baseline))
    variance = sum(parts)
    if variance == 0:
        return np.full(resamples, difference)
    freedom = variance**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts, strict=True))
    return np.asarray(difference + np.sqrt(variance) * random.standard_t(freedom, resamples), dtype=np.float64)
