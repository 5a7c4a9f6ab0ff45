from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import OutputError, UsageError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.tolerant import TolerantSink
from googlenet_edge.sinks.video import VideoOptions, VideoSink, camera_path
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


def test_an_hour_without_the_camera_makes_a_second_of_video(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "lost.mp4"
    with VideoSink(path, Annotator(), VideoOptions(fps=10, real_time=True)) as sink:
        sink.lost(None)
        for i in (0, 1):
            sink.emit(*make_result(i, fps=10))
        sink.lost(None)
        for i in (36_000, 36_001, 36_020):
            sink.emit(*make_result(i, fps=10))
    assert len(read(path)[0]) == pytest.approx(2 + 10 + 1 + 19, abs=2), "and the next gap is shown in full"


def test_each_camera_has_a_file_of_its_own(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoSink(path, Annotator()) as sink:
        for i in range(6):
            sink.emit(*make_result(i, camera="door", size_px=(320, 240)))
        for i in range(3):
            sink.emit(*make_result(i, camera="../yard", size_px=(160, 120)))
        sink.lost("gate")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out-..%2Fyard.mp4", "out-door.mp4"]
    door, _ = read(camera_path(path, "door"))
    yard, _ = read(camera_path(path, "../yard"))
    assert [len(door), len(yard)] == [6, 3]
    assert [door[0].shape, yard[0].shape] == [(240, 320, 3), (120, 160, 3)]


def test_one_source_without_a_name_keeps_the_path() -> None:
    assert camera_path(Path("folder/out.mp4"), None) == Path("folder/out.mp4")
    assert camera_path(Path("folder/out.mp4"), "front-left_2") == Path("folder/out-front-left_2.mp4")


@given(names=st.lists(st.text(max_size=20), max_size=5, unique=True))
def test_no_two_cameras_share_a_file_and_none_leads_elsewhere(names: list[str]) -> None:
    paths = [camera_path(Path("folder/out.mp4"), name) for name in names]
    assert len(set(paths)) == len(names)
    for path in paths:
        assert path.parent == Path("folder")
        assert path.name.startswith("out-")
        assert path.suffix == ".mp4"
        assert path.name.isascii()
        assert path.name.isprintable()


def test_what_was_recorded_is_kept_when_the_disk_fills_up_and_goes_on_beside_it(
    make_result: ResultMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.mp4"
    (tmp_path / "out.part2.mp4").write_text("of an earlier run")
    free_bytes = 2**40
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    now_ns = 0
    sink = TolerantSink(lambda: VideoSink(path, Annotator()), "video", clock=lambda: now_ns)
    for i in range(30):
        sink.emit(*make_result(i))
    free_bytes = 2**20
    for i in range(30, 40):
        sink.emit(*make_result(i))
    assert not path.exists()
    now_ns = 2_000_000_000
    sink.emit(*make_result(40))
    assert len(read(path)[0]) == 30, "it is finished while there is room for its end"
    free_bytes = 2**40
    for i in range(41, 46):
        sink.emit(*make_result(i))
    sink.close()
    assert len(read(path)[0]) == 30
    assert len(read(tmp_path / "out.part3.mp4")[0]) == 5
    assert (tmp_path / "out.part2.mp4").read_text() == "of an earlier run"
    assert (sink.dropped, sink.failures) == (11, 1)


def test_a_video_is_closed_once(make_result: ResultMaker, tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "out.mp4", Annotator())
    sink.close()
    with pytest.raises(OutputError, match="closed"):
        sink.emit(*make_result(0))


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


def _emit_all(sink: VideoSink, results: Sequence[tuple[Frame, Prediction]]) -> None:
    for frame, prediction in results:
        sink.emit(frame, prediction)


def test_the_disk_is_looked_at_also_where_frames_are_repeated(make_result: ResultMaker, tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    sink = VideoSink(folder / "out.mp4", Annotator(), VideoOptions(fps=20, real_time=True))
    for i in range(5):  # the file has each frame but the first twice
        sink.emit(*make_result(i, fps=10))
    shutil.rmtree(folder)
    rest = [make_result(i, fps=10) for i in range(5, 40)]
    with pytest.raises(OutputError, match="No such file"):
        _emit_all(sink, rest)
    with pytest.raises(OutputError):
        sink.close()


def test_each_camera_has_options_of_its_own(make_result: ResultMaker, tmp_path: Path) -> None:
    rates: Mapping[str | None, VideoOptions] = {"door": VideoOptions(fps=12), "yard": VideoOptions(fps=25)}
    with VideoSink(tmp_path / "out.avi", Annotator(), rates) as sink:
        for i, camera in itertools.product(range(3), rates):
            frame, prediction = make_result(i)
            sink.emit(replace(frame, camera=camera), prediction)
    for name, options in rates.items():
        assert cv2.VideoCapture(str(tmp_path / f"out-{name}.avi")).get(cv2.CAP_PROP_FPS) == options.fps


def test_a_video_that_was_cut_short_is_not_kept(tmp_path: Path) -> None:
    """OpenCV's writer says nothing when it cannot write: here the process may make no file above 20 kB."""
    code = f"""
import resource
import numpy as np
from pathlib import Path
from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.tolerant import TolerantSink
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
