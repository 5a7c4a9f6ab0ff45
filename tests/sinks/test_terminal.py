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
