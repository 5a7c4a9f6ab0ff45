from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.latency.stability import StabilityConfig
from googlenet_edge.scenarios.queries import MULTI_STREAM, SINGLE_STREAM, QueryConfig, QueryResult, run_queries
from googlenet_edge.scenarios.rig import WarmUpConfig
from tests.scenarios.scripted import IMAGES, MS, Scripted, rank

SCRIPTS: dict[str, Callable[[int], int]] = {
    "fixed": lambda _n: 12 * MS,
    "bimodal with 70 ms outliers": lambda n: 70 * MS if n % 23 == 5 else 6 * MS,
    "drifting": lambda n: 10 * MS + n * MS // 4,
    "stalls": lambda n: 900 * MS if n in (120, 121, 160) else 9 * MS,
    "slow at first": lambda n: 5 * MS + 200 * MS // (n + 1) ** 2,
}


def check(result: QueryResult, taken_ns: list[int]) -> None:
    """Compare every figure with the times that the inferences took; exactly."""
    warm = result.warmed_up.warmup
    assert warm.frames + result.summary.count == len(taken_ns)
    assert (warm.duration_ns, warm.first_frame_ns) == (sum(taken_ns[: warm.frames]), taken_ns[0])
    assert result.summary.warmup == warm
    measured = taken_ns[warm.frames :]
    assert result.duration_ns == sum(measured)
    latency = result.summary.stage("capture_to_emitted")
    assert [p.duration_ns for p in latency.percentiles] == [rank(measured, p) for p in (50, 90, 95, 99)]
    assert (latency.count, latency.maximum.duration_ns) == (len(measured), max(measured))
    assert result.percentile_ns == rank(measured, result.config.percent)
    assert (result.samples.rows[:, 5] - result.samples.rows[:, 1]).tolist() == measured
    expected = result.estimate.value_ns
    if result.estimate.reliable:
        assert expected == sorted(measured)[len(measured) - 1 - result.estimate.discarded]
        assert expected >= result.percentile_ns
    else:
        assert expected is None
    if len(measured) > 1:
        assert result.summary.fps == pytest.approx((len(measured) - 1) * 1e9 / sum(measured[1:])), "N - 1 intervals"


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("samples", [1, 8])
def test_queries_are_reported_as_they_were(script: Callable[..., Scripted], name: str, samples: int) -> None:
    scripted = script(lambda n, _frames: SCRIPTS[name](n))
    base = SINGLE_STREAM if samples == 1 else replace(MULTI_STREAM, min_queries=200)
    result = run_queries(scripted.rig, replace(base, min_duration_ns=800 * MS))
    assert set(scripted.backend.batches) == {samples}
    assert result.frames == samples * result.summary.count
    assert result.ended == "minimums met"
    check(result, scripted.backend.taken_ns)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    durations_ns=st.lists(st.integers(1, 30 * MS) | st.just(70 * MS), min_size=1, max_size=40),
    queries=st.integers(1, 150),
    percent=st.sampled_from([50, 90, 95, 99]),
)
def test_any_distribution_is_reported_as_it_was(
    script: Callable[..., Scripted], durations_ns: list[int], queries: int, percent: int
) -> None:
    scripted = script(lambda n, _frames: durations_ns[n * n % len(durations_ns)])
    warm = WarmUpConfig(StabilityConfig(window=5, windows=2, maximum=20))
    config = QueryConfig(percent=percent, min_duration_ns=0, min_queries=queries, warmup=warm)
    result = run_queries(scripted.rig, config)
    assert result.summary.count == queries
    assert result.summary.stage("capture_to_emitted").percentile(percent).reliable == result.estimate.reliable
    check(result, scripted.backend.taken_ns)


def test_both_minimums_are_met(script: Callable[..., Scripted]) -> None:
    by_count = run_queries(script(lambda _n, _f: 100 * MS).rig, replace(SINGLE_STREAM, min_duration_ns=1_000 * MS))
    assert (by_count.summary.count, by_count.duration_ns) == (64, 6_400 * MS), "p90 takes 64 queries to be reliable"
    by_time = run_queries(script(lambda _n, _f: 10 * MS).rig, replace(SINGLE_STREAM, min_duration_ns=1_000 * MS))
    assert (by_time.summary.count, by_time.duration_ns) == (100, 1_000 * MS)
    multi = run_queries(script(lambda _n, _f: 2 * MS).rig, replace(MULTI_STREAM, min_duration_ns=0))
    assert multi.summary.count == 662
    assert multi.estimate.reliable


def test_too_few_queries_have_no_estimate_and_are_marked(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _f: 100 * MS)
    config = replace(SINGLE_STREAM, min_duration_ns=1_000 * MS, max_duration_ns=3_000 * MS)
    result = run_queries(scripted.rig, config)
    assert (result.ended, result.summary.count) == ("time up", 30)
    assert (result.estimate.value_ns, result.estimate.reliable, result.estimate.minimum_samples) == (None, False, 64)
    assert not result.summary.stage("capture_to_emitted").percentile(90).reliable
    assert result.percentile_ns == 100 * MS


def test_stopping_ends_in_good_order(script: Callable[..., Scripted]) -> None:
    scripted: Scripted = script(lambda n, _f: MS if n < 100 else scripted.stopping(MS))
    result = run_queries(scripted.rig, SINGLE_STREAM)
    assert result.ended == "stopped"
    check(result, scripted.backend.taken_ns)
    assert len(scripted.backend.taken_ns) == 101


def test_stopping_in_the_warm_up_measures_nothing(script: Callable[..., Scripted]) -> None:
    scripted: Scripted = script(lambda n, _f: MS if n < 5 else scripted.stopping(MS))
    result = run_queries(scripted.rig, SINGLE_STREAM)
    assert (result.summary.count, result.percentile_ns, result.estimate.value_ns) == (0, None, None)
    assert (result.warmed_up.warmup.frames, result.warmed_up.steady) == (6, False)


def test_warm_up_ends_when_it_is_steady_and_is_told_apart(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda n, _f: 90 * MS if n < 30 else 10 * MS)
    result = run_queries(scripted.rig, SINGLE_STREAM)
    assert result.warmed_up.steady
    assert result.warmed_up.median_ns == 10 * MS
    assert 30 + 2 * 16 <= result.warmed_up.warmup.frames <= 30 + 4 * 16
    assert result.summary.stage("capture_to_emitted").maximum.duration_ns == 10 * MS, "no slow one is in the figures"
    assert "queries" in result.warmed_up.note
    assert "frames" not in result.warmed_up.note


def test_a_warm_up_that_takes_too_long_ends_and_says_so(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda n, _f: (n + 1) * 10 * MS)
    config = replace(SINGLE_STREAM, warmup=WarmUpConfig(max_duration_ns=1_000 * MS), min_duration_ns=0, min_queries=5)
    result = run_queries(scripted.rig, config)
    assert not result.warmed_up.steady
    assert "not known to be steady after 14 queries in 1 s" in result.warmed_up.note
    check(result, scripted.backend.taken_ns)


def test_a_query_larger_than_a_batch_goes_in_pieces_and_is_done_when_all_are(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, frames: frames * 3 * MS, max_batch=3)
    result = run_queries(scripted.rig, replace(MULTI_STREAM, min_duration_ns=0, min_queries=20))
    assert scripted.backend.batches[:3] == [3, 3, 2]
    assert result.percentile_ns == 24 * MS
    latency, inference = result.summary.stage("capture_to_emitted"), result.summary.stage("inference")
    assert (latency.count, latency.maximum.duration_ns, inference.maximum.duration_ns) == (20, 24 * MS, 24 * MS)


def test_the_seed_says_which_frames_come(script: Callable[..., Scripted]) -> None:
    def chosen(seed: int) -> list[int]:
        scripted = script(lambda _n, _f: MS)
        seen: list[int] = []
        begin = scripted.rig.work.begin

        class Watching:
            frames, max_batch, slots, contains = len(IMAGES), 32, 1, ""

            def begin(self, indexes: list[int], sequence: int, captured_ns: int | None = None) -> object:
                seen.extend(indexes)
                return begin(indexes, sequence, captured_ns)

        rig = replace(scripted.rig, work=Watching())  # type: ignore[arg-type]
        run_queries(rig, replace(SINGLE_STREAM, min_duration_ns=0, seed=seed))
        return seen

    assert chosen(1) == chosen(1)
    assert chosen(1) != chosen(2)
    assert set(chosen(1)) == set(range(len(IMAGES)))


def test_a_failing_inference_goes_through(script: Callable[..., Scripted]) -> None:
    def fail(n: int, _frames: int) -> int:
        if n == 70:
            raise BackendError("the device is gone")
        return MS

    with pytest.raises(BackendError, match="the device is gone"):
        run_queries(script(fail).rig, SINGLE_STREAM)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples_per_query": 0},
        {"percent": 42},
        {"min_duration_ns": -1},
        {"min_queries": 0},
        {"max_duration_ns": 0},
        {"min_duration_ns": 10, "max_duration_ns": 9},
    ],
)
def test_a_config_checks_itself(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="queries: got"):
        QueryConfig(**wrong)  # type: ignore[arg-type]
