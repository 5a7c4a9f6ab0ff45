"""One camera and two frames under way, on a device that computes when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from googlenet_edge.capture.source import SourceOptions, open_source
from googlenet_edge.errors import BackendError, InputError, OutputError, SourceLostError
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.stream import StreamConfig, overlapped, run_stream
from googlenet_edge.stream.lanes import READ_AHEAD

if TYPE_CHECKING:
    from tests.stream.conftest import CheckingSink, Device, FakeClock, PushedSource, Start

MS = 1_000_000
SLOTS = 2
TIMEOUT_S = 60


def missing(sink: CheckingSink) -> int:
    """How many frames up to the last one that came out did not."""
    return sink.seen[-1] + 1 - len(sink.seen)


# Every frame of what is not live.


def test_every_frame_of_a_file_comes_out_in_order(
    make_classifier: Callable[[Device], Classifier],
    make_source: Callable[..., PushedSource],
    device: Device,
    sink: CheckingSink,
    clock: FakeClock,
) -> None:
    source = make_source(live=False)
    source.push(600)
    source.end()
    report = run_stream(source, make_classifier(device.run_freely()), [sink], clock=clock)
    assert sink.seen == list(range(600))
    assert (report.frames, report.ended, report.error) == (600, "end of stream", None)
    assert (report.latency.dropped, report.latency.count, set(device.holds)) == (0, 590, {False})


def test_the_next_frame_is_ready_before_the_last_one_is_computed_and_no_more_than_that(start: Start) -> None:
    run, device, source, sink = start(live=False)
    ahead: list[int] = []
    source.on_ask = lambda: ahead.append(len(source.taken) + 1 - len(sink.seen))
    source.push(12)
    device.wait_for_submissions(SLOTS)
    source.wait_until_asked(SLOTS + READ_AHEAD)
    assert (sink.seen, device.submitted) == ([], SLOTS)
    for _ in range(12):
        device.finish()
    source.end()
    assert run.report().frames == 12
    assert sink.seen == list(range(12))
    assert max(ahead) <= SLOTS + READ_AHEAD + 1, (
        "no more is taken from a file than is soon computed; one is in the sink"
    )


# Live sources: the newest frame wins.


def test_a_frame_that_waits_for_the_device_is_replaced_by_a_newer_one(start: Start) -> None:
    run, device, source, sink = start()
    for _ in range(4):
        source.push_and_settle()  # 0 is begun, 1 and 2 give way to 3
    source.drop()  # 4, in the source
    device.finish()
    sink.wait_for(1)
    source.push_and_settle()  # 5 waits for 3
    device.finish()
    sink.wait_for(2)
    device.finish()
    sink.wait_for(3)
    source.end()
    report = run.report()
    assert sink.seen == [0, 3, 5]
    assert report.latency.dropped == missing(sink) == 3
    assert (report.frames, report.ended, report.error) == (3, "end of stream", None)
    assert set(device.holds) == {True}
    assert len(device.free_slots) == SLOTS


def test_what_was_dropped_during_warmup_is_told_apart(start: Start) -> None:
    run, device, source, sink = start(warmup_frames=1)
    for _ in range(3):
        source.push_and_settle()  # 1 gives way to 2
    device.finish()
    sink.wait_for(1)
    source.push_and_settle()
    source.push_and_settle()  # 3 gives way to 4
    device.finish()
    sink.wait_for(2)
    device.finish()
    source.end()
    report = run.report()
    assert sink.seen == [0, 2, 4]
    assert (report.latency.dropped_in_warmup, report.latency.dropped) == (1, 2)


def test_a_frame_gets_no_older_than_one_interval_and_one_inference(start: Start, clock: FakeClock) -> None:
    run, device, source, sink = start()
    interval_ms, inference_ms, frames = 10, 24, 40
    began_ms, finished = 0, 0
    origin_ns = clock.now_ns
    for t in range(frames * interval_ms):
        clock.now_ns = origin_ns + t * MS
        if t == began_ms + inference_ms:
            device.finish()  # and begins with the frame that waits
            began_ms, finished = t, finished + 1
            sink.wait_for(finished)
        if t % interval_ms == 0:
            source.push_and_settle()
    while device.running is not None:
        device.finish()
    source.end()
    report = run.report()
    assert report.latency.dropped == missing(sink) == frames - len(sink.seen)
    assert sink.seen[:6] == [0, 2, 4, 7, 9, 11]
    assert finished == frames * interval_ms // inference_ms, "the device was never idle"
    assert max(sink.ages_ms) <= interval_ms + inference_ms


def test_a_frame_that_is_done_gives_way_too_while_the_sinks_are_slow(start: Start, clock: FakeClock) -> None:
    go_on = threading.Semaphore(0)

    def emit(_count: int) -> None:
        assert go_on.acquire(timeout=TIMEOUT_S)

    run, device, source, sink = start(on_emit=emit)
    source.push_and_settle()
    device.finish()
    sink.wait_for(1)  # 0 is in the sink, and stays there
    for _ in range(5):
        clock.now_ns += 10 * MS
        source.push_and_settle()
        clock.now_ns += MS
        device.finish()  # 1 to 5 are computed, each at once, while 0 is in the sink
    go_on.release()
    sink.wait_for(2)
    source.end()
    go_on.release()
    report = run.report()
    assert sink.seen == [0, 5]
    assert sink.ages_ms == [0, 1]
    assert report.latency.dropped == missing(sink) == 4


def test_no_frame_gives_way_where_every_frame_was_asked_for(start: Start) -> None:
    run, device, source, sink = start(delivery="every")
    source.push(4)
    source.end()
    for _ in range(4):
        device.finish()
    report = run.report()
    assert (sink.seen, report.latency.dropped, set(device.holds)) == ([0, 1, 2, 3], 0, {False})


def test_the_newest_frame_of_a_file_wins_where_that_was_asked_for(start: Start) -> None:
    run, device, source, sink = start(live=False, delivery="newest")
    for _ in range(4):
        source.push_and_settle()  # 0 is begun, 1 and 2 give way to 3
    source.end()
    device.finish()
    device.finish()
    report = run.report()
    assert (sink.seen, report.latency.dropped, set(device.holds)) == ([0, 3], 2, {True})


def test_emitted_and_dropped_frames_of_a_real_live_source_add_up(
    tiny_bundle: Path, tmp_path: Path, device: Device, sink: CheckingSink
) -> None:
    for i in range(120):
        cv2.imwrite(str(tmp_path / f"{i:03}.png"), np.full((32, 32, 3), i, np.uint8))
    device.run_freely()
    with (
        Classifier(tiny_bundle, backend=device, golden_frames=0) as classifier,
        open_source(str(tmp_path), SourceOptions(fps=400)) as source,
    ):
        report = run_stream(source, classifier, [sink], StreamConfig(warmup_frames=0))
    assert (report.ended, report.error) == ("end of stream", None)
    assert report.frames + report.latency.dropped == 120
    assert sink.seen == sorted(sink.seen)
    assert all(p.duration_ns >= 0 for stage in report.latency.stages for p in stage.percentiles)


# How it ends.


@pytest.mark.parametrize("live", [True, False])
def test_the_frame_limit_takes_no_frame_more(
    make_classifier: Callable[[Device], Classifier],
    make_source: Callable[..., PushedSource],
    device: Device,
    sink: CheckingSink,
    clock: FakeClock,
    live: bool,
) -> None:
    source = make_source(live=live)
    source.push(200 - 195 * live)
    sink.on_emit = lambda _count: source.push(3 * live)
    config = StreamConfig(warmup_frames=3, max_frames=10)
    report = run_stream(source, make_classifier(device.run_freely()), [sink], config, clock=clock)
    assert (report.ended, report.frames, report.latency.count, source.closed) == ("frame limit", 10, 7, 0)
    assert len(source.taken) == report.cameras[0].offered
    assert report.cameras[0].unfinished == (source.taken[-1] - sink.seen[-1] if live else 0)
    assert report.latency.dropped == missing(sink)
    assert len(device.free_slots) == SLOTS


def test_the_time_limit_ends_the_run(start: Start, clock: FakeClock) -> None:
    def take_long(_count: int) -> None:
        clock.now_ns += 1100 * MS

    run, device, source, sink = start(max_duration_s=1.0, on_emit=take_long)
    source.push_and_settle()
    source.push_and_settle()
    device.finish()
    sink.wait_for(1)
    source.close()
    device.run_freely()  # the second frame has begun, and is waited for: the next user of the device finds it free
    report = run.report()
    assert (report.ended, report.frames, report.latency.dropped) == ("time limit", 1, 0)
    assert len(device.free_slots) == SLOTS


def test_the_stop_event_ends_the_run_with_its_report(start: Start) -> None:
    stop = threading.Event()
    run, device, source, sink = start(live=False, stop=stop, on_emit=lambda count: stop.set() if count == 3 else None)
    source.push(50)
    for _ in range(3):
        device.finish()
    sink.wait_for(3)
    source.close()
    device.run_freely()
    report = run.report()
    assert (report.ended, report.frames, report.error) == ("stopped", 3, None)


def test_a_source_that_is_closed_to_stop_it_has_not_ended_by_itself(start: Start) -> None:
    stop = threading.Event()
    run, _, source, _ = start(stop=stop)
    source.wait_until_asked()
    stop.set()
    source.close()
    report = run.report()
    assert (report.ended, report.frames, report.error) == ("stopped", 0, None)


def test_frames_under_way_come_out_before_the_loss_of_the_source_is_told(start: Start) -> None:
    run, device, source, sink = start()
    source.push_and_settle()
    source.push_and_settle()
    source.end(SourceLostError("camera unplugged"))
    device.finish()
    sink.wait_for(1)  # else the second result may take its place
    device.finish()
    report = run.report()
    assert sink.seen == [0, 1]
    assert (report.ended, report.frames) == ("source lost", 2)
    assert isinstance(report.error, SourceLostError)


def test_a_defect_in_the_source_is_not_hidden(start: Start) -> None:
    run, _, source, _ = start()
    source.end(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run.report()


def test_a_source_without_a_frame_is_an_error(start: Start) -> None:
    run, _, source, _ = start(live=False)
    source.end()
    assert "pushed: ended without a single frame" in str(run.report().error)


def test_a_frame_that_cannot_be_submitted_ends_the_run_after_those_before_it(start: Start) -> None:
    run, device, source, sink = start(live=False)
    device.refuse_at[2] = InputError("no such frame")
    source.push(5)
    device.finish()
    device.finish()
    report = run.report()
    assert (report.ended, report.frames, sink.seen) == ("failed", 2, [0, 1])
    assert isinstance(report.error, InputError)


@pytest.mark.parametrize("live", [True, False])
def test_a_backend_that_fails_ends_the_run_with_its_report(start: Start, live: bool) -> None:
    run, device, source, sink = start(live=live)
    device.fail_at[1] = BackendError("the device is gone")
    source.push_and_settle()
    source.push_and_settle() if live else source.push(2)
    device.finish()
    sink.wait_for(1)
    device.finish()
    source.close()
    device.run_freely()
    report = run.report()
    assert (report.ended, report.frames, str(report.error)) == ("failed", 1, "the device is gone")
    assert len(device.free_slots) == SLOTS


@pytest.mark.parametrize("raised", [OutputError("disk full"), OSError(28, "No space left on device")])
def test_a_sink_that_fails_ends_the_run_with_its_report(start: Start, raised: Exception) -> None:
    def fail(count: int) -> None:
        if count == 2:
            raise raised

    run, device, source, _ = start(live=False, on_emit=fail)
    source.push(3)
    source.end()
    device.run_freely()
    report = run.report()
    assert (report.ended, report.frames) == ("output failed", 1)
    assert isinstance(report.error, OutputError)


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_thread(start: Start) -> None:
    def interrupt(_count: int) -> None:
        raise KeyboardInterrupt

    run, device, source, sink = start(on_emit=interrupt)
    source.push_and_settle()
    device.finish()
    sink.wait_for(1)
    source.close()
    with pytest.raises(KeyboardInterrupt):
        run.report()


def test_a_source_that_is_silent_at_the_end_is_closed(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(overlapped, "PATIENCE_S", 0.05)
    caplog.set_level("INFO")
    stop = threading.Event()
    run, device, source, _ = start(stop=stop, on_emit=lambda _count: stop.set())
    source.push_and_settle()
    device.finish()
    report = run.report()
    assert (report.ended, report.frames, source.closed) == ("stopped", 1, 1)
    assert "pushed: no frame for 0.05 s at the end of the run; closing it" in caplog.text
