from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from googlenet_edge.errors import InputError
from googlenet_edge.latency.histogram import RELATIVE_ERROR
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.sample_format import MISSING
from googlenet_edge.latency.stages import STAGES
from googlenet_edge.latency.summary import RunTimes, nearest_rank
from googlenet_edge.types import FrameTrace

MS = 1_000_000
START_NS = 990 * MS

TraceMaker = Callable[..., FrameTrace]


def test_every_stage_is_the_difference_of_its_time_points(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    for i in range(5):
        recorder.record(make_trace(i))
    summary = recorder.summarize()
    medians_ms = {stage.name: stage.percentile(50).duration_ns / MS for stage in summary.stages}
    assert medians_ms == {
        "wait": 3.0,  # 8 ms after capture frame i is emitted, and frame i + 1 is taken up 11 ms after that capture
        "queue": 1.0,
        "preprocess": 2.0,
        "inference": 4.0,
        "emit": 1.0,
        "capture_to_result": 7.0,
        "capture_to_emitted": 8.0,
    }
    assert summary.stage("wait").count == 4, "before the first frame there is nothing to wait from"
    assert summary.stage("queue").count == 5
    assert summary.fps == pytest.approx(100.0)


def test_a_frame_that_was_under_way_already_was_not_waited_for() -> None:
    recorder = LatencyRecorder(started_ns=0, warmup_frames=0)
    recorder.record(FrameTrace(0, 0, 1 * MS, 2 * MS, 20 * MS, 30 * MS))
    recorder.record(FrameTrace(1, 0, 5 * MS, 6 * MS, 40 * MS, 50 * MS))  # prepared while frame 0 was computed
    recorder.record(FrameTrace(2, 0, 53 * MS, 54 * MS, 60 * MS, 61 * MS))
    summary = recorder.summarize()
    assert recorder.samples().rows[1:, -1].tolist() == [0, 3 * MS]
    assert (summary.stage("wait").count, summary.stage("wait").mean_ns) == (2, 1.5 * MS)


def test_whoever_records_may_say_which_frames_are_warmup(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS)
    for i, warmup in enumerate([True, False, True, False]):
        recorder.record(make_trace(i), warmup=warmup)
    summary = recorder.summarize()
    assert (summary.count, summary.warmup.frames) == (2, 2)
    assert recorder.samples().rows[:, 0].tolist() == [1, 3]


def test_warmup_is_timed_and_left_out(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=3)
    assert recorder.in_warmup
    recorder.record(make_trace(0, inference_ms=500))
    recorder.record(make_trace(1))
    recorder.record(make_trace(2))
    assert not recorder.in_warmup
    recorder.record(make_trace(3))
    recorder.record(make_trace(4))
    summary = recorder.summarize(dropped=7, dropped_in_warmup=5)
    assert summary.warmup.frames == 3
    assert summary.warmup.first_frame_ns == (2 + 500 + 1) * MS
    assert summary.warmup.duration_ns == (20 + 7) * MS, "from the first frame's dequeue to the third's emission"
    assert (summary.count, summary.dropped, summary.dropped_in_warmup) == (2, 7, 5)
    assert summary.stage("inference").maximum.duration_ns == 4 * MS
    assert summary.stage("wait").count == 2, "the last warm-up frame is what the first measured one waited from"


def test_only_warmup_gives_no_statistics(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=10)
    recorder.record(make_trace(0))
    summary = recorder.summarize()
    assert (summary.count, summary.stages, summary.fps, summary.warmup.frames) == (0, (), None, 1)
    with pytest.raises(InputError, match="no frame was measured"):
        summary.stage("queue")


def test_maximum_says_which_frame_and_when(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    for i in range(20):
        recorder.record(make_trace(i, inference_ms=70 if i == 13 else 2))
    maximum = recorder.summarize().stage("inference").maximum
    assert (maximum.duration_ns, maximum.sequence) == (70 * MS, 13)
    assert maximum.at_ns == (10 + 130 + 74) * MS


def test_long_runs_are_bounded_and_stay_exact_in_count_mean_and_maximum(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0, capacity=200)
    spent_ms = np.random.default_rng(1).integers(1, 100, size=3000)
    spent_ms[17] = 5000
    for i, ms in enumerate(spent_ms):
        recorder.record(make_trace(i, inference_ms=int(ms)))
    summary = recorder.summarize()
    stage = summary.stage("inference")
    assert (summary.count, summary.sampled, stage.count) == (3000, 200, 3000)
    assert not summary.exact
    ordered = np.sort(spent_ms) * MS
    for percentile in stage.percentiles:
        true_ns = nearest_rank(ordered, percentile.percent)
        assert true_ns <= percentile.duration_ns <= true_ns * (1 + RELATIVE_ERROR), "of all frames, not of those kept"
        assert percentile.reliable
    assert stage.mean_ns == pytest.approx(float(spent_ms.mean()) * MS)
    assert (stage.maximum.duration_ns, stage.maximum.sequence) == (5000 * MS, 17)
    assert summary.fps == pytest.approx(100.0, rel=0.01)
    samples = recorder.samples()
    assert samples.rows.shape == (200, len(samples.columns))
    assert not samples.complete


def test_the_reservoir_keeps_early_and_late_frames_alike(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0, capacity=500)
    for i in range(5000):
        recorder.record(make_trace(i))
    sequences = recorder.samples().rows[:, 0]
    per_tenth = np.histogram(sequences, bins=10, range=(0, 5000))[0]
    # 50 expected in each; 6 standard deviations of a binomial are 40.
    assert per_tenth.min() > 10, per_tenth
    assert per_tenth.max() < 90, per_tenth


@settings(deadline=None, max_examples=25)
@given(durations=st.lists(st.integers(0, 10**9), min_size=1, max_size=40), seed=st.integers(0, 100))
def test_statistics_agree_with_the_samples_that_are_kept(durations: list[int], seed: int) -> None:
    recorder = LatencyRecorder(started_ns=0, warmup_frames=0, seed=seed)
    now = 0
    for i, duration in enumerate(durations):
        recorder.record(FrameTrace(i, now, now + 1, now + 2, now + 2 + duration, now + 3 + duration))
        now += duration + 3
    stage = recorder.summarize().stage("inference")
    samples = recorder.samples()
    column = {name: samples.rows[:, i] for i, name in enumerate(samples.columns)}
    kept = column["inferred_ns"] - column["preprocessed_ns"]
    assert kept.tolist() == durations
    assert stage.maximum.duration_ns == max(durations)
    assert stage.mean_ns == pytest.approx(sum(durations) / len(durations))
    assert column["wait_ns"].tolist() == [MISSING] + [1] * (len(durations) - 1)


def test_a_missing_duration_is_no_sample(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    recorder.record(make_trace(0))
    recorder.record(make_trace(1))
    assert recorder.summarize().stage("wait").percentile(50).duration_ns == 3 * MS


def test_the_devices_own_stages_are_kept_beside_the_wall_time(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    recorder.record(make_trace(0, device=(("h2d", 10), ("compute", 90))))
    recorder.record(make_trace(1, device=(("compute", 110),)))
    recorder.record(make_trace(2))
    summary = recorder.summarize()
    assert (summary.stage("device compute").count, summary.stage("device compute").mean_ns) == (2, 100.0)
    assert summary.stage("device h2d").count == 1
    samples = recorder.samples()
    assert samples.columns[-2:] == ("device h2d_ns", "device compute_ns")
    assert samples.rows[:, -2:].tolist() == [[10, 90], [MISSING, 110], [MISSING, MISSING]]


def test_picking_the_labels_is_a_stage_where_it_was_timed(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    recorder.record(make_trace(0))
    recorder.record(replace(make_trace(1, device=(("compute", 110),)), postprocess_ns=40))
    recorder.record(replace(make_trace(2), postprocess_ns=60))
    summary = recorder.summarize()
    assert (summary.stage("postprocess").count, summary.stage("postprocess").mean_ns) == (2, 50.0)
    samples = recorder.samples()
    assert samples.columns[-2:] == ("postprocess_ns", "device compute_ns")
    assert samples.rows[:, -2:].tolist() == [[MISSING, MISSING], [40, 110], [60, MISSING]]


def test_samples_give_back_the_time_points_from_the_start_of_the_run(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    recorder.record(make_trace(0))
    samples = recorder.samples()
    assert samples.complete
    assert samples.columns[:6] == (
        "sequence",
        "captured_ns",
        "dequeued_ns",
        "preprocessed_ns",
        "inferred_ns",
        "emitted_ns",
    )
    assert samples.rows[0, :6].tolist() == [0, *(ms * MS for ms in (10, 11, 13, 17, 18))]


def test_a_frame_that_was_not_emitted_is_refused(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS)
    with pytest.raises(InputError, match="emitted_ns"):
        recorder.record(replace(make_trace(0), emitted_ns=None))


@pytest.mark.parametrize(("warmup", "capacity"), [(-1, 10), (0, 0)])
def test_a_senseless_recorder_is_refused(warmup: int, capacity: int) -> None:
    with pytest.raises(InputError, match="latency recorder"):
        LatencyRecorder(started_ns=0, warmup_frames=warmup, capacity=capacity)


def test_stages_add_up(make_trace: TraceMaker) -> None:
    trace = make_trace(3)
    duration = {stage.name: stage.duration_ns(trace) for stage in STAGES}
    assert duration["queue"] + duration["preprocess"] + duration["inference"] == duration["capture_to_result"]
    assert duration["capture_to_result"] + duration["emit"] == duration["capture_to_emitted"]


def test_when_it_was_measured_is_told(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=2)
    assert recorder.summarize().times is None
    for i in range(5):
        recorder.record(make_trace(i))
    assert recorder.summarize().times == RunTimes(START_NS, 1018 * MS, 1048 * MS, 3)
    recorder.record(make_trace(5), warmup=True)  # of another camera
    assert recorder.summarize().times == RunTimes(START_NS, 1018 * MS, 1058 * MS, 4)
    at_once = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    at_once.record(make_trace(0))
    assert at_once.summarize().times == RunTimes(START_NS, 1001 * MS, 1008 * MS, 1)


def test_a_trace_is_filled_in_step_by_step() -> None:
    began = FrameTrace(7, 1, 2, 2, 2)
    done = began.with_preprocessed(3).with_inferred(4, (("compute", 1),)).with_emitted(5)
    assert done == FrameTrace(7, 1, 2, 3, 4, 5, (("compute", 1),))
    assert replace(done, emitted_ns=None, device_stage_ns=()) == FrameTrace(7, 1, 2, 3, 4)
    assert began == FrameTrace(7, 1, 2, 2, 2), "as it was"
    assert hash(done) == hash(FrameTrace(7, 1, 2, 3, 4, 5, (("compute", 1),)))
