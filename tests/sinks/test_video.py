from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.errors import OutputError, UsageError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.video import VideoOptions, VideoSink
from googlenet_edge.types import Frame, ImageArray, Prediction

ResultMaker = Callable[..., tuple[Frame, Prediction]]


def read(path: Path) -> tuple[list[ImageArray], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        ok, image = capture.read()
        if not ok:
            break
        frames.append(np.asarray(image, np.uint8))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return frames, fps


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_every_frame_is_in_the_video(make_result: ResultMaker, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with VideoSink(path, Annotator(), VideoOptions(fps=25)) as sink:
        for i in range(30):
            sink.emit(*make_result(i, size_px=(320, 240)))
        assert not path.exists(), "the name appears with the whole file"
    frames, fps = read(path)
    assert len(frames) == 30
    assert fps == pytest.approx(25, abs=0.01)
    assert frames[0].shape == (240, 320, 3)
    assert abs(int(frames[0][-1, -1, 0]) - 128) < 12
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name]


def test_a_link_stays_and_the_file_behind_it_is_replaced(make_result: ResultMaker, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.mp4", tmp_path / "link.mp4"
    real.write_bytes(b"old")
    link.symlink_to(real)
    with VideoSink(link, Annotator()) as sink:
        sink.emit(*make_result(0, size_px=(320, 240)))
    assert link.is_symlink()
    assert len(read(real)[0]) == 1
    assert [entry.name for entry in (tmp_path / "disk").iterdir()] == ["real.mp4"]


def test_an_odd_size_is_made_even(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    with VideoSink(path, Annotator()) as sink:
        for i in range(3):
            sink.emit(*make_result(i, size_px=(161, 121)))
    frames, _ = read(path)
    assert [frame.shape for frame in frames] == [(122, 162, 3)] * 3
    assert abs(int(frames[0][-1, -1].mean()) - 128) < 12, "the added row and column repeat the image"


def test_a_frame_of_another_size_is_fitted_in(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "changing.mp4"
    with VideoSink(path, Annotator()) as sink:
        for i, size_px in enumerate([(320, 240), (100, 300), (1280, 720), (320, 240)]):
            sink.emit(*make_result(i, size_px=size_px))
    frames, _ = read(path)
    assert len(frames) == 4
    assert frames[1][200, :100].mean() < 20, "a tall frame has bars left and right"
    assert abs(frames[1][200, 140:180].mean() - 128) < 12
    assert frames[2][:20].mean() < 20, "a wide frame has bars above and below"
    assert abs(frames[2][150].mean() - 128) < 12


def test_a_live_source_plays_in_real_time(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "live.mp4"
    with VideoSink(path, Annotator(), VideoOptions(fps=20, real_time=True)) as sink:
        for i in range(50):  # 5 s at 10 frames/s
            sink.emit(*make_result(i, fps=10))
    assert len(read(path)[0]) == pytest.approx(100, abs=2)


def test_a_live_source_that_is_faster_than_the_video_is_thinned(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    with VideoSink(path, Annotator(), VideoOptions(fps=20, real_time=True)) as sink:
        for i in range(100):  # 1 s at 100 frames/s
            sink.emit(*make_result(i, fps=100))
    assert len(read(path)[0]) == pytest.approx(20, abs=2)


def test_a_long_gap_is_shortened(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "gap.mp4"
    with VideoSink(path, Annotator(), VideoOptions(fps=10, real_time=True)) as sink:
        for i in (0, 1, 36_000, 36_001):  # an hour at 10 frames/s
            sink.emit(*make_result(i, fps=10))
    assert len(read(path)[0]) == pytest.approx(53, abs=2)


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    VideoSink(tmp_path / "none.mp4", Annotator()).close()
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    sink = VideoSink(path, Annotator())
    sink.emit(*make_result(0))
    assert path.read_text() == "old"
    sink.close()
    sink.close()
    assert len(read(path)[0]) == 1


@pytest.mark.parametrize("name", ["out.gif", "out", "out.mp4.txt"])
def test_an_unknown_file_type_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one of \.mp4, \.mkv, \.avi"):
        VideoSink(tmp_path / name, Annotator())


def test_a_place_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        VideoSink(tmp_path / "missing" / "out.mp4", Annotator())
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="folder"):
        VideoSink(tmp_path / "folder.mp4", Annotator())


@pytest.mark.parametrize("fps", [0, -1, float("nan"), 1e6])
def test_senseless_options_are_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="fps"):
        VideoOptions(fps=fps)


def test_a_disk_that_fills_up_ends_the_video_while_it_can_be_finished(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    sink = VideoSink(path, Annotator(), VideoOptions(min_free_bytes=2**62))
    with pytest.raises(OutputError, match="MiB left"):
        sink.emit(*make_result(0))
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_was_cut_short_is_not_kept(tmp_path: Path) -> None:
    """OpenCV's writer says nothing when it cannot write: here the process may make no file above 20 kB."""
    code = f"""
import resource
import numpy as np
from pathlib import Path
from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.video import VideoSink
from googlenet_edge.types import Frame, FrameTrace, Prediction
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
sink = VideoSink(Path({str(tmp_path / "out.mp4")!r}), Annotator())
for i in range(10):
    frame = Frame(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8), i, i)
    sink.emit(frame, Prediction(("a",), (0,), (0.5,), FrameTrace(i, i, i, i, i)))
try:
    sink.close()
except OutputError as error:
    print("refused:", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=Path.cwd()
    )
    assert "refused: video:" in done.stdout
    assert "it was not kept" in done.stdout
    assert list(tmp_path.iterdir()) == []
