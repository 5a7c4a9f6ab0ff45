from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import pytest

from googlenet_edge.capture.source import SourceOptions, open_source
from googlenet_edge.errors import BackendError, InputError, OutputError, SourceError, SourceLostError
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.sinks.jsonl import JsonLinesSink
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.stream import AccuracyCounter, PendingFrames, StreamConfig, run_stream
from googlenet_edge.types import Frame, FrameTrace, Outages, Prediction, Region

MS = 1_000_000
Serial = partial(StreamConfig, overlap=False)  # one step after the other, so that the fake clock knows each
LABELS = ("red", "green", "blue")


@dataclass
class FakeClock:
    now_ns: int = 50_000 * MS

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, ms: float) -> None:
        self.now_ns += round(ms * MS)


@dataclass
class ScriptedSource:
    """Frames that take a known time to come; ``truths`` says how many and what they show."""

    clock: FakeClock
    truths: list[int | None]
    wait_ms: float = 5
    queue_ms: float = 1
    live: bool = True
    labels: tuple[str, ...] | None = None
    error: Exception | None = None
    description: str = "scripted"
    dropped: int = 0
    taken: int = 0
    connected: bool = True
    outages: Outages = field(default_factory=Outages)

    def __iter__(self) -> Iterator[Frame]:
        for i, truth in enumerate(self.truths):
            self.clock.advance_ms(self.wait_ms)
            captured_ns = self.clock()
            self.clock.advance_ms(self.queue_ms)
            self.taken += 1
            self.dropped += 1
            yield Frame(np.zeros((4, 4, 3), np.uint8), 2 * i + 1, captured_ns, truth=truth)
        if self.error is not None:
            raise self.error

    def __enter__(self) -> ScriptedSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None: ...


@dataclass
class ScriptedClassifier:
    """Always says class 0, in a known time, the first frame more slowly."""

    clock: FakeClock
    labels: tuple[str, ...] = LABELS
    slots: int = 1
    max_batch: int = 1
    first_ms: float = 100
    calls: list[tuple[int, Region | None]] = field(default_factory=list)
    fail_at: int | None = None

    def classify(self, image: Frame, *, top_k: int = 5, region: Region | None = None) -> Prediction:
        if self.fail_at == len(self.calls):
            raise BackendError("the device is gone")
        dequeued_ns = self.clock()
        self.clock.advance_ms(2)
        preprocessed_ns = self.clock()
        self.clock.advance_ms(4 if self.calls else self.first_ms)
        self.calls.append((top_k, region))
        trace = FrameTrace(image.sequence, image.captured_ns, dequeued_ns, preprocessed_ns, self.clock())
        return Prediction(self.labels[:top_k], tuple(range(top_k)), (0.5,) * top_k, trace)

    def submit_batch(
        self, images: Sequence[Frame], *, top_k: int = 5, region: Region | None = None, hold: bool = False
    ) -> PendingFrames:
        raise AssertionError("without overlap, nothing is submitted ahead")


@dataclass
class RecordingSink(Sink):
    clock: FakeClock
    emit_ms: float = 1
    seen: list[int] = field(default_factory=list)
    on_emit: Callable[[int], None] = lambda _count: None
    closed: bool = False

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        self.clock.advance_ms(self.emit_ms)
        self.seen.append(frame.sequence)
        self.on_emit(len(self.seen))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def medians_ms(report: object) -> dict[str, float]:
    return {s.name: s.percentile(50).duration_ns / MS for s in report.latency.stages}  # type: ignore[attr-defined]


def test_every_stage_is_timed(clock: FakeClock) -> None:
    source = ScriptedSource(clock, [None] * 6)
    sink = RecordingSink(clock)
    report = run_stream(source, ScriptedClassifier(clock), [sink], Serial(warmup_frames=2), clock=clock)
    assert medians_ms(report) == {
        "wait": 6.0,
        "queue": 1.0,
        "preprocess": 2.0,
        "inference": 4.0,
        "emit": 1.0,
        "capture_to_result": 7.0,
        "capture_to_emitted": 8.0,
    }
    assert report.ended == "end of stream"
    assert report.error is None
    assert (report.frames, report.latency.count) == (6, 4)
    assert report.latency.fps == pytest.approx(1000 / 13)
    assert report.latency.warmup.frames == 2
    assert report.latency.warmup.first_frame_ns == 103 * MS
    assert (report.latency.dropped, report.latency.dropped_in_warmup) == (6, 3)
    assert sink.seen == [1, 3, 5, 7, 9, 11]
    assert not sink.closed, "the sinks are the caller's"
    assert report.samples.rows[:, 0].tolist() == [5, 7, 9, 11]


def test_what_captured_means_depends_on_the_source(clock: FakeClock) -> None:
    camera, video = ScriptedSource(clock, [None]), ScriptedSource(clock, [None], live=False)
    live = run_stream(camera, ScriptedClassifier(clock), [], Serial(), clock=clock)
    file = run_stream(video, ScriptedClassifier(clock), [], Serial(), clock=clock)
    assert "host received" in live.captured
    assert "not live" in file.captured


def test_the_frame_limit_includes_warmup_and_takes_no_frame_more(clock: FakeClock) -> None:
    source = ScriptedSource(clock, [None] * 100)
    config = Serial(warmup_frames=3, max_frames=10)
    report = run_stream(source, ScriptedClassifier(clock), [], config, clock=clock)
    assert (report.ended, report.frames, report.latency.count, source.taken) == ("frame limit", 10, 7, 10)


def test_the_time_limit_ends_the_run(clock: FakeClock) -> None:
    source = ScriptedSource(clock, [None] * 1000)
    config = Serial(warmup_frames=0, max_duration_s=1.0)
    report = run_stream(source, ScriptedClassifier(clock, first_ms=4), [], config, clock=clock)
    assert report.ended == "time limit"
    assert report.frames == 84  # of 12 ms each: 1.008 s


def test_the_stop_event_ends_the_run_with_its_report(clock: FakeClock) -> None:
    stop = threading.Event()
    sink = RecordingSink(clock, on_emit=lambda count: stop.set() if count == 5 else None)
    source = ScriptedSource(clock, [None] * 100)
    report = run_stream(source, ScriptedClassifier(clock), [sink], Serial(warmup_frames=0), clock=clock, stop=stop)
    assert (report.ended, report.frames, report.error) == ("stopped", 5, None)


def test_a_source_that_was_closed_to_stop_it_has_not_ended_by_itself(clock: FakeClock) -> None:
    stop = threading.Event()
    sink = RecordingSink(clock)

    class StoppingSource(ScriptedSource):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            stop.set()

    report = run_stream(StoppingSource(clock, []), ScriptedClassifier(clock), [sink], Serial(), clock=clock, stop=stop)
    assert (report.ended, report.frames, report.error) == ("stopped", 0, None)


def test_a_lost_source_gives_the_report_and_the_error(clock: FakeClock) -> None:
    source = ScriptedSource(clock, [None] * 20, error=SourceLostError("camera unplugged"))
    report = run_stream(source, ScriptedClassifier(clock), [], Serial(warmup_frames=5), clock=clock)
    assert report.ended == "source lost"
    assert isinstance(report.error, SourceLostError)
    assert (report.frames, report.latency.count) == (20, 15)


@pytest.mark.parametrize("raised", [OutputError("disk full"), OSError(28, "No space left on device")])
def test_a_sink_that_fails_ends_the_run_with_its_report(clock: FakeClock, raised: Exception) -> None:
    def fail(count: int) -> None:
        if count == 4:
            raise raised

    first = RecordingSink(clock)
    failing = RecordingSink(clock, on_emit=fail)
    report = run_stream(
        ScriptedSource(clock, [None] * 20),
        ScriptedClassifier(clock),
        [first, failing],
        Serial(warmup_frames=0),
        clock=clock,
    )
    assert report.ended == "output failed"
    assert isinstance(report.error, OutputError)
    assert (report.frames, report.latency.count) == (3, 3), "the frame that could not be emitted has no emit time"


def test_a_backend_that_fails_ends_the_run_with_its_report(clock: FakeClock) -> None:
    classifier = ScriptedClassifier(clock, fail_at=7)
    report = run_stream(ScriptedSource(clock, [None] * 20), classifier, [], Serial(warmup_frames=0), clock=clock)
    assert (report.ended, report.frames) == ("failed", 7)
    assert isinstance(report.error, BackendError)


def test_a_defect_is_not_hidden(clock: FakeClock) -> None:
    def fail(_count: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_stream(
            ScriptedSource(clock, [None]),
            ScriptedClassifier(clock),
            [RecordingSink(clock, on_emit=fail)],
            Serial(),
            clock=clock,
        )


def test_a_source_without_a_frame_is_an_error(clock: FakeClock) -> None:
    report = run_stream(ScriptedSource(clock, []), ScriptedClassifier(clock), [], Serial(), clock=clock)
    assert isinstance(report.error, SourceError)
    assert "scripted: ended without a single frame" in str(report.error)


def test_the_configuration_reaches_the_classifier(clock: FakeClock) -> None:
    classifier = ScriptedClassifier(clock)
    region = Region(0, 0, 2, 2)
    run_stream(ScriptedSource(clock, [None]), classifier, [], Serial(top_k=2, region=region), clock=clock)
    assert classifier.calls == [(2, region)]


@pytest.mark.parametrize(
    "wrong",
    [{"warmup_frames": -1}, {"max_frames": 0}, {"max_duration_s": 0}, {"max_duration_s": float("nan")}, {"top_k": 0}],
)
def test_a_senseless_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        StreamConfig(**wrong)  # type: ignore[arg-type]


def test_accuracy_counts_frames_whose_truth_is_known_warmup_included(clock: FakeClock) -> None:
    source = ScriptedSource(clock, [0, 1, None, 0, 2, None, 0])
    report = run_stream(source, ScriptedClassifier(clock), [], Serial(warmup_frames=3), clock=clock)
    accuracy = report.accuracy
    assert (accuracy.frames_with_truth, accuracy.correct, accuracy.top1) == (5, 3, 0.6)
    assert (accuracy.compared_by, accuracy.unavailable) == ("class id", None)


def prediction(class_id: int, labels: tuple[str, ...]) -> Prediction:
    return Prediction((labels[class_id],), (class_id,), (0.9,), FrameTrace(0, 0, 0, 0, 0))


def test_labels_in_another_order_are_compared_by_name() -> None:
    counter = AccuracyCounter(("blue", "red"), LABELS)
    counter.add(1, prediction(0, LABELS))
    counter.add(0, prediction(0, LABELS))
    result = counter.result()
    assert (result.correct, result.frames_with_truth, result.compared_by) == (1, 2, "label")


def test_classes_that_share_a_label_are_told_apart_where_the_ids_are_the_same() -> None:
    labels = ("crane", "stork", "crane")
    counter = AccuracyCounter(labels, labels)
    counter.add(2, prediction(0, labels))
    assert counter.result().correct == 0


def test_unknown_labels_give_a_reason_instead_of_an_accuracy() -> None:
    counter = AccuracyCounter(("red", "cat", "dog"), LABELS)
    counter.add(0, prediction(0, LABELS))
    result = counter.result()
    assert result.top1 is None
    assert result.unavailable is not None
    assert "2 of the source's 3 labels" in result.unavailable
    assert "'cat'" in result.unavailable


def test_a_class_id_out_of_range_gives_a_reason() -> None:
    counter = AccuracyCounter(None, LABELS)
    counter.add(3, prediction(0, LABELS))
    assert counter.result().unavailable == "the source gave class id 3, expected 0 to 2"
    assert counter.result().top1 is None


def test_without_truth_there_is_neither_accuracy_nor_complaint() -> None:
    result = AccuracyCounter(("cat",), LABELS).result()
    assert (result.top1, result.unavailable) == (None, None)


def test_a_real_video_through_a_real_classifier_into_a_real_file(tiny_bundle: Path, tmp_path: Path) -> None:
    video = tmp_path / "red_then_blue.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 240))
    for i in range(20):
        writer.write(np.full((240, 320, 3), (0, 0, 200) if i < 10 else (200, 0, 0), np.uint8))
    writer.release()
    results = tmp_path / "results.jsonl"
    with (
        Classifier(tiny_bundle, threads=1) as classifier,
        open_source(str(video)) as source,
        JsonLinesSink(results) as sink,
    ):
        report = run_stream(source, classifier, [sink], StreamConfig(warmup_frames=5))
    assert (report.ended, report.error, report.frames, report.latency.count) == ("end of stream", None, 20, 15)
    labels = [json.loads(line)["label"] for line in results.read_text().splitlines()]
    assert labels == ["red"] * 10 + ["blue"] * 10
    for stage in report.latency.stages:
        assert all(p.duration_ns >= 0 for p in stage.percentiles), stage
    assert report.latency.stage("capture_to_result").maximum.duration_ns < 60_000 * MS


def test_a_labelled_folder_gives_its_accuracy(tiny_bundle: Path, tmp_path: Path) -> None:
    colors = {"red": (0, 0, 200), "green": (0, 200, 0), "white": (0, 0, 200)}  # the white ones are red
    for label, color in colors.items():
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(4):
            cv2.imwrite(str(tmp_path / "set" / label / f"{i}.png"), np.full((50, 50, 3), color, np.uint8))
    with (
        Classifier(tiny_bundle, threads=1) as classifier,
        open_source(str(tmp_path / "set"), SourceOptions()) as source,
    ):
        report = run_stream(source, classifier, [], StreamConfig(warmup_frames=0))
    assert report.accuracy.top1 == pytest.approx(8 / 12)
    assert (report.accuracy.compared_by, report.accuracy.unavailable) == ("label", None)
