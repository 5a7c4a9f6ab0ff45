"""Runs that are really killed in the middle of a video, and the run after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.video import VideoSink
from googlenet_edge.sinks.video_leftovers import hold, settle_leftovers, temporary_path
from googlenet_edge.types import Frame, Prediction

ResultMaker = Callable[..., tuple[Frame, Prediction]]

WRITE = """
import sys
import numpy as np
from pathlib import Path
from googlenet_edge.sinks.video_file import VideoFile, VideoOptions
rng = np.random.default_rng(0)
video = VideoFile(Path(sys.argv[1]), VideoOptions())
for i in range(200):
    video.write(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), i)
print("written", flush=True)
sys.stdin.read()
"""


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written 200 frames of a video, which is not finished."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.kill()


def killed(path: Path) -> Path:
    """What a process that was killed has left."""
    with writing(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    return path.with_name(f".{path.stem}.{process.pid}.partial{path.suffix}")


def write_one(path: Path, make_result: ResultMaker) -> None:
    with VideoSink(path, Annotator()) as sink:
        sink.emit(*make_result(0))


def frames(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_what_a_killed_run_has_left_is_kept_where_it_can_be_played(
    make_result: ResultMaker, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"out{suffix}"
    for _ in range(2):
        assert killed(path).exists()
        write_one(path, make_result)
    kept = [f"out.recovered{suffix}", f"out.recovered2{suffix}"]
    assert names(tmp_path) == sorted([path.name, *kept])
    assert frames(path) == 1
    for name in kept:
        assert 100 < frames(tmp_path / name) <= 200
    assert f"which is kept as {tmp_path / kept[0]}" in caplog.text


def test_what_cannot_be_played_is_removed(
    make_result: ResultMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "out.mp4"
    assert killed(path).exists()
    (tmp_path / ".out.part2.999999999.partial.mp4").write_bytes(b"a further part")
    (tmp_path / ".out.0000.partial.mkv").write_bytes(b"another video's")
    (tmp_path / ".outing.999999999.partial.mp4").write_bytes(b"another video's")
    write_one(path, make_result)
    assert names(tmp_path) == [".out.0000.partial.mkv", ".outing.999999999.partial.mp4", "out.mp4"]
    assert caplog.text.count("cannot be played; removed") == 2


def test_the_video_of_a_run_that_goes_on_is_left_alone(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    with writing(path) as process:
        temporary = f".out.{process.pid}.partial.mkv"
        write_one(path, make_result)
        assert names(tmp_path) == [temporary, "out.mkv"]
        # Of a process in another container its number says nothing, but its lock does.
        hidden = tmp_path / ".out.999999999.partial.mkv"
        (tmp_path / temporary).rename(hidden)
        settle_leftovers(path)
        assert hidden.exists()


def test_two_processes_of_one_number_do_not_write_one_file(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    handle = hold(temporary_path(path))
    with pytest.raises(OutputError, match="another process is writing it"):
        write_one(path, make_result)
    assert temporary_path(path).exists()
    os.close(handle)
    write_one(path, make_result)
    assert frames(path) == 1


def test_a_link_or_folder_of_that_name_is_left_alone(make_result: ResultMaker, tmp_path: Path) -> None:
    elsewhere = tmp_path / "valuable"
    elsewhere.write_text("mine")
    (tmp_path / ".out.999999998.partial.mp4").mkdir()
    (tmp_path / ".out.999999999.partial.mp4").symlink_to(elsewhere)
    write_one(tmp_path / "out.mp4", make_result)
    assert elsewhere.read_text() == "mine"
    assert len(names(tmp_path)) == 4
