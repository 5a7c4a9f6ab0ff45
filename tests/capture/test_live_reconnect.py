"""A live source that is lost and opened again: cameras that follow a script, with real threads and real waits."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.live import MOST_BLOCKED, LiveConfig, LiveSource
from googlenet_edge.capture.live_reader import BUFFERED_FRAMES
from googlenet_edge.capture.reconnect import NEVER, Reconnect
from googlenet_edge.errors import SourceError, SourceLostError, UsageError
from googlenet_edge.types import Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)
Eventually = Callable[[Callable[[], bool]], None]
FOREVER = Reconnect(attempts=None, first_delay_s=0.001, longest_delay_s=0.01)
SLOW = Reconnect(attempts=None, first_delay_s=600, longest_delay_s=600)
LOST = SourceLostError("cam: lost")
Step = int | Exception | threading.Event | None
"""Deliver so many frames, raise this, block until this is set whatever happens, or wait for the stop event."""


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.reconnect.SHORTEST_DELAY_S", 0.001)


@pytest.fixture(autouse=True)
def _no_thread_left(eventually: Eventually) -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    eventually(lambda: set(threading.enumerate()) <= before)


class Camera:
    """Each opening does the next session of the script; the last one is repeated."""

    def __init__(self, *sessions: Sequence[Step], live: bool = True) -> None:
        self.sessions = list(sessions)
        self.live = live
        self.opened: list[float] = []
        self.released = 0
        self.release_blocks: threading.Event | None = None

    def open(self, stop: threading.Event) -> Session:
        self.opened.append(time.monotonic())
        steps = self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0]
        first = steps[0] if steps else None
        if isinstance(first, threading.Event):
            first.wait(20)
        elif isinstance(first, Exception):
            raise first
        return Session(self, steps, stop)


class Session:
    fps: float | None = None

    def __init__(self, camera: Camera, steps: Sequence[Step], stop: threading.Event) -> None:
        self.live, self._camera, self._stop = camera.live, camera, stop
        self._steps = (each for step in steps for each in ([0] * step if isinstance(step, int) else [step]))

    def grab(self, sequence: int) -> Frame | None:
        step = next(self._steps, None)
        if step is None and self.live:
            self._stop.wait()
        if isinstance(step, threading.Event):
            step.wait(20)
        if isinstance(step, Exception):
            raise step
        return None if step is None else Frame(IMAGE, sequence, time.monotonic_ns())

    def release(self) -> None:
        if self._camera.release_blocks is not None:
            self._camera.release_blocks.wait(20)
        self._camera.released += 1


def start(camera: Camera, reconnect: Reconnect = FOREVER, *, read_ms: float = 60_000, every: bool = True) -> LiveSource:
    config = LiveConfig(open_ms=5000, read_ms=read_ms, every_frame=every, reconnect=reconnect)
    return LiveSource(camera.open, config, description="cam", clock=time.monotonic_ns)


def take(source: Iterable[Frame], count: int) -> list[int]:
    return [frame.sequence for frame in itertools.islice(source, count)]


def test_a_lost_source_is_opened_again_and_its_numbers_go_on(caplog: pytest.LogCaptureFixture) -> None:
    camera = Camera([2, LOST], [SourceError("cam: not there")], [SourceError("cam: not there")], [3])
    with start(camera) as source:
        assert take(source, 5) == [0, 1, 2, 3, 4]
        outages = source.outages
        assert (outages.lost, outages.reconnected, outages.attempts) == (1, 1, 3)
        assert outages.down_ns > 0
        assert (source.connected, source.live, source.dropped) == (True, True, 0)
    assert camera.released == 2
    messages = [r.message for r in caplog.records]
    assert messages[0].startswith("cam: lost: lost; opening it again in")
    assert messages[-1].startswith("cam: back after ")


def test_it_is_not_connected_from_the_loss_to_the_first_frame_and_the_time_is_counted(eventually: Eventually) -> None:
    may_open, may_deliver = threading.Event(), threading.Event()
    camera = Camera([1, LOST], [may_open, may_deliver, 1])
    with start(camera) as source:
        assert take(source, 1) == [0]
        eventually(lambda: len(camera.opened) == 2)
        assert not source.connected
        first_ns = source.outages.down_ns
        eventually(lambda: source.outages.down_ns > first_ns)
        may_open.set()
        may_deliver.set()
        assert take(source, 1) == [1]
        assert source.connected
        down_ns = source.outages.down_ns
        assert source.outages.down_ns == down_ns


def test_the_caller_waits_longer_than_the_read_timeout_while_a_source_is_lost() -> None:
    policy = Reconnect(attempts=None, first_delay_s=0.8, longest_delay_s=0.8, jitter=0)
    with start(Camera([1, LOST], [1]), policy, read_ms=20) as source:
        assert take(source, 2) == [0, 1]
        assert source.outages.down_ns >= 0.8e9


def test_after_the_last_attempt_the_source_ends_with_all_that_is_known() -> None:
    camera = Camera([2, SourceLostError("cam: no frame for 5000 ms")], [SourceError("cam: connection refused")])
    policy = Reconnect(attempts=3, first_delay_s=0.001, longest_delay_s=0.01)
    with start(camera, policy) as source:
        assert take(source, 2) == [0, 1]
        for _ in range(2):
            with pytest.raises(
                SourceLostError,
                match=r"^cam: given up .* 2 frames, and 3 attempts .*: no frame for 5000 ms; and at last: .* refused",
            ):
                next(iter(source))
        assert (source.connected, source.outages.attempts, len(camera.opened)) == (False, 3, 4)


def test_an_opening_without_a_frame_is_a_failure_too() -> None:
    policy = Reconnect(attempts=3, first_delay_s=0.001, longest_delay_s=0.01)
    with start(Camera([1, LOST], [SourceLostError("cam: silent")], [0, LOST]), policy) as source:
        assert take(source, 1) == [0]
        with pytest.raises(SourceLostError, match="3 attempts"):
            next(iter(source))


def test_a_frame_makes_the_attempts_and_the_delays_begin_again() -> None:
    policy = Reconnect(attempts=1, first_delay_s=0.001, longest_delay_s=0.01)
    with start(Camera([1, LOST]), policy) as source:
        assert take(source, 40) == list(range(40))
        assert source.outages.reconnected >= 38


def test_a_recording_is_not_begun_anew_neither_at_its_end_nor_when_it_breaks_off() -> None:
    for last in (None, LOST):
        camera = Camera([3, last], live=False)
        with start(camera) as source:
            assert take(source, 3) == [0, 1, 2]
            if last is None:
                assert list(source) == []
            else:
                with pytest.raises(SourceLostError, match="cam: lost"):
                    next(iter(source))
            assert (len(camera.opened), source.live) == (1, False)


def test_a_defect_is_raised_and_not_tried_again() -> None:
    camera = Camera([1, LOST], [ZeroDivisionError("bug")])
    with start(camera) as source:
        assert take(source, 1) == [0]
        with pytest.raises(ZeroDivisionError):
            next(iter(source))
        assert len(camera.opened) == 2


def test_without_a_limit_a_source_may_be_absent_at_first(eventually: Eventually) -> None:
    camera = Camera(*[[SourceError("cam: no such camera")]] * 5, [2])
    with start(camera) as source:
        assert source.live
        assert take(source, 2) == [0, 1]
        outages = source.outages
        assert (outages.lost, outages.reconnected, outages.attempts) == (1, 1, 5)
    with start(Camera([SourceError("cam: no such camera")]), SLOW) as source:
        assert (source.connected, source.live) == (False, True)


@pytest.mark.parametrize("policy", [NEVER, Reconnect(attempts=5)])
def test_with_a_limit_a_source_that_is_absent_at_first_is_an_error(policy: Reconnect) -> None:
    camera = Camera([SourceError("cam: no such camera")])
    with pytest.raises(SourceError, match="no such camera"):
        start(camera, policy)
    assert len(camera.opened) == 1


def test_a_mistake_of_the_user_is_raised_at_once_whatever_the_policy() -> None:
    camera = Camera([UsageError("cam: no such option")])
    with pytest.raises(UsageError, match="no such option"):
        start(camera)
    assert len(camera.opened) == 1


def close_in_time(source: LiveSource) -> None:
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 5  # a second on a machine that has nothing else to do
    source._reader.thread.join(20)
    assert not source._reader.thread.is_alive()


def test_closing_ends_the_wait_for_the_next_attempt() -> None:
    source = start(Camera([1, LOST]), SLOW)
    assert take(source, 1) == [0]
    results: list[list[int]] = []
    caller = threading.Thread(target=lambda: results.append(take(source, 5)))
    caller.start()
    close_in_time(source)
    caller.join(20)
    assert results == [[]]
    down_ns = source.outages.down_ns
    assert source.outages.down_ns == down_ns  # it stands still


def test_closing_ends_an_opening_that_listens_to_the_stop_event(eventually: Eventually) -> None:
    opening = threading.Event()
    calls = itertools.count()

    def open_(stop: threading.Event) -> Session:
        if next(calls) == 0:
            return Session(camera, [1, LOST], stop)
        opening.set()
        stop.wait()
        raise SourceError("cam: stopped")

    camera = Camera([1])
    config = LiveConfig(open_ms=60_000, read_ms=60_000, reconnect=FOREVER)
    source = LiveSource(open_, config, description="cam", clock=time.monotonic_ns)
    assert take(source, 1) == [0]
    assert opening.wait(20)
    close_in_time(source)
    assert take(source, 1) == []


@pytest.mark.parametrize("every", [True, False])
def test_a_reader_that_is_blocked_is_left_behind_and_what_it_brings_late_is_ignored(
    every: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.GRACE_S", 0.02)
    freed = threading.Event()
    camera = Camera([1, freed, 5], [1, None])
    with start(camera, read_ms=50, every=every) as source:
        assert take(source, 2) == [0, 1]
        assert (source.blocked, source.outages.lost, source.outages.reconnected) == (1, 1, 1)
        freed.set()
        eventually(lambda: source.blocked == 0)
        assert camera.released == 1
        assert not source._shared.frames
    assert "cam: still blocked in reading; its thread is left behind, 1 so far" in caplog.text


@pytest.mark.parametrize("where", ["opening", "releasing"])
def test_a_reader_that_is_blocked_elsewhere_is_left_behind_too(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.GRACE_S", 0.02)
    monkeypatch.setattr("googlenet_edge.capture.live_reader.RELEASE_S", 0.05)
    freed = threading.Event()
    if where == "opening":
        camera = Camera([1, LOST], [freed, 5], [1, None])
    else:
        camera = Camera([1, LOST], [1, None])
        camera.release_blocks = freed
    attempts = {"opening": 2, "releasing": 1}[where]  # a release that blocks is no attempt
    policy = replace(FOREVER, attempts=attempts)
    config = LiveConfig(open_ms=50, read_ms=60_000, every_frame=True, reconnect=policy)
    with LiveSource(camera.open, config, description="cam", clock=time.monotonic_ns) as source:
        assert take(source, 2) == [0, 1]
        assert (source.outages.lost, source.outages.reconnected) == (1, 1)
        freed.set()
    assert f"cam: still blocked in {where}" in caplog.text


def test_a_loss_for_good_is_told_although_the_camera_cannot_be_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.GRACE_S", 0.02)
    monkeypatch.setattr("googlenet_edge.capture.live_reader.RELEASE_S", 0.05)
    camera = Camera([1, LOST])
    camera.release_blocks = threading.Event()
    with start(camera, NEVER) as source:
        with pytest.raises(SourceLostError, match="cam: lost"):
            take(source, 2)
        assert source.blocked == 1
        camera.release_blocks.set()


def test_too_many_blocked_readers_end_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.GRACE_S", 0.02)
    freed = threading.Event()
    camera = Camera([1, freed])
    with start(camera, read_ms=30) as source:
        with pytest.raises(SourceLostError, match=rf"cam: {MOST_BLOCKED + 1} threads are blocked .*start the program"):
            take(source, 100)
        assert source.blocked == MOST_BLOCKED + 1
        assert not source.connected
        freed.set()


def test_a_slow_caller_is_no_reason_to_give_up_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.GRACE_S", 0.0)
    with start(Camera([100]), read_ms=100) as source:
        assert take(source, 1) == [0]
        time.sleep(0.3)  # the reader waits for room meanwhile, longer than its read timeout
        assert take(source, BUFFERED_FRAMES + 20) == list(range(1, BUFFERED_FRAMES + 21))
        assert (source.outages.lost, source.blocked) == (0, 0)


def test_a_source_that_dies_with_each_first_frame_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.reconnect.SHORTEST_DELAY_S", 0.05)
    camera = Camera([1, LOST])
    with start(camera, Reconnect(attempts=None, first_delay_s=0.001, longest_delay_s=0.001, jitter=1)) as source:
        take(source, 6)
    assert min(np.diff(camera.opened)) >= 0.049


def test_the_newest_frame_wins_after_a_loss_too(eventually: Eventually) -> None:
    with start(Camera([3, LOST], [4, None]), every=False) as source:
        eventually(lambda: source._shared.next_sequence == 7)
        assert take(source, 1) == [6]
        assert source.dropped == 6


def test_a_real_stream_comes_back_each_time_that_its_server_ends_it(http_camera: Any) -> None:
    options = SourceOptions(every_frame=True, reconnect=FOREVER)
    with open_source(http_camera.uri("/end"), options) as source:
        assert take(source, 25) == list(range(25))  # ten at a time
        assert (source.outages.lost, source.outages.reconnected, source.live) == (2, 2, True)


@contextmanager
def mjpeg_server(port: int) -> Iterator[None]:
    """Sends small pictures to whoever connects, one after the other."""
    picture = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
    part = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture)
    head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n"
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError), listener.accept()[0] as connection:
                connection.settimeout(5)
                connection.sendall(head)
                while not ended.wait(0.01):
                    connection.sendall(part)

    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_a_real_stream_that_is_not_there_yet_begins_when_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # closed again: nobody listens there
    options = SourceOptions(every_frame=True, reconnect=FOREVER)
    with open_source(f"http://127.0.0.1:{port}/mjpeg", options) as source:
        assert (source.connected, source.live) == (False, True)
        with mjpeg_server(port):
            assert take(source, 3) == [0, 1, 2]
        assert source.outages.attempts >= 1


def test_200_losses_and_200_closings_leave_nothing_behind(eventually: Eventually) -> None:
    before = set(threading.enumerate())
    camera = Camera([1, LOST])
    with start(camera) as source:
        assert take(source, 200) == list(range(200))
        assert len(set(threading.enumerate()) - before) == 1
    eventually(lambda: camera.released == len(camera.opened))
    for moment in range(200):
        camera = Camera([1, LOST], [SourceError("cam: not there")], [2])
        with start(camera, SLOW if moment % 4 == 0 else FOREVER) as source:
            take(source, min(moment % 4, 3))
    eventually(lambda: set(threading.enumerate()) <= before)
