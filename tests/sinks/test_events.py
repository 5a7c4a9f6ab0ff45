from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.events import EventsSink
from googlenet_edge.sinks.label_events import EventConfig
from googlenet_edge.types import Frame, Prediction

ResultMaker = Callable[..., tuple[Frame, Prediction]]
AT_ONCE = EventConfig(appear_ms=0, leave_ms=0)


def test_a_line_when_a_label_appears_and_one_when_the_run_ends(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    # The frame was captured at 5 s of the monotonic clock, which shows 5.25 s at 2026-01-01T00:00:00.500Z.
    with EventsSink(path, AT_ONCE, clock=lambda: 5_250_000_000, wall_clock=lambda: 1_767_225_600_500_000_000) as sink:
        sink.emit(*make_result(0, "Ü\n標"))
        appeared = json.loads(path.read_text(encoding="utf-8"))  # at once, not at the end
        sink.emit(*make_result(1, "Ü\n標"))
    assert appeared == {
        "event": "appeared",
        "reason": None,
        "label": "Ü\n標",
        "class_id": 4,
        "time": "2026-01-01T00:00:00.250Z",
        "captured_ns": 5_000_000_000,
        "first_sequence": 0,
        "last_sequence": 0,
        "duration_ms": 0.0,
        "best_probability": 0.75,
    }
    first, left = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first) == appeared
    assert json.loads(left) == {
        **appeared,
        "event": "left",
        "reason": "end",
        "time": "2026-01-01T00:00:00.290Z",
        "captured_ns": 5_040_000_000,
        "last_sequence": 1,
        "duration_ms": 40.0,
    }


def test_a_label_that_never_reaches_its_time_makes_an_empty_file(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventsSink(path) as sink:
        sink.emit(*make_result(0))
    assert path.read_bytes() == b""


def test_standard_output(make_result: ResultMaker, capfd: pytest.CaptureFixture[str]) -> None:
    with EventsSink("-", AT_ONCE) as sink:
        sink.emit(*make_result(0))
    lines = capfd.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["appeared", "left"]
    os.fstat(1)  # still open


def test_a_full_disk_is_one_error_and_no_more_is_tried(make_result: ResultMaker) -> None:
    sink = EventsSink("/dev/full", AT_ONCE)
    with pytest.raises(OutputError, match="events: cannot write /dev/full: No space left"):
        sink.emit(*make_result(0))
    sink.close()  # would raise again


def test_a_reader_gone_at_the_end_is_an_error_and_closes_the_file(make_result: ResultMaker, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = EventsSink(fifo, AT_ONCE)
    sink.emit(*make_result(0))
    os.close(reading)
    with pytest.raises(OutputError, match=r"events: the program that read .* has closed it"):
        sink.close()
    sink.close()
    with pytest.raises(OutputError, match="closed"):
        sink.emit(*make_result(1, "other"))


@pytest.mark.parametrize("where", ["missing/events.jsonl", "."])
def test_a_place_that_cannot_be_written_is_an_error_at_once(where: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        EventsSink(tmp_path / where)
