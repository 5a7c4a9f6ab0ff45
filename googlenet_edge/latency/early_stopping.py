"""The percentile estimate of MLPerf Inference's early stopping: an upper bound of a percentile, with its confidence.

The p-th percentile of N samples is about as often below the true percentile as above it. The estimate here is a higher
one of the samples, so high that it is at or above the true percentile with at least the confidence asked for; few
samples are paid for with a higher figure.

Method: a sample is *overlatency* when it is longer than the true percentile; each is so with the probability
1 - p / 100, independently. The largest t is taken for which t or fewer overlatency samples among N have a probability
below 1 - confidence; the estimate is the t-th longest sample, that is, the t - 1 longest are discarded. With t = 0
there is no estimate: at 99 % it takes 64 samples for p90, 130 for p95 and 662 for p99 to have one.

Source: MLPerf Inference rules, "early stopping" (github.com/mlcommons/inference_policies, inference_rules.adoc, section
on early stopping, with a tolerance of 0), and LoadGen's ``loadgen/early_stopping.cc`` and ``results.cc``
(github.com/mlcommons/inference): single-stream uses p90, multi-stream p99, both at 99 %. It is one sample more careful
than the usual confidence bound from order statistics, which is the (t + 1)-th longest (H. A. David, H. N. Nagaraja,
"Order Statistics", 3rd ed. 2003, section 7.1).

The samples are taken to be independent. Where neighbours resemble each other (a clock that wanders, a machine that is
busy for a while), a run holds less than its count says, and the confidence is less than the one asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError

__all__ = [
    "CONFIDENCE",
    "PercentileEstimate",
    "estimate",
    "estimate_at",
    "minimum_samples",
    "overlatency_allowed",
]

CONFIDENCE = 0.99
"""LoadGen's."""

_REACH = 12
"""Standard deviations from the mean beyond which the binomial distribution counts as empty (1e-30 of it)."""
_SPARE = 64
"""Terms beyond those, for distributions of few overlatency samples, which are skewed."""


@dataclass(frozen=True)
class PercentileEstimate:
    """An upper bound of a percentile."""

    value_ns: int | None
    """One of the samples; None where there are too few of them."""
    percent: float
    """0 to 100."""
    confidence: float
    """0 to 1: how often, at least, such an estimate is not below the true percentile."""
    samples: int
    minimum_samples: int
    """How many it takes to have an estimate."""
    discarded: int
    """The longest samples that were left out: the estimate is the longest of the others."""

    @property
    def reliable(self) -> bool:
        """Whether there are enough samples."""
        return self.samples >= self.minimum_samples


def estimate(samples_ns: npt.NDArray[np.int64], percent: float, confidence: float = CONFIDENCE) -> PercentileEstimate:
    """Return the estimate from the samples themselves: int64 (N,), nanoseconds, in any order.

    ``percent`` is above 0 and below 100, ``confidence`` above 0 and below 1; :class:`InputError` otherwise.
    """
    if samples_ns.ndim != 1 or samples_ns.dtype != np.int64:
        raise InputError(
            f"samples: got {samples_ns.dtype} {samples_ns.shape}, expected int64 (N,) in nanoseconds; "
            "convert them with numpy.asarray(..., dtype=numpy.int64)"
        )

    def at_rank(rank: int) -> int:
        return int(np.partition(samples_ns, rank - 1)[rank - 1])

    return estimate_at(samples_ns.size, at_rank, percent, confidence)


def estimate_at(
    samples: int, at_rank: Callable[[int], int], percent: float, confidence: float = CONFIDENCE
) -> PercentileEstimate:
    """Return the estimate from ``samples`` samples, of which ``at_rank(r)`` gives the r-th smallest, r from 1.

    This is the way for a histogram: ``estimate_at(histogram.count, histogram.at_rank, 99)``. Raises as
    :func:`estimate` does.
    """
    allowed = overlatency_allowed(samples, percent, confidence)
    return PercentileEstimate(
        value_ns=at_rank(samples - allowed + 1) if allowed else None,
        percent=percent,
        confidence=confidence,
        samples=samples,
        minimum_samples=minimum_samples(percent, confidence),
        discarded=max(0, allowed - 1),
    )


@lru_cache
def minimum_samples(percent: float, confidence: float = CONFIDENCE) -> int:
    """Return how many samples a percentile needs to have an estimate.

    The smallest N for which at most one of N samples is overlatency with a probability below 1 - confidence:
    q^N + N (1 - q) q^(N - 1) < 1 - confidence, with q = percent / 100. Raises as :func:`estimate` does.
    """
    _check(percent, confidence)
    below = percent / 100

    def probability(samples: int) -> float:
        return math.exp((samples - 1) * math.log(below)) * (below + samples * (1 - below))

    too_few, enough = 0, 1
    while probability(enough) >= 1 - confidence:
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if probability(middle) < 1 - confidence:
            enough = middle
        else:
            too_few = middle
    return enough


def overlatency_allowed(samples: int, percent: float, confidence: float = CONFIDENCE) -> int:
    """Return the largest t for which at most t overlatency samples of N have a probability below 1 - confidence.

    0 where there is none above 0: the samples are too few for an estimate. The time it takes grows with the root of
    ``samples``. Raises as :func:`estimate` does, and for a negative count.
    """
    _check(percent, confidence)
    if samples < 0:
        raise InputError(f"samples: got {samples}, expected 0 or more")
    above = 1 - percent / 100
    mean = samples * above
    reach = _REACH * math.sqrt(mean * percent / 100) + _SPARE
    first = max(0, math.floor(mean - reach))
    last = min(samples, math.ceil(mean + reach))
    # Terms of the binomial distribution: the first from factorials, each other one from the ratio to the one before.
    counts = np.arange(first + 1, last + 1, dtype=np.float64)
    ratios = (samples - counts + 1) / counts * (above / (percent / 100))
    logarithms = _log_binomial(samples, first, above) + np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    at_most = np.cumsum(np.exp(logarithms))
    allowed = first + int(np.searchsorted(at_most, 1 - confidence, side="left")) - 1
    return max(0, min(allowed, samples))


def _log_binomial(samples: int, count: int, probability: float) -> float:
    ways = math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1)
    return ways + count * math.log(probability) + (samples - count) * math.log1p(-probability)


def _check(percent: float, confidence: float) -> None:
    if not 0 < percent < 100:
        raise InputError(f"percentile: got {percent}, expected a number above 0 and below 100")
    if not 0 < confidence < 1:
        raise InputError(f"confidence: got {confidence}, expected a number above 0 and below 1, such as 0.99")
