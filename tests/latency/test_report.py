from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console

from googlenet_edge.errors import OutputError
from googlenet_edge.latency.machine import machine_info
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.report import RunFacts, report_document, samples_path, write_report, write_samples
from googlenet_edge.latency.stages import STAGES, capture_definition
from googlenet_edge.latency.table import latency_notes, latency_table, stage_lines
from googlenet_edge.types import FrameTrace, StampSource

MS = 1_000_000
START_NS = 990 * MS

TraceMaker = Callable[..., FrameTrace]


@pytest.fixture
def facts() -> RunFacts:
    return RunFacts(
        machine=machine_info(),
        source={"description": "film.mp4", "live": False},
        captured=capture_definition(live=False),
        classifier={"bundle": "tiny", "precision": "fp32"},
        accuracy={"top1_percent": 98.5},
        run={"ended": "end of stream"},
    )


def recorded(make_trace: TraceMaker, count: int, *, warmup: int = 2, capacity: int = 10_000) -> LatencyRecorder:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=warmup, capacity=capacity)
    for i in range(count):
        recorder.record(make_trace(i, inference_ms=70 if i == 50 else 4))
    return recorder


def printed(recorder: LatencyRecorder, *, dropped: int = 0) -> str:
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123 - closed with it
    with console.file:
        console.print(latency_table(recorder.summarize()))
        for note in latency_notes(recorder.summarize(dropped=dropped, dropped_in_warmup=dropped // 2)):
            console.print(note, soft_wrap=True)
        return console.export_text()


def test_the_report_has_the_statistics_and_what_they_mean(
    make_trace: TraceMaker, facts: RunFacts, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    write_report(path, recorded(make_trace, 102).summarize(dropped=3, dropped_in_warmup=1), facts)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["schema_version"] == 1
    assert document["frames"] == {"measured": 100, "warmup": 2, "dropped": 3, "dropped_in_warmup": 1, "fps": 100.0}
    inference = document["latency"]["stages"]["inference"]
    assert inference["count"] == 100
    assert (inference["p50_ms"], inference["p99_ms"], inference["max_ms"]) == (4.0, 4.0, 70.0)
    assert inference["mean_ms"] == pytest.approx(4.66)
    assert (inference["max_sequence"], inference["max_at_s"]) == (50, 0.584)
    assert inference["unreliable"] == ["p95", "p99"]
    assert set(document["latency"]["stages"]) <= set(document["definitions"])
    assert "decod" in document["definitions"]["captured"]
    assert "nearest rank" in document["definitions"]["percentile"]
    assert document["warmup"]["first_frame_ms"] == 7.0
    assert document["accuracy"] == {"top1_percent": 98.5}
    assert {"cpu", "cores", "platform"} <= set(document["machine"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_a_run_without_a_measured_frame_still_reports(make_trace: TraceMaker, facts: RunFacts, tmp_path: Path) -> None:
    write_report(tmp_path / "r.json", LatencyRecorder(started_ns=0).summarize(), facts)
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert document["frames"]["fps"] is None
    assert document["latency"]["stages"] == {}


def test_a_long_run_says_that_percentiles_come_from_a_histogram(make_trace: TraceMaker, facts: RunFacts) -> None:
    recorder = recorded(make_trace, 102, capacity=40)
    latency = report_document(recorder.summarize(), facts)["latency"]
    assert isinstance(latency, dict)
    assert "a histogram of all 100 measured frames" in latency["percentiles_from"]
    assert "0.098 % too high" in latency["percentiles_from"]
    assert latency["sampled"] == 40
    assert "a histogram of all 100 frames: at most 0.098 % too high" in printed(recorder)


def test_report_that_cannot_be_written_leaves_the_old_one(
    make_trace: TraceMaker, facts: RunFacts, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    unserialisable = RunFacts(machine=facts.machine, source={"x": float("nan")}, captured="")
    with pytest.raises(ValueError, match="JSON"):
        write_report(path, recorded(make_trace, 3).summarize(), unserialisable)
    assert path.read_text() == "old"
    with pytest.raises(OutputError, match="folder"):
        write_report(tmp_path, recorded(make_trace, 3).summarize(), facts)
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(tmp_path / "none" / "report.json", recorded(make_trace, 3).summarize(), facts)


def test_samples_are_written_beside_the_report(make_trace: TraceMaker, tmp_path: Path) -> None:
    path = samples_path(tmp_path / "report.json")
    assert path == tmp_path / "report-samples.csv"
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    for i in range(3):
        recorder.record(make_trace(i))
    write_samples(path, recorder.samples())
    with path.open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sequence"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["wait_ns"] == ""
    assert rows[1]["wait_ns"] == str(3 * MS)
    assert int(rows[2]["inferred_ns"]) - int(rows[2]["preprocessed_ns"]) == 4 * MS


def test_the_table_is_in_milliseconds_and_marks_what_is_unreliable(make_trace: TraceMaker) -> None:
    text = printed(recorded(make_trace, 102), dropped=4)
    line = next(line for line in text.splitlines() if line.startswith("inference"))
    cells = re.split(r"  +", line.strip())
    assert cells == ["inference", "4.00", "4.00", "4.00?", "4.00?", "70.00", "#50, 0.6 s", "4.66"]
    assert "…" not in text, "fits 80 characters"
    assert all(stage.title in text for stage in STAGES)
    assert "100 frames measured, 100.0 frames/s, 4 dropped (2 of them during warm-up)" in text
    assert "p95 from 130, p99 from 662" in text
    assert "2 frames in 17.00 ms, the first in 7.00 ms" in text


def test_enough_frames_leave_no_mark(make_trace: TraceMaker) -> None:
    assert "?" not in printed(recorded(make_trace, 700))


def test_the_notes_say_why_there_are_no_statistics(make_trace: TraceMaker) -> None:
    notes = " ".join(latency_notes(recorded(make_trace, 2, warmup=10).summarize()))
    assert "every frame was a warm-up frame" in notes
    assert "--warmup 0" in notes


def test_a_single_frame_is_not_told_as_several(make_trace: TraceMaker) -> None:
    notes = " ".join(latency_notes(recorded(make_trace, 2, warmup=1).summarize()))
    assert "1 frame measured, 0 dropped" in notes
    assert "warm-up, not measured: 1 frame in " in notes


def test_the_first_frame_is_told_without_warmup_too(make_trace: TraceMaker) -> None:
    notes = " ".join(latency_notes(recorded(make_trace, 2, warmup=0).summarize()))
    assert "the first frame took 7.00 ms" in notes


@pytest.mark.parametrize(
    ("live", "stamp_source", "word"),
    [
        (False, "host", "not live"),
        (True, "host", "host received"),
        (True, "device", "camera's own"),
        (True, "stream", "sender's own"),
    ],
)
def test_the_definition_of_captured_fits_the_source(live: bool, stamp_source: StampSource, word: str) -> None:
    assert word in capture_definition(live=live, stamp_source=stamp_source)


def test_each_row_of_the_table_is_explained_in_one_line_of_a_terminal(make_trace: TraceMaker) -> None:
    recorder = LatencyRecorder(started_ns=START_NS, warmup_frames=0)
    for i in range(3):
        recorder.record(structs.replace(make_trace(i, device=(("h2d", 1), ("compute", 2))), postprocess_ns=3))
    summary = recorder.summarize()
    lines = stage_lines(summary)
    titles = {stage.name: stage.title for stage in STAGES}
    assert [line.split(" = ")[0] for line in lines] == [titles.get(one.name, one.name) for one in summary.stages]
    assert lines[-1] == "device compute = by the device's own clock; part of inference"
    assert max(len(line) for line in lines) <= 80
