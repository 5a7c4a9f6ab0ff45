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
        "camera": None,
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


def events_of(path: Path) -> list[tuple[str, str, str | None, str, int]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(x["camera"], x["event"], x["reason"], x["label"], x["last_sequence"]) for x in lines]


def test_each_camera_has_labels_of_its_own(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventsSink(path, AT_ONCE) as sink:
        sink.emit(*make_result(0, camera="door"))
        sink.emit(*make_result(500, camera="yard"))  # 20 s later: no gap of the first one
        sink.emit(*make_result(1, camera="door"))
    assert events_of(path) == [
        ("door", "appeared", None, "stop", 0),
        ("yard", "appeared", None, "stop", 500),
        ("door", "left", "end", "stop", 1),
        ("yard", "left", "end", "stop", 500),
    ]


def test_the_labels_of_a_lost_camera_leave_at_once(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventsSink(path, AT_ONCE) as sink:
        sink.lost("gate")  # never seen
        sink.emit(*make_result(0, camera="door"))
        sink.emit(*make_result(0, camera="yard"))
        sink.lost("door")
        sink.lost("door")
        assert events_of(path)[2:] == [("door", "left", "lost", "stop", 0)]
        sink.emit(*make_result(1, camera="door"))
    assert events_of(path)[3:] == [
        ("door", "appeared", None, "stop", 1),
        ("door", "left", "end", "stop", 1),
        ("yard", "left", "end", "stop", 0),
    ]


def test_a_service_that_starts_again_adds_to_its_file(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with EventsSink(path, AT_ONCE, append=True) as sink:
            sink.emit(*make_result(0))
            path.rename(tmp_path / "rotated.jsonl")
            sink.reopen()
    assert [event[1] for event in events_of(path)] == ["left"]
    assert [event[1] for event in events_of(tmp_path / "rotated.jsonl")] == ["left", "appeared"]


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
