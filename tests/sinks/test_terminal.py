from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.terminal import TerminalSink
from googlenet_edge.types import Frame, Prediction

ResultMaker = Callable[..., tuple[Frame, Prediction]]


def test_a_terminal_gets_one_line_rewritten_at_most_ten_times_a_second(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream, rewrite=True) as sink:
        for i in range(301):  # 3 s at 100 frames/s
            sink.emit(*make_result(i, fps=100))
    text = stream.getvalue()
    assert 30 <= text.count("\r") <= 32
    assert text.count("\n") == 1
    assert text.endswith("\n")
    last = text.split("\r")[-1]
    assert "#300" in last, "the last result stays on the screen"
    assert "stop 75.0 %" in last
    assert "100.0 frames/s" in last
    assert "capture to result 24.0 ms" in last


def test_a_long_label_stays_on_one_line(make_result: ResultMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    with TerminalSink(stream, rewrite=True) as sink:
        sink.emit(*make_result(0, "道路標識" * 30))
    line = stream.getvalue().strip("\r\n").removesuffix("\x1b[K")
    assert len(line) < 40


def test_a_log_gets_a_line_a_second_while_nothing_changes(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        for i in range(100):  # 4 s at 25 frames/s
            sink.emit(*make_result(i))
    lines = stream.getvalue().splitlines()
    assert [re.match(r"#(\d+)", line)[1] for line in lines] == ["0", "25", "50", "75", "99"]  # type: ignore[index]
    assert "\r" not in stream.getvalue()


def test_a_log_gets_a_line_when_the_label_changes(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        for i, label in enumerate(["stop", "stop", "yield", "yield", "stop"]):
            sink.emit(*make_result(i, label))
    assert [line.split()[0:2] for line in stream.getvalue().splitlines()] == [
        ["#0", "stop"],
        ["#2", "yield"],
        ["#4", "stop"],
    ]


def test_a_few_images_get_a_line_each(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        for i in range(8):
            sink.emit(*make_result(i, name=f"folder/{i}.jpg"))
    assert [line.split("/")[-1] for line in stream.getvalue().splitlines()] == [f"{i}.jpg" for i in range(8)]


def test_a_flickering_label_does_not_flood_a_log(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        for i in range(60 * 25):  # a minute, another label with every frame
            sink.emit(*make_result(i, f"label{i}"))
    assert 100 <= len(stream.getvalue().splitlines()) <= 20 + 2 * 60 + 2


def test_an_unsure_label_is_shown_as_such(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        sink.emit(*make_result(0, unsure=True))
        sink.emit(*make_result(1, "yield", unsure=True))
        sink.emit(*make_result(2))
    lines = stream.getvalue().splitlines()
    assert "unsure (stop 75.0 %)" in lines[0]
    assert [line.split()[0] for line in lines] == ["#0", "#2"], "guesses that change are no news"


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_camera_that_is_lost_and_comes_back_has_lines_of_its_own(make_result: ResultMaker, rewrite: bool) -> None:
    stream = io.StringIO()
    with TerminalSink(stream, rewrite=rewrite) as sink:
        sink.lost(None)  # absent at the start
        sink.emit(*make_result(0))
        sink.lost(None)
        sink.emit(*make_result(130))  # 5.2 s later
        sink.emit(*make_result(131))
    text = [line.split("\r")[-1].removesuffix("\x1b[K") for line in stream.getvalue().split("\n")]
    assert text[0] == "the camera was lost"
    assert text[1] == "the camera is back"
    assert "the camera is back after 5.2 s without a frame" in text
    assert text.index("the camera is back after 5.2 s without a frame") > 2


def test_a_log_of_several_cameras_has_a_line_of_each_in_turn(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    cameras = [f"cam{number}" for number in range(4)]
    with TerminalSink(stream) as sink:
        for i in range(20 * 25 + 1):  # 20 s
            for camera in cameras:
                sink.emit(*make_result(i, camera=camera))
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines[:8]] == cameras * 2
    assert 20 <= len(lines) <= 32, "about a line a second, however many cameras there are"


def test_flickering_labels_of_several_cameras_do_not_flood_a_log(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        for i in range(60 * 25):
            for camera in "abcd":
                sink.emit(*make_result(i, f"label{i}", camera=camera))
    assert 100 <= len(stream.getvalue().splitlines()) <= 20 + 2 * 60 + 4


def test_the_live_line_names_all_cameras(make_result: ResultMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    stream = io.StringIO()
    with TerminalSink(stream, rewrite=True) as sink:
        sink.lost("gate")
        for i in range(20):
            sink.emit(*make_result(i, camera="door"))
            sink.emit(*make_result(i, "yield", camera="yard", unsure=True))
    last = stream.getvalue().rstrip("\n").split("\r")[-1].removesuffix("\x1b[K")
    assert last == "gate: lost | door: stop 75.0 % 25.0/s | yard: unsure (yield 75.0 %) 25.0/s"
    assert stream.getvalue().count("\n") == 2, "the loss and the end"


def test_cameras_that_do_not_fit_on_the_line_are_shown_in_turn(
    make_result: ResultMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    with TerminalSink(stream, rewrite=True) as sink:
        for i in range(10 * 25):
            for number in range(5):
                sink.emit(*make_result(i, camera=f"camera{number}"))
    lines = [line.removesuffix("\x1b[K") for line in stream.getvalue().split("\r") if line]
    assert all(len(line.strip()) <= 39 for line in lines)
    assert {name for line in lines for name in re.findall(r"camera\d", line)} == {f"camera{n}" for n in range(5)}


def test_labels_cannot_steer_the_terminal(make_result: ResultMaker) -> None:
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        sink.emit(*make_result(0, "evil\x1b[2J\nlabel"))
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_an_ascii_terminal_shows_what_it_can(make_result: ResultMaker) -> None:
    raw = io.BytesIO()
    with TerminalSink(io.TextIOWrapper(raw, encoding="ascii"), rewrite=False) as sink:
        sink.emit(*make_result(0, "Überholverbot"))
    assert b"?berholverbot" in raw.getvalue()


def test_nothing_was_shown_so_nothing_is_ended() -> None:
    stream = io.StringIO()
    TerminalSink(stream, rewrite=True).close()
    assert stream.getvalue() == ""


def test_a_reader_that_went_away_is_one_error(make_result: ResultMaker) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    sink = TerminalSink(stream)
    with pytest.raises(OutputError, match="Broken pipe"):
        sink.emit(*make_result(0))
    sink.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_full_disk_is_one_error(make_result: ResultMaker) -> None:
    with Path("/dev/full").open("w") as stream:
        sink = TerminalSink(stream)
        with pytest.raises(OutputError, match="No space left"):
            sink.emit(*make_result(0))
        # What is left in the buffer must not fail once more when the test closes the file.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
