from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.video import missing_bytes
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Frame

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
    with pytest.raises(SourceError, match="not a video that this OpenCV can read: unknown format, or damaged"):
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


def test_options_for_cameras_are_refused(make_video: MakeVideo) -> None:
    with pytest.raises(ValueError, match="size_px does not apply to files"):
        open_source(make_video(), SourceOptions(size_px=(640, 480)))


def test_an_older_container_without_frame_count_still_ends_quietly(
    make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_video("clip.mkv")
    with open_source(path) as source:
        assert len(list(source)) == 30
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 30
    assert not caplog.records
