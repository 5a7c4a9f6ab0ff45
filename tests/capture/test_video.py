from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from googlenet_edge.capture import Reconnect, SourceOptions, open_source
from googlenet_edge.capture.paced import PacedGrabber
from googlenet_edge.capture.video import VideoFileSource, missing_bytes
from googlenet_edge.errors import SourceError, SourceLostError, UsageError
from googlenet_edge.types import Frame, Outages

MakeVideo = Callable[..., Path]
KINDS = [("clip.mp4", "mp4v"), ("clip.avi", "MJPG"), ("clip.mkv", "mp4v"), ("clip.mov", "mp4v"), ("clip.webm", "VP80")]


def levels(frames: list[Frame]) -> list[int]:
    """Which frame of the made video each one is, by its grey."""
    return [round(float(f.image.mean()) / 8) for f in frames]


@pytest.mark.parametrize(("name", "fourcc"), KINDS)
def test_reads_every_frame_in_order(
    make_video: MakeVideo, name: str, fourcc: str, ticking: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video(name, fourcc=fourcc)
    with open_source(str(path), clock=ticking) as source:
        frames = list(source)
    assert levels(frames) == list(range(30))
    assert [f.sequence for f in frames] == list(range(30))
    assert [f.captured_ns for f in frames] == [1000 * (i + 1) for i in range(30)]
    assert all(f.image.shape == (120, 160, 3) and f.image.dtype == np.uint8 for f in frames)
    assert (source.live, source.dropped, source.labels, source.description) == (False, 0, None, str(path))
    assert not caplog.records


def test_frames_do_not_share_memory(make_video: MakeVideo) -> None:
    with open_source(make_video()) as source:
        frames = list(source)
    assert not np.shares_memory(frames[0].image, frames[1].image)


def test_takes_odd_names(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a:b.mp4", "100%.mp4", "me@home:8.mp4", "späť 1.mp4", "http:x.mp4", "7"):
        path = make_video("clip.mp4", frames=2).rename(make_video("clip.mp4", frames=2).with_name(name))
        monkeypatch.chdir(path.parent)
        with open_source(f"./{name}") as source:
            assert len(list(source)) == 2
        with open_source(Path(name)) as source:
            assert len(list(source)) == 2
    with open_source(f"file://{path}") as source:
        assert len(list(source)) == 2


def test_loops_until_closed(make_video: MakeVideo) -> None:
    frames: list[Frame] = []
    with open_source(make_video(frames=3), SourceOptions(loop=True)) as source:
        for frame in source:
            frames.append(frame)
            if len(frames) == 8:
                source.close()
    assert levels(frames) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [f.sequence for f in frames] == list(range(8))


def test_a_truncated_file_delivers_what_it_has_and_then_says_so(make_video: MakeVideo) -> None:
    path = make_video("clip.avi", fourcc="MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames: list[Frame] = []
    with (
        open_source(path) as source,
        pytest.raises(SourceLostError, match=r"clip.avi: ended after \d+ of the 30 frames.*trunc"),
    ):
        frames.extend(source)
    assert 5 < len(frames) < 25
    assert levels(frames) == list(range(len(frames)))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_mp4_is_told_from_an_unknown_format(make_video: MakeVideo, share: float) -> None:
    path = make_video("clip.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=r"clip.mp4: not a video that this OpenCV can read"):
        open_source(path)


def test_missing_bytes_knows_a_truncated_mp4(make_video: MakeVideo) -> None:
    path = make_video("clip.mp4")
    data = path.read_bytes()
    assert missing_bytes(path) == 0
    path.write_bytes(data[:-7])
    assert missing_bytes(path) == 7
    moov = data[data.index(b"moov") - 4 :]
    start = data[: -len(moov)]
    path.write_bytes(start + moov.replace(b"moov", b"moov"))
    assert missing_bytes(path) == 0
    for junk in (b"", b"RIFF", b"\0\0\0\x08ftyp" + b"\0" * 50, b"\0\0\0\x18ftypisom" + b"\xff" * 20):
        path.write_bytes(junk)
        assert missing_bytes(path) >= 0


def test_a_damaged_middle_does_not_stop_the_rest(
    make_video: MakeVideo, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video("clip.avi", fourcc="MJPG")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    with open_source(path) as source:
        frames = levels(list(source))
    assert len(frames) >= 25
    assert frames[-1] == 29
    assert f"ended after {len(frames)} of the 30 frames" in caplog.text


def test_says_what_is_wrong_with_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(SourceError, match=r"no such file or folder; expected a camera .*rtsp://.* demo:"):
        open_source(path)
    path.touch()
    with pytest.raises(SourceError, match="the file is empty"):
        open_source(path)
    path.write_text("WEBVTT\n" * 100)
    with pytest.raises(SourceError, match="this OpenCV can read: unknown format, no video in it, or damaged"):
        open_source(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="not a regular file"):
        open_source(path)
    with pytest.raises(SourceError, match="no such file"):
        open_source(path / "below")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_says_when_a_file_may_not_be_read(make_video: MakeVideo) -> None:
    path = make_video()
    path.chmod(0)
    with pytest.raises(SourceError, match=r"clip.mp4: cannot be read: Permission denied"):
        open_source(path)


def test_closing_from_another_thread_ends_the_iteration(make_video: MakeVideo) -> None:
    source = open_source(make_video(), SourceOptions(loop=True))
    begun, frames = threading.Event(), []

    def consume() -> None:
        for frame in source:
            frames.append(frame.sequence)
            begun.set()

    thread = threading.Thread(target=consume)
    thread.start()
    assert begun.wait(20)
    source.close()
    thread.join(20)
    assert not thread.is_alive()
    source.close()
    assert list(source) == []


def test_given_a_rate_it_is_delivered_live(make_video: MakeVideo) -> None:
    with open_source(make_video(frames=10), SourceOptions(fps=100, every_frame=True)) as source:
        frames = list(source)
        assert source.live
    assert levels(frames) == list(range(10))
    spans_ms = np.diff([f.captured_ns for f in frames]) / 1e6
    assert spans_ms.sum() >= 85  # nine intervals of 10 ms; only their end may be late
    assert source.dropped == 0


@pytest.mark.parametrize(
    "options",
    [
        SourceOptions(size_px=(640, 480)),
        SourceOptions(fourcc="MJPG"),
        SourceOptions(buffers=3),
        SourceOptions(transport="udp"),
        SourceOptions(latency_ms=100),
    ],
)
def test_options_for_cameras_are_refused(make_video: MakeVideo, options: SourceOptions) -> None:
    with pytest.raises(UsageError, match=r"clip.mp4: \w+ does not apply to video files; leave it out"):
        open_source(make_video(), options)


def test_a_policy_for_lost_sources_is_no_error_for_a_file_and_does_not_begin_it_anew(make_video: MakeVideo) -> None:
    for options in (
        SourceOptions(reconnect=Reconnect(attempts=None)),
        SourceOptions(reconnect=Reconnect(attempts=None), fps=500, every_frame=True),
    ):
        with open_source(make_video(frames=4), options) as source:
            assert levels(list(source)) == [0, 1, 2, 3]
            assert (source.connected, source.outages) == (True, Outages())


def test_a_truncated_file_at_a_rate_is_not_begun_anew_either(make_video: MakeVideo) -> None:
    path = make_video("clip.avi", fourcc="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    options = SourceOptions(reconnect=Reconnect(attempts=None), fps=500, every_frame=True)
    frames: list[Frame] = []
    with open_source(path, options) as source, pytest.raises(SourceLostError, match="the file is truncated"):
        frames.extend(source)
    assert levels(frames) == list(range(len(frames)))
    assert (source.connected, source.outages.attempts) == (False, 0)


def spans_ms(path: Path, options: SourceOptions, count: int) -> list[float]:
    """The times between the frames of a file that is delivered at a pace of its own, by a clock of its own."""
    clock = PacedClock()
    source = VideoFileSource(path, clock=clock, loop=options.loop)
    grabber = PacedGrabber(source, step_ns=lambda: source.step_ns, stop=clock, clock=clock)
    stamps = []
    for i in range(count):
        frame = grabber.grab(i)
        assert frame is not None
        stamps.append(frame.captured_ns)
    grabber.release()
    return [round(float(span), 3) for span in np.diff(stamps) / 1e6]


class PacedClock(threading.Event):
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now_ns += round(timeout * 1e9)
        return self.is_set()


def test_at_its_native_rate_a_file_takes_the_time_that_it_was_made_for(make_video: MakeVideo) -> None:
    spans = spans_ms(make_video(frames=5), SourceOptions(), 5)
    assert spans == pytest.approx([100] * 4)
    started = time.monotonic()
    with open_source(make_video(frames=4), SourceOptions(fps="native", every_frame=True)) as source:
        frames = list(source)
        assert source.live
    assert levels(frames) == [0, 1, 2, 3]
    assert time.monotonic() - started >= 0.3
    assert frames[3].captured_ns - frames[0].captured_ns >= 0.29e9


def test_a_file_of_no_constant_rate_keeps_its_own_and_a_gap_is_no_part_of_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "vfr.mp4", stamps_ms=[0, 40, 80, 200, 240, 640, 9640, 9680])
    spans = spans_ms(path, SourceOptions(), 8)
    assert spans[:5] == pytest.approx([40, 40, 120, 40, 400])
    assert spans[5] < 2000  # by the average rate
    assert spans[6] == pytest.approx(40)


def test_frames_that_come_too_late_are_not_caught_up_in_a_burst(make_video: MakeVideo) -> None:
    clock = PacedClock()
    source = VideoFileSource(make_video(frames=8), clock=clock)
    grabber = PacedGrabber(source, step_ns=lambda: 100_000_000, stop=clock, clock=clock)
    stamps_ms = []
    for i in range(8):
        clock.now_ns += {3: 350_000_000, 6: 130_000_000}.get(i, 0)  # decoding took so long
        frame = grabber.grab(i)
        assert frame is not None
        stamps_ms.append(frame.captured_ns // 1_000_000)
    assert stamps_ms == [0, 100, 200, 550, 650, 750, 880, 950]  # a little late is made up for
    clock.set()
    assert grabber.grab(8) is None
    grabber.release()


def test_a_wait_for_a_frame_that_is_due_later_ends_with_the_stop_event(make_video: MakeVideo) -> None:
    clock = PacedClock()
    source = VideoFileSource(make_video(), clock=clock)
    grabber = PacedGrabber(source, step_ns=lambda: 10**12, stop=clock, clock=clock)
    assert grabber.grab(0) is not None
    clock.set()
    assert grabber.grab(1) is None
    grabber.release()


def test_a_looped_file_keeps_its_pace(make_video: MakeVideo) -> None:
    assert spans_ms(make_video(frames=3), SourceOptions(loop=True), 8) == pytest.approx([100] * 7)


def test_a_file_that_says_no_rate_has_no_native_one(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VideoFileSource, "_read_fps", lambda _: None)
    with pytest.raises(SourceError, match=r"clip.mp4: says no frame rate of its own; give fps as a number"):
        open_source(make_video(), SourceOptions(fps="native"))


def write_video(path: Path, *, stamps_ms: list[int]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, stamp_ms in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 8 * i, np.uint8), format="bgr24")
            frame.pts, frame.time_base = stamp_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_read_that_is_under_way_when_the_source_is_closed_frees_the_file(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("googlenet_edge.capture.video.CLOSE_S", 0.01)
    source = VideoFileSource(make_video(), clock=time.monotonic_ns)
    reading, answer, released = threading.Event(), threading.Event(), []
    capture = source._capture

    class SlowCapture:
        def grab(self) -> bool:
            reading.set()
            answer.wait(20)
            return capture.grab()

        def release(self) -> None:
            released.append(threading.current_thread())
            capture.release()

        def __getattr__(self, name: str) -> object:
            return getattr(capture, name)

    source._capture = SlowCapture()  # type: ignore[assignment]
    thread = threading.Thread(target=lambda: next(iter(source)))
    thread.start()
    assert reading.wait(20)
    source.close()
    assert "still blocked in a read" in caplog.text
    assert released == []
    answer.set()
    thread.join(20)
    assert released == [thread]


def test_an_older_container_without_frame_count_still_ends_quietly(
    make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video("clip.mkv")
    with open_source(path) as source:
        assert len(list(source)) == 30
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 30
    assert not caplog.records
