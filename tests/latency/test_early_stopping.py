from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.early_stopping import (
    CONFIDENCE,
    estimate,
    estimate_at,
    minimum_samples,
    overlatency_allowed,
)
from googlenet_edge.latency.summary import nearest_rank

# What LoadGen 6.0.17 printed as "Would discard ... highest latency queries" for so many queries; None: "Need to process
# at least ... queries". Single-stream has p90, multi-stream p99.
LOADGEN_P90 = {63: None, 64: 0, 65: 0, 88: 1, 89: 1, 100: 2, 500: 33, 1000: 77, 5000: 449, 24576: 2347}
LOADGEN_P99 = {661: None, 662: 0, 838: 1, 1000: 1, 5000: 32, 24576: 208}
LOADGEN = [(90, *case) for case in LOADGEN_P90.items()] + [(99, *case) for case in LOADGEN_P99.items()]


def at_most(overlatency: int, samples: int, percent: float) -> float:
    """Return the probability by the definition, from integers."""
    above = 1 - percent / 100
    return math.fsum(
        math.comb(samples, k) * above**k * (1 - above) ** (samples - k) for k in range(min(overlatency, samples) + 1)
    )


@pytest.mark.parametrize(("percent", "samples", "discarded"), LOADGEN)
def test_as_many_of_the_longest_are_discarded_as_by_loadgen(percent: int, samples: int, discarded: int | None) -> None:
    # A sample's value is its rank, so that the estimate tells which one it is.
    found = estimate(np.arange(samples, 0, -1, dtype=np.int64), percent)
    if discarded is None:
        assert (found.value_ns, found.reliable, found.discarded) == (None, False, 0)
    else:
        assert (found.value_ns, found.reliable, found.discarded) == (samples - discarded, True, discarded)
    assert (found.percent, found.confidence, found.samples) == (percent, 0.99, samples)


def test_minimum_samples_are_those_of_loadgen() -> None:
    assert [minimum_samples(percent) for percent in (50, 90, 95, 99)] == [11, 64, 130, 662]


@pytest.mark.parametrize("percent", [10, 50, 90, 99, 99.9])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99, 0.999])
def test_minimum_is_the_first_count_with_an_estimate(percent: float, confidence: float) -> None:
    least = minimum_samples(percent, confidence)
    assert overlatency_allowed(least, percent, confidence) >= 1
    assert overlatency_allowed(least - 1, percent, confidence) == 0
    assert at_most(1, least, percent) < 1 - confidence
    assert at_most(1, least - 1, percent) >= 1 - confidence


@settings(deadline=None, max_examples=150)
@given(
    samples=st.integers(0, 900),
    percent=st.sampled_from([1.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5]),
    confidence=st.sampled_from([0.2, 0.5, 0.9, 0.99, 0.9999]),
)
def test_allowed_is_the_largest_count_below_the_probability(samples: int, percent: float, confidence: float) -> None:
    allowed = overlatency_allowed(samples, percent, confidence)
    assert 0 <= allowed <= samples
    rounding = 1e-9  # at p50 and 50 %, the two are the same number
    if allowed:
        assert at_most(allowed, samples, percent) < (1 - confidence) * (1 + rounding)
    if allowed < samples:
        assert at_most(allowed + 1, samples, percent) >= (1 - confidence) * (1 - rounding)


@pytest.mark.parametrize("samples", [10**6, 10**9])
@pytest.mark.parametrize("percent", [50, 90, 99])
def test_a_very_long_run_is_near_the_normal_approximation(samples: int, percent: int) -> None:
    """2.326 standard deviations below the mean; the skew of the binomial distribution moves it by about one."""
    allowed = overlatency_allowed(samples, percent)
    share = percent / 100
    normal = samples * (1 - share) - 2.3263479 * math.sqrt(samples * share * (1 - share))
    assert allowed == pytest.approx(normal, abs=2.5)


Draw = Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[np.float64]]


def exponential(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return random.exponential(2e6, shape)


def with_outliers(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """2 ms, and 70 ms in 12 % of the cases: p90 and p99 are among the outliers."""
    return np.where(random.random(shape) < 0.12, 70e6, 2e6) + random.normal(0, 1e5, shape)


TRUE_NS: dict[Draw, Callable[[int], float]] = {
    exponential: lambda percent: -2e6 * math.log(1 - percent / 100),
    with_outliers: lambda percent: NormalDist(70e6, 1e5).inv_cdf(1 - (1 - percent / 100) / 0.12),
}


@pytest.mark.parametrize("draw", TRUE_NS)
@pytest.mark.parametrize(("percent", "samples"), [(90, 64), (90, 300), (99, 662), (99, 1500)])
def test_the_estimate_covers_the_true_percentile_as_often_as_it_says(draw: Draw, percent: int, samples: int) -> None:
    true_ns = TRUE_NS[draw](percent)
    trials = 2000
    below = by_nearest_rank = 0
    for row in draw(np.random.default_rng(samples), (trials, samples)).astype(np.int64):
        found = estimate(row, percent)
        assert found.value_ns is not None
        below += found.value_ns < true_ns
        by_nearest_rank += nearest_rank(np.sort(row), percent) < true_ns
    # The estimate is too low where there are fewer than t overlatency samples: how often that is, is known exactly.
    expected = trials * at_most(overlatency_allowed(samples, percent) - 1, samples, percent)
    assert expected < trials * (1 - CONFIDENCE)
    assert abs(below - expected) <= 5 * math.sqrt(expected) + 1
    assert by_nearest_rank > trials / 4  # an estimate without confidence is far too often too low


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-(2**62), 2**62), min_size=64, max_size=200), st.randoms(use_true_random=False))
def test_the_estimate_is_a_sample_not_below_the_percentile_and_independent_of_the_order(
    values: list[int], random: Random
) -> None:
    ordered = np.sort(np.array(values, dtype=np.int64))
    random.shuffle(values)
    found = estimate(np.array(values, dtype=np.int64), 90)
    assert found.value_ns in values
    assert found.value_ns >= nearest_rank(ordered, 90)
    assert found == estimate_at(len(values), lambda rank: int(ordered[rank - 1]), 90)


def test_no_sample_at_all_is_no_estimate() -> None:
    found = estimate(np.empty(0, dtype=np.int64), 99)
    assert (found.value_ns, found.samples, found.minimum_samples, found.reliable) == (None, 0, 662, False)


def test_samples_are_left_as_they_are() -> None:
    samples = np.array([5, 1, 4] * 40, dtype=np.int64)
    before = samples.copy()
    estimate(samples, 90)
    assert np.array_equal(samples, before)


@pytest.mark.parametrize("percent", [0, 100, -1, math.nan])
def test_percentile_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(InputError, match=f"percentile: got {percent}"):
        estimate(np.arange(100, dtype=np.int64), percent)
    with pytest.raises(InputError, match="percentile"):
        minimum_samples(percent)


@pytest.mark.parametrize("confidence", [0, 1, 99, math.nan])
def test_confidence_out_of_range_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match=f"confidence: got {confidence}"):
        estimate(np.arange(100, dtype=np.int64), 90, confidence)


def test_negative_count_is_refused() -> None:
    with pytest.raises(InputError, match="samples: got -1"):
        overlatency_allowed(-1, 90)


@pytest.mark.parametrize("samples", [np.zeros(5), np.zeros((5, 2), dtype=np.int64)])
def test_other_than_a_row_of_int64_is_refused(samples: npt.NDArray[np.int64]) -> None:
    with pytest.raises(InputError, match="expected int64"):
        estimate(samples, 90)
