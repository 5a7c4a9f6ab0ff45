"""From a histogram of ``|x|`` to a threshold: the value above which INT8 saturates.

One run over the images gives the thresholds of all methods. The scale of a tensor is threshold / 127.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from googlenet_edge.quantization.histogram import RangeHistogram

__all__ = ["METHODS", "Method", "clipped_share", "entropy", "mean_squared_error", "percentile", "thresholds"]

Method: TypeAlias = Literal[
    "max", "expected-max", "percentile-99.9", "percentile-99.99", "percentile-99.999", "entropy", "mse"
]
"""``expected-max`` is what one image in 300 exceeds, extrapolated (see ``maxima.py``): the only one beyond ``max``."""

METHODS: Final[tuple[Method, ...]] = get_args(Method)

LEVELS: Final = 127
"""Positive levels of a symmetric int8 scale."""

ENTROPY_LEVELS: Final = 128

MSE_CANDIDATES: Final = 128


def thresholds(histogram: RangeHistogram, expected_amax: float = 0.0) -> Mapping[Method, float]:
    """Return the threshold of every method, above 0 and at most the largest value; all 0 for a dead tensor.

    Only ``expected-max`` may be larger: it is ``expected_amax``, and at least the largest value.
    """
    if histogram.dead:
        return dict.fromkeys(METHODS, 0.0)
    return {
        "max": histogram.amax,
        "expected-max": max(histogram.amax, expected_amax),
        "percentile-99.9": percentile(histogram, 99.9),
        "percentile-99.99": percentile(histogram, 99.99),
        "percentile-99.999": percentile(histogram, 99.999),
        "entropy": entropy(histogram),
        "mse": mean_squared_error(histogram),
    }


def percentile(histogram: RangeHistogram, percent: float) -> float:
    """Return the value below which ``percent`` (0 to 100) of all ``|x|`` lie, zeros included.

    Linear within a bin; never above the largest value.
    """
    target = percent / 100 * histogram.total - histogram.zeros
    if target <= 0:
        # Nearly everything is zero, as after a ReLU that hardly ever opens: the smallest bin that holds anything.
        first = int(np.flatnonzero(histogram.counts)[0])
        return min(histogram.amax, (first + 1) * histogram.bin_width)
    cumulative = np.cumsum(histogram.counts)
    index = min(int(np.searchsorted(cumulative, target)), len(cumulative) - 1)
    before = cumulative[index] - histogram.counts[index]
    within = (target - before) / max(1, histogram.counts[index])
    return float(min(histogram.amax, (index + within) * histogram.bin_width))


def entropy(histogram: RangeHistogram) -> float:
    """Return the threshold of least information loss (Migacz, "8-bit inference with TensorRT", GTC 2017).

    For each i from 128 to the last bin: P is the first i bins with all that lies beyond added to the last of them; Q is
    the first i bins without that, merged into 128 levels and spread again over those of their bins that are not empty.
    The i with the least KL(P || Q) wins, at a threshold of i + 0.5 bins. Zeros say nothing about the range (any scale
    holds them exactly) and are left out.

    Q is one constant over the non-empty bins of a level, so sum(P log Q) needs only the level's sums: running totals
    give every candidate at once, where the published loop rebuilds both distributions for each.
    """
    used = histogram.used_bins()
    counts = histogram.counts[:used].astype(np.float64)
    if used <= ENTROPY_LEVELS:
        return histogram.amax
    total = np.concatenate([[0.0], np.cumsum(counts)])
    filled = np.concatenate([[0.0], np.cumsum(counts > 0)])
    self_information = np.concatenate([[0.0], np.cumsum(_x_log_x(counts))])

    candidates = np.arange(ENTROPY_LEVELS, used + 1)
    edges = candidates[:, None] * np.arange(ENTROPY_LEVELS + 1)[None] // ENTROPY_LEVELS  # (candidates, 129)
    level_sum = np.diff(total[edges], axis=1)
    level_filled = np.diff(filled[edges], axis=1)

    everything = total[-1]
    kept = total[candidates]
    outside = everything - kept
    last = counts[candidates - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        level_mean = np.where(level_filled > 0, level_sum / level_filled, 0.0)
        log_mean = np.where(level_mean > 0, np.log(level_mean), 0.0)
        # The tail is in P but not in Q: its last bin has the mean of the last level, if that level holds anything.
        tail_term = np.where(outside > 0, outside * log_mean[:, -1], 0.0)
        lost = (outside > 0) & (last == 0)  # P has weight where Q has none: infinitely bad
        p_log_p = self_information[candidates] - _x_log_x(last) + _x_log_x(last + outside)
        p_log_q = (level_sum * log_mean).sum(axis=1) + tail_term
        divergence = (p_log_p - p_log_q) / everything - np.log(everything) + np.log(kept)
    divergence = np.where(lost | (kept == 0), np.inf, divergence)
    best = int(candidates[int(np.argmin(divergence))])
    return float(min(histogram.amax, (best + 0.5) * histogram.bin_width))


def _x_log_x(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(values > 0, values * np.log(np.maximum(values, 1e-300)), 0.0)


def mean_squared_error(histogram: RangeHistogram) -> float:
    """Return the threshold of least expected squared error, rounding within it and clipping beyond it.

    Each bin stands for its middle. Candidates are spread evenly in the logarithm over the bins that occur, then once
    more around the best of them.
    """
    used = histogram.used_bins()
    if used <= 2:
        return histogram.amax
    filled = np.flatnonzero(histogram.counts[:used])
    weights = histogram.counts[filled].astype(np.float64)
    values = (filled + 0.5) * histogram.bin_width
    least = max(histogram.amax / LEVELS, float(values[0]))
    grid = np.geomspace(least, histogram.amax, MSE_CANDIDATES)
    best = int(np.argmin([_squared_error(values, weights, threshold) for threshold in grid]))
    fine = np.geomspace(grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)], MSE_CANDIDATES // 4)
    return float(min(histogram.amax, fine[int(np.argmin([_squared_error(values, weights, t) for t in fine]))]))


def _squared_error(
    values: npt.NDArray[np.floating[npt.NBitBase]], weights: npt.NDArray[np.float64], threshold: float
) -> float:
    scale = threshold / LEVELS
    restored = np.minimum(np.rint(values / scale), LEVELS) * scale
    return float(np.dot(weights, np.square(values - restored)))


def clipped_share(histogram: RangeHistogram, threshold: float) -> float:
    """Return the share of the values, 0 to 1, that lie beyond the threshold (to one bin)."""
    if histogram.total == 0 or threshold >= histogram.amax:
        return 0.0
    beyond = histogram.counts[min(len(histogram.counts), int(np.ceil(threshold / histogram.bin_width))) :]
    return float(beyond.sum()) / histogram.total
