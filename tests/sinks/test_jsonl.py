from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.jsonl import JsonLinesSink
from googlenet_edge.types import Frame, Prediction

ResultMaker = Callable[..., tuple[Frame, Prediction]]
LABELS = ("bend", "stop")


def test_one_object_a_frame(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with JsonLinesSink(path, truth_labels=LABELS) as sink:
        sink.emit(*make_result(0, truth=1, name="a.jpg"))
        sink.emit(*make_result(1))
    first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert first == {
        "camera": None,
        "sequence": 0,
        "name": "a.jpg",
        "label": "stop",
        "probability": 0.75,
        "unsure": False,
        "top": [
            {"class_id": 4, "label": "stop", "probability": 0.75},
            {"class_id": 7, "label": "yield", "probability": 0.125},
        ],
        "raw": None,
        "truth": 1,
        "truth_label": "stop",
        "captured_ns": 5_000_000_000,
        "times_ms": {"queue": 2.0, "preprocess": 1.0, "inference": 21.0, "capture_to_result": 24.0},
    }
    assert (second["sequence"], second["truth"], second["truth_label"], second["name"]) == (1, None, None, None)


def test_an_unsure_result_has_no_label_to_act_on(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with JsonLinesSink(path) as sink:
        sink.emit(*make_result(0, unsure=True))
    line = json.loads(path.read_text(encoding="utf-8"))
    assert (line["label"], line["unsure"]) == (None, True)
    assert line["probability"] == 0.75
    assert line["top"][0] == {"class_id": 4, "label": "stop", "probability": 0.75}, "the best guess stays to be seen"


def test_a_smoothed_result_shows_what_the_frame_alone_says(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    frame, prediction = make_result(0)
    with JsonLinesSink(path) as sink:
        sink.emit(
            frame, replace(prediction, raw=replace(prediction, labels=("bend",), class_ids=(2,), probabilities=(0.9,)))
        )
    line = json.loads(path.read_text(encoding="utf-8"))
    assert (line["label"], line["raw"]) == ("stop", {"class_id": 2, "label": "bend", "probability": 0.9})


def test_cameras_are_told_apart_and_have_truth_labels_of_their_own(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with JsonLinesSink(path, truth_labels={"door": LABELS, "yard": None}) as sink:
        for camera in ("door", "yard", "gate"):
            sink.emit(*make_result(0, truth=1, camera=camera))
        sink.lost("door")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["camera"], line["truth_label"]) for line in lines] == [
        ("door", "stop"),
        ("yard", None),
        ("gate", None),
    ]


def test_a_service_that_starts_again_adds_to_its_file(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for i in range(2):
        with JsonLinesSink(path, append=True) as sink:
            sink.emit(*make_result(i))
            sink.reopen()
            sink.emit(*make_result(i + 10))
    assert [json.loads(line)["sequence"] for line in path.read_text().splitlines()] == [0, 10, 1, 11]


def test_a_line_can_be_read_as_soon_as_it_is_emitted(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with JsonLinesSink(path) as sink:
        for i in range(3):
            sink.emit(*make_result(i))
            assert len(path.read_text().splitlines()) == i + 1


def test_standard_output(make_result: ResultMaker, capfd: pytest.CaptureFixture[str]) -> None:
    with JsonLinesSink("-") as sink:
        sink.emit(*make_result(0))
    assert json.loads(capfd.readouterr().out)["label"] == "stop"
    os.fstat(1)  # still open


def test_labels_and_names_of_any_kind_are_valid_json(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    undecodable = os.fsdecode(b"caf\xe9.jpg")
    with JsonLinesSink(path) as sink:
        sink.emit(*make_result(0, 'Über "nehmen"\n標識', name=undecodable))
    lines = path.read_bytes().decode("utf-8").splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["label"] == 'Über "nehmen"\n標識'
    assert json.loads(lines[0])["name"] == undecodable


def test_truth_outside_the_labels_has_no_label(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with JsonLinesSink(path, truth_labels=LABELS) as sink:
        sink.emit(*make_result(0, truth=9))
    assert json.loads(path.read_text())["truth_label"] is None


def test_a_full_disk_is_one_error(make_result: ResultMaker) -> None:
    with JsonLinesSink("/dev/full") as sink, pytest.raises(OutputError, match="No space left"):
        sink.emit(*make_result(0))


def test_a_reader_that_went_away_is_one_error(make_result: ResultMaker, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with JsonLinesSink(path) as sink:
        sink.emit(*make_result(0))
        os.close(reading)
        with pytest.raises(OutputError, match="has closed it"):
            sink.emit(*make_result(1))


@pytest.mark.parametrize("where", ["missing/results.jsonl", "."])
def test_a_place_that_cannot_be_written_is_an_error_at_once(where: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        JsonLinesSink(tmp_path / where)


def test_closing_twice_is_fine_and_writing_after_it_is_not(make_result: ResultMaker, tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "r.jsonl")
    sink.close()
    sink.close()
    with pytest.raises(OutputError, match="closed"):
        sink.emit(*make_result(0))
