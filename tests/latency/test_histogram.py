from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.early_stopping import estimate, estimate_at
from googlenet_edge.latency.histogram import RELATIVE_ERROR, Histogram
from googlenet_edge.latency.histogram_buckets import LARGEST, bucket_edges, buckets_of
from googlenet_edge.latency.summary import nearest_rank

MS = 1_000_000
DURATIONS = st.one_of(
    st.integers(0, 5000),
    st.integers(0, 100 * MS),
    st.integers(-50 * MS, 0),
    st.integers(-LARGEST - 1, LARGEST),
    st.integers(0, 62).flatmap(lambda bits: st.integers(max(0, 2**bits - 2), 2**bits + 2)),
)
PERCENTS = st.one_of(st.integers(1, 100).map(float), st.sampled_from([0.1, 99.9, 99.99]))


def recorded(durations: list[int]) -> Histogram:
    histogram = Histogram()
    for duration_ns in durations:
        histogram.record(duration_ns)
    return histogram


def contents(histogram: Histogram) -> list[object]:
    """Return all that can be read from it."""
    count = histogram.count
    return [histogram.at_rank(rank) for rank in range(1, count + 1)] + ([histogram.mean_ns] if count else [])


@settings(deadline=None, max_examples=200)
@given(st.lists(DURATIONS, min_size=1, max_size=80), PERCENTS)
def test_percentile_is_the_nearest_rank_within_the_error_that_is_stated(durations: list[int], percent: float) -> None:
    true_ns = nearest_rank(np.sort(np.array(durations, dtype=np.int64)), percent)
    found_ns = recorded(durations).percentile(percent)
    assert true_ns <= found_ns <= true_ns + math.floor(abs(true_ns) * RELATIVE_ERROR)
    assert found_ns <= max(durations)


@settings(deadline=None, max_examples=100)
@given(st.lists(DURATIONS, min_size=1, max_size=50))
def test_count_mean_and_maximum_are_exact(durations: list[int]) -> None:
    histogram = recorded(durations)
    assert histogram.count == len(durations)
    assert histogram.mean_ns == sum(durations) / len(durations)
    assert histogram.at_rank(len(durations)) == max(durations)


@settings(deadline=None, max_examples=100)
@given(st.lists(DURATIONS, max_size=50))
@example([2**54 - 1, 2**53 - 1, 2**60 - 1, LARGEST, -LARGEST - 1])  # a float rounds these to the next power of two
def test_many_at_once_is_one_after_the_other(durations: list[int]) -> None:
    at_once = Histogram()
    at_once.record_many(np.array(durations, dtype=np.int64))
    assert contents(at_once) == contents(recorded(durations))


def bucket_of(value: int) -> int:
    return int(buckets_of(np.array([value], dtype=np.int64))[0])


@given(st.integers(0, LARGEST))
def test_a_value_is_within_the_edges_of_its_bucket(value: int) -> None:
    low, high = bucket_edges(bucket_of(value))
    assert low <= value <= high
    assert high - low <= low * RELATIVE_ERROR


def test_buckets_follow_each_other_without_a_gap() -> None:
    last = bucket_of(LARGEST)
    edges = [bucket_edges(bucket) for bucket in range(-1 - last, last + 1)]
    assert (edges[0][0], edges[-1][1]) == (-LARGEST - 1, LARGEST)
    assert all(after[0] == before[1] + 1 for before, after in pairwise(edges))


def test_percentiles_of_a_bimodal_run_with_outliers() -> None:
    histogram = recorded([2 * MS] * 980 + [70 * MS] * 20)
    assert histogram.percentile(98) == pytest.approx(2 * MS, rel=RELATIVE_ERROR)
    assert histogram.percentile(98.1) == histogram.percentile(99) == 70 * MS  # the maximum is exact


def test_a_run_of_days_stays_small() -> None:
    """Ten million durations, four days at 30 frames/s, between 2 ms and 1 s."""
    random = np.random.default_rng(1)
    histogram = Histogram()
    for _ in range(10):
        histogram.record_many(np.clip(random.lognormal(17, 0.5, 1_000_000), 2 * MS, 999 * MS).astype(np.int64))
    histogram.record(999 * MS)
    assert histogram.count == 10_000_001
    assert len(histogram._counts) * 8 == 172_032


def test_no_duration_needs_more_than_is_stated() -> None:
    histogram = recorded([LARGEST, -LARGEST - 1])
    assert len(histogram._counts) * 8 == len(histogram._below) * 8 == 442_368


def test_recording_takes_less_than_two_microseconds() -> None:
    durations = np.random.default_rng(2).lognormal(17, 0.5, 20_000).astype(np.int64).tolist()
    histogram = recorded(durations)
    record, best_ns = histogram.record, math.inf
    for _ in range(20):  # the best of them: a busy machine slows down some
        started_ns = time.perf_counter_ns()
        for duration_ns in durations:
            record(duration_ns)
        best_ns = min(best_ns, (time.perf_counter_ns() - started_ns) / len(durations))
    assert best_ns < 2000


def test_the_early_stopping_estimate_can_be_read_from_it() -> None:
    durations = np.random.default_rng(3).lognormal(17, 0.5, 5000).astype(np.int64)
    histogram = Histogram()
    histogram.record_many(durations)
    exact, found = estimate(durations, 99), estimate_at(histogram.count, histogram.at_rank, 99)
    assert exact.value_ns is not None
    assert found.value_ns is not None
    assert exact.value_ns <= found.value_ns <= exact.value_ns * (1 + RELATIVE_ERROR)
    assert (found.discarded, found.reliable) == (exact.discarded, True)


def test_nothing_recorded_has_no_statistics() -> None:
    histogram = Histogram()
    assert histogram.count == 0
    with pytest.raises(InputError, match="no duration"):
        _ = histogram.mean_ns
    with pytest.raises(InputError, match="0 durations"):
        histogram.percentile(50)


@pytest.mark.parametrize("percent", [0, -1, 100.1, math.nan])
def test_percentile_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(InputError, match="percentile"):
        recorded([1, 2]).percentile(percent)


@pytest.mark.parametrize("rank", [0, 3])
def test_rank_out_of_range_is_refused(rank: int) -> None:
    with pytest.raises(InputError, match="expected 1 to 2"):
        recorded([1, 2]).at_rank(rank)


@pytest.mark.parametrize("duration_ns", [2**63, -(2**63) - 1, 2**80])
def test_beyond_64_bits_is_refused_and_not_counted(duration_ns: int) -> None:
    histogram = recorded([LARGEST, -LARGEST - 1])
    before = contents(histogram)
    with pytest.raises(InputError, match="64-bit"):
        histogram.record(duration_ns)
    assert contents(histogram) == before


@pytest.mark.parametrize("durations", [np.zeros(3), np.zeros((2, 2), dtype=np.int64)])
def test_other_than_a_row_of_int64_is_refused(durations: Any) -> None:
    with pytest.raises(InputError, match="expected int64"):
        Histogram().record_many(durations)
