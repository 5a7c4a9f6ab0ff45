"""Several cameras in one run, with real threads: a device that computes when the test says so, and ONNX Runtime."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.capture.source import SourceOptions, open_source
from googlenet_edge.errors import InputError, OutputError, SourceError, SourceLostError
from googlenet_edge.latency.sample_store import SampleStoreConfig
from googlenet_edge.latency.trace_store import RunAbout, TraceStore
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.stream import Camera, CameraStatus, StreamConfig, StreamReport, overlapped, run_stream, run_streams
from googlenet_edge.types import Frame, Outages, Prediction, Region
from tests.stream.conftest import TIMEOUT_S, CheckingSink, Device, FakeClock, PushedSource, Run

NAMES = ("north", "south", "yard", "gate")


@dataclass
class Several:
    """A run of several cameras that are in the test's hands, as is the device."""

    clock: FakeClock
    make_classifier: Callable[[Device], Classifier]
    cameras: int = 2
    live: bool = True
    device: Device = field(default_factory=partial(Device, 4))
    sink: CheckingSink = field(default_factory=CheckingSink)
    stop: threading.Event = field(default_factory=threading.Event)
    monitor: Monitored | None = None
    samples: Mapping[str, TraceStore] = field(default_factory=dict)

    def start(self, **config: object) -> None:
        self.sources = [PushedSource(self.clock, live=self.live, name=name) for name in NAMES[: self.cameras]]
        cameras = [Camera(source.description, source, self.samples.get(source.description)) for source in self.sources]
        classifier = self.make_classifier(self.device)
        settings = StreamConfig(**{"warmup_frames": 0, **config})  # type: ignore[arg-type]
        self.run = Run(
            lambda: run_streams(
                cameras, classifier, [self.sink], settings, clock=self.clock, stop=self.stop, monitor=self.monitor
            )
        )

    def end(self) -> StreamReport:
        for source in self.sources:
            source.end()
        return self.run.report()

    def wait_for_held(self, frames: int) -> None:
        """Wait until a batch of so many frames waits for the device."""
        with self.device.changed:
            self.device.wait(lambda: any(ticket.frames == frames for ticket in self.device.waiting))


@dataclass
class Monitored:
    """Keeps what the loop says of the cameras."""

    statuses: list[tuple[CameraStatus, ...]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def tick(self, statuses: Sequence[CameraStatus]) -> None:
        with self.changed:
            self.statuses.append(tuple(statuses))
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[tuple[CameraStatus, ...]], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.statuses and condition(self.statuses[-1]), TIMEOUT_S)


@pytest.fixture
def several(clock: FakeClock, make_classifier: Callable[[Device], Classifier]) -> Callable[..., Several]:
    return partial(Several, clock, make_classifier)


def test_frames_that_wait_for_the_device_are_computed_together(several: Callable[..., Several]) -> None:
    run = several(cameras=3)
    run.start()
    run.sources[0].push()
    run.device.wait_for_submissions(1)
    for source in run.sources:
        source.push()
    run.wait_for_held(3)
    run.device.finish()
    run.device.finish()
    run.sink.wait_for(4)
    report = run.end()
    assert (report.frames, report.batches) == (4, ((1, 1), (3, 1)))
    assert [run.sink.of(name) for name in NAMES[:3]] == [[0, 1], [0], [0]]
    assert [(camera.name, camera.frames) for camera in report.cameras] == [("north", 2), ("south", 1), ("yard", 1)]


def test_a_batch_is_no_larger_than_was_asked_for(several: Callable[..., Several]) -> None:
    run = several(cameras=4)
    run.start(max_batch=3)
    run.device.run_freely()
    for _ in range(20):
        for source in run.sources:
            source.push()
    report = run.end()
    assert max(size for size, _ in report.batches) <= 3
    assert [camera.offered for camera in report.cameras] == [20] * 4


@pytest.mark.parametrize("live", [True, False])
def test_every_frame_of_every_camera_is_accounted_for(several: Callable[..., Several], live: bool) -> None:
    run = several(cameras=4, live=live)
    run.start()
    run.device.run_freely()
    for i in range(60):
        for n, source in enumerate(run.sources):
            source.push() if i % (n + 1) == 0 else None
            source.drop() if live and i % 7 == n else None
    report = run.end()
    for source, camera in zip(run.sources, report.cameras, strict=True):
        seen = run.sink.of(source.description)
        assert seen == sorted(set(seen))
        assert (camera.frames, camera.offered) == (len(seen), source.taken[-1] + 1)
        assert camera.dropped == seen[-1] + 1 - len(seen)
        assert camera.unfinished == 0, "the last frame of a camera is computed"
        if not live:
            assert seen == source.taken
    assert report.frames == sum(camera.frames for camera in report.cameras)
    assert report.latency.count == report.frames
    assert report.latency.dropped == sum(camera.dropped for camera in report.cameras)


def test_a_disk_that_gets_full_under_the_samples_ends_the_run_and_the_counts_agree(
    several: Callable[..., Several], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = SampleStoreConfig(chunk_samples=1)
    kept = {name: TraceStore(tmp_path / f"{name}.raw", RunAbout({}), config=at_once) for name in NAMES[:2]}

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = several(cameras=2, samples=kept)
    run.start()
    run.device.run_freely()
    run.sources[0].push()
    run.sink.wait_for(1)
    monkeypatch.setattr(os, "pwrite", full)
    run.sources[1].push()
    report = run.run.report()
    for store in kept.values():
        store.discard()
    assert isinstance(report.error, OutputError)
    assert report.latency.count == sum(camera.latency.count for camera in report.cameras) == report.frames


def test_a_lost_camera_ends_alone_and_the_others_go_on(several: Callable[..., Several]) -> None:
    run = several(cameras=2)
    run.start()
    run.device.run_freely()
    lost, other = run.sources
    lost.push()
    run.sink.wait_for(1)
    lost.end(SourceLostError("north: the plug was pulled"))
    with run.sink.changed:
        assert run.sink.changed.wait_for(lambda: run.sink.losses, TIMEOUT_S)
    for count in range(2, 12):
        other.push()
        run.sink.wait_for(count)
    other.end()
    report = run.run.report()
    assert (report.ended, str(report.error)) == ("source lost", "north: the plug was pulled")
    assert [(camera.ended, camera.frames) for camera in report.cameras] == [("source lost", 1), ("end of stream", 10)]
    assert report.cameras[0].error is report.error
    assert report.cameras[1].error is None
    assert run.sink.losses == ["north"]
    assert [len(camera.absences_ns) for camera in report.cameras] == [1, 0], "to the end of the run"


def test_a_camera_whose_frame_cannot_be_classified_ends_alone(several: Callable[..., Several]) -> None:
    run = several(cameras=2)
    run.start(region=Region(0, 0, 200, 200))
    first, second = run.sources
    first.push()
    run.device.wait_for_submissions(1)
    with second.changed:  # the region does not fit into this one
        second.frames.append(Frame(np.zeros((100, 100, 3), np.uint8), 0, run.clock()))
        second.changed.notify_all()
    run.device.run_freely()
    with run.sink.changed:
        assert run.sink.changed.wait_for(lambda: run.sink.seen == [0], TIMEOUT_S)
    first.push()
    run.sink.wait_for(2)
    report = run.end()
    assert [(camera.ended, camera.frames) for camera in report.cameras] == [("end of stream", 2), ("failed", 0)]
    assert isinstance(report.error, InputError)
    assert len(run.device.free_slots) == 2


def test_the_sinks_are_told_once_when_a_camera_goes_and_frames_before_that_come_first(
    several: Callable[..., Several],
) -> None:
    run = several(cameras=2)
    told: list[int] = []
    run.sink.on_emit = lambda _count: told.append(len(run.sink.losses))
    run.monitor = Monitored()
    run.start()
    run.sources[0].push()
    run.device.wait_for_submissions(1)
    run.sources[0].connected, run.sources[0].outages = False, Outages(lost=1)
    run.device.finish()
    with run.sink.changed:
        assert run.sink.changed.wait_for(lambda: run.sink.losses, TIMEOUT_S)
    run.monitor.wait_for(lambda statuses: [status.connected for status in statuses] == [False, True])
    run.sources[0].connected, run.sources[0].outages = True, Outages(lost=1, reconnected=1, attempts=1)
    run.device.run_freely()
    run.clock.now_ns += 5_000_000_000
    run.sources[0].push()
    run.sink.wait_for(2)
    report = run.end()
    assert report.cameras[0].absences_ns == ((0, 5_000_000_000),), "from its last result to its next frame"
    assert report.cameras[1].absences_ns == ()
    assert (run.sink.of("north"), told) == ([0, 1], [0, 1]), "the frame from before the loss comes before the news"
    assert run.sink.losses == ["north"]
    assert report.cameras[0].outages.reconnected == 1
    assert [status.frames for status in run.monitor.statuses[-1]] == [2, 0]


def test_a_loss_between_two_looks_is_told_before_the_next_frame(several: Callable[..., Several]) -> None:
    run = several(cameras=2)
    told: list[int] = []
    run.sink.on_emit = lambda _count: told.append(len(run.sink.losses))
    run.start()
    run.device.run_freely()
    run.sources[1].push()
    run.sink.wait_for(1)
    run.sources[1].outages = Outages(lost=1, reconnected=1, attempts=1)
    with run.sink.changed:
        assert run.sink.changed.wait_for(lambda: run.sink.losses, TIMEOUT_S)
    run.sources[1].push()
    run.sink.wait_for(2)
    report = run.end()
    assert (run.sink.losses, told) == (["south"], [0, 1])
    assert [len(camera.absences_ns) for camera in report.cameras] == [0, 1]


def test_a_sink_that_fails_on_a_loss_ends_the_run(several: Callable[..., Several]) -> None:
    run = several(cameras=2)

    def fail(camera: str | None) -> None:
        raise OSError(28, "No space left on device")

    run.sink.lost = fail  # type: ignore[method-assign]
    run.start()
    run.sources[0].end(SourceLostError("gone"))
    run.sources[1].close()
    report = run.run.report()
    assert report.ended == "output failed"
    assert isinstance(report.error, OutputError)


def test_the_time_limit_ends_a_run_whose_cameras_are_all_dead(
    several: Callable[..., Several], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlapped, "PATIENCE_S", 0.01)
    run = several(cameras=3)
    run.monitor = Monitored()
    run.start(max_duration_s=60)
    run.monitor.wait_for(lambda _statuses: True)
    run.clock.now_ns += 61_000_000_000
    report = run.run.report()
    assert (report.ended, report.frames, report.error) == ("time limit", 0, None)
    assert [source.closed for source in run.sources] == [1, 1, 1]
    assert {camera.ended for camera in report.cameras} == {"time limit"}


def test_dead_cameras_are_closed_at_the_same_time(several: Callable[..., Several]) -> None:
    run = several(cameras=4)
    together = threading.Barrier(4)

    def slow_close(source: PushedSource) -> None:
        together.wait(TIMEOUT_S)
        PushedSource.close(source)

    run.start()
    for source in run.sources:
        source.close = partial(slow_close, source)  # type: ignore[method-assign]
        source.wait_until_asked()
    run.stop.set()
    report = run.run.report()
    assert (report.ended, report.error) == ("stopped", None)


def test_an_inference_that_does_not_come_back_stops_the_ticks(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    monkeypatch.setattr(overlapped, "INFERENCE_S", 0.05)
    go_on, begun = threading.Event(), threading.Event()
    monitor, stop = Monitored(), threading.Event()
    with Classifier(tiny_bundle, threads=1, clock=clock) as classifier:
        infer = classifier.backend.infer

        def wedged(batch: object) -> object:
            begun.set()
            assert go_on.wait(TIMEOUT_S)
            return infer(batch)  # type: ignore[arg-type]

        classifier.backend.infer = wedged  # type: ignore[method-assign,assignment]
        source = PushedSource(clock)
        run = Run(lambda: run_stream(source, classifier, clock=clock, stop=stop, monitor=monitor))
        source.push()
        assert begun.wait(TIMEOUT_S)
        with monitor.changed:
            while monitor.changed.wait(0.5):
                """Ticks go on until the inference has taken too long."""
        go_on.set()
        monitor.wait_for(lambda statuses: statuses[0].frames == 1)
        stop.set()
        assert run.report().frames == 1


def test_two_cameras_of_one_name_are_refused(clock: FakeClock, make_classifier: Callable[[Device], Classifier]) -> None:
    classifier = make_classifier(Device())
    twice = [Camera("north", PushedSource(clock)), Camera("north", PushedSource(clock))]
    with pytest.raises(InputError, match="each only once"):
        run_streams(twice, classifier)
    with pytest.raises(InputError, match="at least one"):
        run_streams([], classifier)
    two = [Camera("north", PushedSource(clock)), Camera("south", PushedSource(clock))]
    with pytest.raises(InputError, match="overlap=False"):
        run_streams(two, classifier, config=StreamConfig(overlap=False))


# With ONNX Runtime, which computes before it returns.


@dataclass
class Labels(Sink):
    """What came out, camera by camera."""

    seen: dict[str | None, list[tuple[int, str]]] = field(default_factory=dict)
    threads: set[str] = field(default_factory=set)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        self.seen.setdefault(frame.camera, []).append((frame.sequence, prediction.label))
        self.threads.add(threading.current_thread().name)

    def lost(self, camera: str | None) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of red, green and blue images, of different sizes and lengths."""
    made = {}
    for i, (label, color) in enumerate({"red": (0, 0, 200), "green": (0, 200, 0), "blue": (200, 0, 0)}.items()):
        made[label] = tmp_path_factory.mktemp(label)
        for n in range(20 + 10 * i):
            cv2.imwrite(str(made[label] / f"{n:02}.png"), np.full((40 + 8 * i, 64, 3), color, np.uint8))
    return made


def test_each_camera_gets_its_own_labels(tiny_bundle: Path, folders: dict[str, Path]) -> None:
    sink = Labels()
    with Classifier(tiny_bundle, threads=1) as classifier:
        cameras = [Camera(label, open_source(folder)) for label, folder in folders.items()]
        report = run_streams(cameras, classifier, [sink], StreamConfig(warmup_frames=4))
    assert (report.ended, report.error) == ("end of stream", None)
    for i, label in enumerate(folders):
        assert sink.seen[label] == [(n, label) for n in range(20 + 10 * i)]
        assert (report.cameras[i].latency.count, report.cameras[i].dropped) == (16 + 10 * i, 0)
    assert (report.frames, report.latency.count, report.latency.warmup.frames) == (90, 78, 12)
    assert sum(size * count for size, count in report.batches) == 90
    assert sink.threads == {threading.current_thread().name}, "results come out on the caller's thread"


def test_live_cameras_and_a_file_run_side_by_side(tiny_bundle: Path, folders: dict[str, Path]) -> None:
    sink = Labels()
    with (
        Classifier(tiny_bundle, threads=1) as classifier,
        open_source(folders["red"], SourceOptions(fps=200)) as fast,
        open_source(folders["green"], SourceOptions(fps=50)) as slow,
        open_source(folders["blue"]) as file,
    ):
        cameras = [Camera("fast", fast), Camera("slow", slow), Camera("file", file)]
        report = run_streams(cameras, classifier, [sink], StreamConfig(warmup_frames=0))
    assert (report.ended, report.error) == ("end of stream", None)
    assert [camera.offered for camera in report.cameras] == [20, 30, 40]
    assert len(sink.seen["file"]) == 40
    assert {label for _, label in sink.seen["slow"]} == {"green"}


def test_capture_inference_and_emission_overlap(tiny_bundle: Path, folders: dict[str, Path]) -> None:
    """The third frame is computed while the sink has the first, and the fourth is read meanwhile."""
    with Classifier(tiny_bundle, threads=1) as classifier, open_source(folders["red"]) as source:
        computed = threading.Semaphore(0)
        infer = classifier.backend.infer

        def counted(batch: object) -> object:
            outputs = infer(batch)  # type: ignore[arg-type]
            computed.release()
            return outputs

        classifier.backend.infer = counted  # type: ignore[method-assign,assignment]

        class Waiting(Labels):
            def emit(self, frame: Frame, prediction: Prediction) -> None:
                super().emit(frame, prediction)
                if frame.sequence == 0:
                    assert all(computed.acquire(timeout=TIMEOUT_S) for _ in range(3))

        report = run_stream(source, classifier, [Waiting()], StreamConfig(warmup_frames=0))
    assert (report.frames, report.error) == (20, None)


def test_a_run_ends_within_a_second_while_a_dead_source_blocks(tiny_bundle: Path, clock: FakeClock) -> None:
    stop = threading.Event()
    source = PushedSource(clock)
    with Classifier(tiny_bundle, threads=1, clock=clock) as classifier:
        run = Run(lambda: run_stream(source, classifier, clock=clock, stop=stop))
        source.wait_until_asked()
        began_s = time.monotonic()
        stop.set()
        report = run.report()
        took_s = time.monotonic() - began_s
    assert overlapped.PATIENCE_S + overlapped.CLOSE_S < 1
    assert took_s < 1 + 1, "a second, and one for a busy machine"
    assert (report.ended, source.closed) == ("stopped", 1)


def test_a_source_that_still_delivers_is_left_open_for_the_next_run(
    tiny_bundle: Path, folders: dict[str, Path]
) -> None:
    with (
        Classifier(tiny_bundle, threads=1) as classifier,
        open_source(folders["blue"], SourceOptions(fps=100)) as source,
    ):
        first = run_stream(source, classifier, config=StreamConfig(max_frames=5))
        second = run_stream(source, classifier)
    assert (first.frames, first.ended, second.ended) == (5, "frame limit", "end of stream")
    assert second.frames > 0
    assert first.cameras[0].offered + second.cameras[0].offered <= 40


def test_without_a_single_frame_the_camera_is_named(clock: FakeClock, tiny_bundle: Path) -> None:
    empty, other = PushedSource(clock, live=False, name="empty.mp4"), PushedSource(clock, live=False, name="full.mp4")
    empty.end()
    other.push(3)
    other.end()
    with Classifier(tiny_bundle, threads=1, clock=clock) as classifier:
        report = run_streams([Camera("a", empty), Camera("b", other)], classifier, clock=clock)
    assert isinstance(report.error, SourceError)
    assert "empty.mp4: ended without a single frame" in str(report.error)
    assert [camera.frames for camera in report.cameras] == [0, 3]
