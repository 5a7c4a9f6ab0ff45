from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.scenarios.camera import Arrivals, CameraConfig, CameraResult, run_camera
from tests.scenarios.scripted import MS, CameraTruth, Scripted, camera_truth, rank

SCRIPTS: dict[str, Callable[[int], int]] = {
    "fixed, in time": lambda _n: 12 * MS,
    "fixed, too slow": lambda _n: 47 * MS,
    "just one period": lambda _n: 25 * MS,
    "bimodal with 70 ms outliers": lambda n: 70 * MS if n % 17 == 5 else 6 * MS,
    "drifting": lambda n: 10 * MS + n * MS // 4,
    "stalls": lambda n: 900 * MS if n in (20, 21, 60) else 9 * MS,
}


def check(result: CameraResult, truth: CameraTruth) -> None:
    """Compare every figure with the truth; exactly."""
    latencies = [end - arrived for _, arrived, _, end in truth.results]
    queued = [start - arrived for _, arrived, start, _ in truth.results]
    late = sum(latency > result.config.deadline for latency in latencies)
    assert result.ended == "all frames"
    assert (result.summary.count, result.dropped) == (len(truth.results), len(truth.dropped))
    assert result.offered == result.config.frames == result.summary.count + result.dropped
    assert (result.late, result.missed) == (late, late + len(truth.dropped))
    assert result.latency_ns == rank(latencies, 99)
    for name, expected in (("capture_to_emitted", latencies), ("queue", queued)):
        stage = result.summary.stage(name)
        assert stage.count == len(expected)
        assert [p.duration_ns for p in stage.percentiles] == [rank(expected, p) for p in (50, 90, 95, 99)]
        assert stage.maximum.duration_ns == max(expected)
        assert stage.mean_ns == pytest.approx(sum(expected) / len(expected))
    assert result.samples.rows[:, 0].tolist() == [index for index, *_ in truth.results]
    pairs = list(itertools.pairwise(truth.results))
    for statistics, expected in (
        (result.interval, [after[3] - before[3] for before, after in pairs]),
        (result.peak_age, [after[3] - before[1] for before, after in pairs]),
    ):
        if not pairs:
            assert statistics is None
            continue
        assert statistics is not None
        assert statistics.count == len(expected) == result.summary.count - 1, "N frames make N - 1 intervals"
        assert [p.duration_ns for p in statistics.percentiles] == [rank(expected, p) for p in (50, 90, 95, 99)]
        assert statistics.maximum.duration_ns == max(expected)
    gaps = [after[0] - before[0] - 1 for before, after in pairs]
    first = truth.results[0][0]
    assert result.most_dropped == max([first, *gaps])


def run(scripted: Scripted, config: CameraConfig) -> tuple[CameraResult, CameraTruth]:
    start_ns = scripted.clock.now_ns
    result = run_camera(scripted.rig, config)
    arrivals = Arrivals(start_ns, config.fps, config.frames)
    truth = camera_truth([arrivals.at_ns(i) for i in range(config.frames)], scripted.backend.taken_ns)
    return result, truth


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_camera_is_reported_as_it_was(script: Callable[..., Scripted], name: str) -> None:
    scripted = script(lambda n, _frames: SCRIPTS[name](n))
    result, truth = run(scripted, CameraConfig(fps=40.0, duration_ns=3_000 * MS, deadline_ns=30 * MS))
    assert result.config.frames == 120
    check(result, truth)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fps=st.floats(1, 500),
    frames=st.integers(1, 60),
    deadline_ms=st.none() | st.integers(1, 100),
    durations_ns=st.lists(
        st.integers(1, 30 * MS) | st.sampled_from([70 * MS, 500 * MS, 25 * MS, 2 * MS]), min_size=60, max_size=60
    ),
)
def test_any_distribution_is_reported_as_it_was(
    script: Callable[..., Scripted], fps: float, frames: int, deadline_ms: int | None, durations_ns: list[int]
) -> None:
    scripted = script(lambda n, _frames: durations_ns[n])
    deadline_ns = None if deadline_ms is None else deadline_ms * MS
    config = CameraConfig(fps=fps, duration_ns=max(1, int((frames - 0.5) / fps * 1e9)), deadline_ns=deadline_ns)
    result, truth = run(scripted, config)
    check(result, truth)


def test_waiting_is_in_the_latency_although_the_machine_was_not_ready_for_the_frame(
    script: Callable[..., Scripted],
) -> None:
    """A stall of 1 s: whoever counts from when a frame was taken up sees one slow frame; the camera lost 39 more."""
    scripted = script(lambda n, _frames: 1_000 * MS if n == 10 else 5 * MS)
    result = run_camera(scripted.rig, CameraConfig(fps=40.0, duration_ns=2_000 * MS))
    assert result.summary.stage("inference").maximum.duration_ns == 1_000 * MS
    assert (result.dropped, result.most_dropped) == (39, 39), "40 arrived meanwhile, and the newest of them was taken"
    assert result.peak_age is not None
    assert result.peak_age.maximum.duration_ns == 1_025 * MS
    waited = result.samples.rows[11]
    assert waited[0] == 50
    assert waited[2] - waited[1] == 0, "the newest one arrived just then"


def test_all_is_well_when_the_machine_keeps_up(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _frames: 10 * MS)
    result = run_camera(scripted.rig, CameraConfig(fps=30.0, duration_ns=1_000 * MS))
    assert (result.offered, result.dropped, result.late, result.missed, result.most_dropped) == (30, 0, 0, 0, 0)
    assert result.kept_up
    assert result.latency_ns == 10 * MS
    assert result.summary.fps == pytest.approx(30, rel=1e-6)
    assert result.summary.warmup.frames == 0


def test_a_deadline_is_met_by_what_is_out_just_then(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda n, _frames: 20 * MS + (n == 3))
    result = run_camera(scripted.rig, CameraConfig(fps=10.0, duration_ns=1_000 * MS, deadline_ns=20 * MS))
    assert result.late == 1, "one nanosecond too late is too late"


def test_giving_up_ends_at_the_first_dropped_frame(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda n, _frames: 100 * MS if n == 4 else MS)
    result = run_camera(scripted.rig, CameraConfig(fps=40.0, duration_ns=60_000 * MS, give_up=True))
    assert (result.ended, result.kept_up) == ("given up", False)
    assert result.offered == result.summary.count + result.dropped < 10


def test_giving_up_ends_when_too_many_are_late(script: Callable[..., Scripted]) -> None:
    """Of 200 frames, 2 may be late: the nearest-rank p99 is the 198th."""
    config = CameraConfig(fps=10.0, duration_ns=20_000 * MS, deadline_ns=5 * MS, give_up=True)
    late_ones = {10, 20}
    scripted = script(lambda n, _frames: 50 * MS if n in late_ones else MS)
    result = run_camera(scripted.rig, config)
    assert (result.ended, result.late, result.kept_up) == ("all frames", 2, True)
    late_ones.add(30)
    scripted = script(lambda n, _frames: 50 * MS if n in late_ones else MS)
    result = run_camera(scripted.rig, config)
    assert (result.ended, result.late, result.kept_up, result.offered) == ("given up", 3, False, 31)


def test_stopping_ends_in_good_order(script: Callable[..., Scripted]) -> None:
    scripted: Scripted = script(lambda n, _frames: 60 * MS if n < 5 else scripted.stopping(MS))
    result = run_camera(scripted.rig, CameraConfig(fps=40.0))
    assert result.ended == "stopped"
    assert result.summary.count == 6
    assert result.offered == 6 + result.dropped
    assert not result.kept_up


def test_stopping_before_the_first_frame_gives_no_figure(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _frames: MS)
    scripted.rig.stop.set()
    result = run_camera(scripted.rig, CameraConfig())
    assert (result.offered, result.latency_ns, result.interval, result.peak_age) == (0, None, None, None)


@given(first_ns=st.integers(0, 10**15), fps=st.floats(0.1, 10_000), frames=st.integers(1, 10**6), index=st.integers(0))
def test_the_newest_arrival_is_found_to_the_nanosecond(first_ns: int, fps: float, frames: int, index: int) -> None:
    arrivals = Arrivals(first_ns, fps, frames)
    index %= frames
    at_ns = arrivals.at_ns(index)
    assert arrivals.newest(at_ns) == index
    assert arrivals.newest(at_ns - 1) == index - 1
    assert arrivals.newest(at_ns + 10**18) == frames - 1


@pytest.mark.parametrize(
    "wrong",
    [{"fps": 0}, {"fps": float("nan")}, {"fps": 1e6}, {"duration_ns": 0}, {"deadline_ns": 0}, {"percent": 0}],
)
def test_a_config_checks_itself(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="camera: got"):
        CameraConfig(**wrong)  # type: ignore[arg-type]


def test_the_default_deadline_is_one_period() -> None:
    assert CameraConfig(fps=25.0).deadline == 40 * MS
    assert CameraConfig(fps=25.0, deadline_ns=7).deadline == 7
