from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.summary import (
    PERCENTILES,
    Maximum,
    frames_per_second,
    minimum_samples,
    nearest_rank,
    stage_statistics,
)


def test_percentile_is_the_nearest_rank() -> None:
    ordered = np.array([15, 20, 35, 40, 50], dtype=np.int64)
    assert [nearest_rank(ordered, p) for p in (5, 20, 21, 30, 40, 50, 100)] == [15, 15, 20, 20, 20, 35, 50]


def test_percentile_of_a_hundred_samples_is_that_sample() -> None:
    ordered = np.arange(1, 101, dtype=np.int64)
    assert [nearest_rank(ordered, p) for p in PERCENTILES] == list(PERCENTILES)


@settings(deadline=None, max_examples=60)
@given(
    samples=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=200),
    percent=st.integers(1, 100),
)
def test_percentile_has_enough_samples_at_or_below_it_and_is_the_smallest_such(
    samples: list[int], percent: int
) -> None:
    ordered = np.sort(np.array(samples, dtype=np.int64))
    value = nearest_rank(ordered, percent)
    assert value in samples
    assert 100 * sum(s <= value for s in samples) >= percent * len(samples)
    assert 100 * sum(s < value for s in samples) < percent * len(samples)


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_percentile_out_of_range_is_refused(percent: int) -> None:
    with pytest.raises(InputError, match=f"percent={percent}"):
        nearest_rank(np.arange(3, dtype=np.int64), percent)


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="0 samples"):
        nearest_rank(np.empty(0, dtype=np.int64), 50)


def test_minimum_samples_are_those_of_mlperf() -> None:
    assert [minimum_samples(p) for p in PERCENTILES] == [11, 64, 130, 662]


@pytest.mark.parametrize("percent", [50, 90, 95, 99])
def test_minimum_samples_is_the_first_count_that_meets_the_confidence(percent: int) -> None:
    def at_most_one_beyond(samples: int) -> float:
        beyond = 1 - percent / 100
        return sum(math.comb(samples, k) * beyond**k * (1 - beyond) ** (samples - k) for k in (0, 1))

    needed = minimum_samples(percent)
    assert at_most_one_beyond(needed) <= 0.01 < at_most_one_beyond(needed - 1)


@pytest.mark.parametrize("percent", [0, 100])
def test_no_count_makes_the_extremes_reliable(percent: int) -> None:
    with pytest.raises(InputError, match="percentile"):
        minimum_samples(percent)


def test_fps_counts_intervals_not_frames() -> None:
    assert frames_per_second(31, 1_000_000_000) == pytest.approx(30.0)


@pytest.mark.parametrize(("count", "span_ns"), [(0, 0), (1, 5), (2, 0)])
def test_fps_needs_two_frames_at_two_times(count: int, span_ns: int) -> None:
    assert frames_per_second(count, span_ns) is None


def test_statistics_mark_percentiles_from_too_few_samples() -> None:
    stats = stage_statistics(
        "queue", np.arange(129, -1, -1, dtype=np.int64), count=130, mean_ns=64.5, maximum=Maximum(129, 0, 0)
    )
    assert {p.percent: p.reliable for p in stats.percentiles} == {50: True, 90: True, 95: True, 99: False}
    assert stats.percentile(90).duration_ns == 116
    with pytest.raises(InputError, match="got 42"):
        stats.percentile(42)


def test_statistics_without_samples_have_no_percentiles() -> None:
    stats = stage_statistics("d", np.empty(0, dtype=np.int64), count=3, mean_ns=2.0, maximum=Maximum(4, 1, 9))
    assert stats.percentiles == ()
