from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from googlenet_edge.capture.live import LiveConfig, LiveSource
from googlenet_edge.capture.live_reader import BUFFERED_FRAMES
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)
Eventually = Callable[[Callable[[], bool]], None]


class Script:
    """A camera that delivers when the test says so."""

    def __init__(self, *, live: bool = True) -> None:
        self.live = live
        self.fps: float | None = None
        self.frames: queue.Queue[int | Exception | None] = queue.Queue()
        self.asked = 0
        self.left_out = 0
        self.released = threading.Event()
        self.thread: threading.Thread | None = None

    def grab(self, sequence: int) -> Frame | None:
        self.thread = threading.current_thread()
        self.asked += 1
        item = self.frames.get()
        if isinstance(item, Exception):
            raise item
        return None if item is None else Frame(IMAGE, sequence + self.left_out, captured_ns=item)

    def release(self) -> None:
        self.released.set()


@contextmanager
def started(
    script: Script, *, every_frame: bool = False, read_ms: float = 60_000, clock: Callable[[], int] = time.monotonic_ns
) -> Iterator[LiveSource]:
    source = LiveSource(
        lambda _: script,
        LiveConfig(open_ms=5000, read_ms=read_ms, every_frame=every_frame),
        description="scripted",
        clock=clock,
    )
    with source:
        yield source
        script.frames.put(None)  # whatever still blocks, ends


def test_hands_out_the_newest_frame_and_counts_the_others(eventually: Eventually) -> None:
    script = Script()
    with started(script) as source:
        for stamp_ns in (100, 200, 300):
            script.frames.put(stamp_ns)
        eventually(lambda: script.asked == 4)  # all three are in
        frames = iter(source)
        assert next(frames).captured_ns == 300
        assert source.dropped == 2
        script.frames.put(400)
        frame = next(frames)
        assert (frame.sequence, frame.captured_ns) == (3, 400)
        assert source.dropped == 2
        assert source.live


def test_every_frame_keeps_all_in_bounded_memory(eventually: Eventually) -> None:
    script = Script()
    with started(script, every_frame=True) as source:
        count = BUFFERED_FRAMES + 5
        for stamp_ns in range(count):
            script.frames.put(stamp_ns)
        script.frames.put(None)
        eventually(lambda: script.asked == BUFFERED_FRAMES + 1)  # one more waits for room
        frames = list(source)
    assert [f.sequence for f in frames] == list(range(count))
    assert source.dropped == 0


def test_frames_that_the_grabber_left_out_count_as_dropped(eventually: Eventually) -> None:
    script = Script()
    with started(script, every_frame=True) as source:
        frames = iter(source)
        script.frames.put(100)
        assert next(frames).sequence == 0
        script.left_out = 3
        script.frames.put(200)
        assert next(frames).sequence == 4
        assert source.dropped == 3


def test_an_error_reaches_the_caller_after_the_frames_before_it(eventually: Eventually) -> None:
    script = Script()
    with started(script) as source:
        script.frames.put(1)
        script.frames.put(SourceLostError("unplugged"))
        eventually(script.released.is_set)
        frames = iter(source)
        assert next(frames).captured_ns == 1
        with pytest.raises(SourceLostError, match="unplugged"):
            next(frames)
        with pytest.raises(SourceLostError, match="unplugged"):
            next(iter(source))


def test_a_bug_in_a_grabber_is_not_swallowed() -> None:
    script = Script()
    script.frames.put(ZeroDivisionError("bug"))
    with started(script) as source, pytest.raises(ZeroDivisionError):
        next(iter(source))


def test_ends_where_a_finite_source_ends() -> None:
    script = Script()
    with started(script, every_frame=True) as source:
        for item in (1, 2, None):
            script.frames.put(item)
        assert [f.captured_ns for f in source] == [1, 2]
        assert list(source) == []


def test_a_source_that_waits_for_its_reader_loses_nothing_and_is_stamped_when_taken() -> None:
    script = Script(live=False)
    for item in (1, 2, 3, None):
        script.frames.put(item)
    with started(script, clock=iter(range(1000, 2000)).__next__) as source:
        assert [f.captured_ns for f in source] == [1000, 1001, 1002]
        assert not source.live


def test_a_read_that_blocks_counts_as_lost_and_does_not_hold_up_the_end() -> None:
    script = Script()
    with started(script, read_ms=50) as source:
        with pytest.raises(SourceLostError, match="scripted: no frame for 50 ms"):
            next(iter(source))
        with pytest.raises(SourceLostError):
            next(iter(source))


def test_closing_ends_an_iteration_that_waits(eventually: Eventually) -> None:
    script = Script()
    results: list[list[Frame]] = []
    with started(script) as source:
        caller = threading.Thread(target=lambda: results.append(list(source)))
        caller.start()
        eventually(lambda: script.asked == 1)
        script_end = threading.Timer(0.1, lambda: script.frames.put(None))  # the read ends only after the close
        script_end.start()
        source.close()
        caller.join(20)
        assert results == [[]]
        script_end.join()
        source.close()
        assert list(source) == []
    assert script.thread is not None
    script.thread.join(20)
    assert not script.thread.is_alive()
    assert script.released.is_set()


def test_closing_is_bounded_when_the_read_never_returns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.JOIN_S", 0.05)
    script = Script()
    with started(script) as source:
        started_at = time.monotonic()
        source.close()
        assert time.monotonic() - started_at < 20
    assert "still blocked" in caplog.text


def test_an_open_that_hangs_has_an_end(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    monkeypatch.setattr("googlenet_edge.capture.live.GRACE_S", 0.0)
    answer, script = threading.Event(), Script()

    def hang(_stop: threading.Event) -> Script:
        answer.wait(10)
        return script

    with pytest.raises(SourceError, match="scripted: not open after 50 ms"):
        LiveSource(hang, LiveConfig(open_ms=50, read_ms=50), description="scripted", clock=time.monotonic_ns)
    answer.set()
    eventually(script.released.is_set)  # late, but not leaked
    assert script.asked == 0


def test_an_open_that_hangs_can_be_stopped(eventually: Eventually) -> None:
    opening, stop, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(end: threading.Event) -> Script:
        opening.set()
        end.wait()
        ended.set()
        raise SourceError("what nobody wants to know any more")

    def stop_it() -> None:
        opening.wait(20)
        stop.set()

    stopper = threading.Thread(target=stop_it)
    stopper.start()
    with pytest.raises(SourceError, match="scripted: stopped while it was being opened"):
        LiveSource(hang, LiveConfig(open_ms=60_000, read_ms=50), description="scripted", clock=lambda: 0, stop=stop)
    stopper.join(20)
    assert ended.is_set()


def test_what_opening_raises_reaches_the_caller() -> None:
    def refuse(_stop: threading.Event) -> Script:
        raise SourceError("no such camera")

    with pytest.raises(SourceError, match="no such camera"):
        LiveSource(refuse, LiveConfig(open_ms=50, read_ms=50), description="x", clock=lambda: 0)


def test_a_frame_that_waits_is_not_handed_out_after_closing(eventually: Eventually) -> None:
    script = Script()
    with started(script) as source:
        script.frames.put(1)
        eventually(lambda: script.asked == 2)
        script.frames.put(None)
        source.close()
        assert list(source) == []
    assert source.dropped == 0  # it gave way to no other


def test_an_error_after_closing_is_no_news() -> None:
    script = Script()
    with started(script) as source:
        script.frames.put(1)
        next(iter(source))
        threading.Timer(0.05, lambda: script.frames.put(SourceLostError("cut by closing"))).start()
        source.close()
        assert list(source) == []
