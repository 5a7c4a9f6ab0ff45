from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from googlenet_edge.latency.report_csv import COLUMNS, report_csv, write_csv
from googlenet_edge.latency.report_file import read_report
from tests.latency.report_files import Run, steady, write_run


def test_each_figure_of_the_report_is_a_line(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r.json", Run({"door": steady(102), "yard, back": steady(102)}, samples=False))
    document = json.loads(path.read_text())
    rows = list(csv.DictReader(io.StringIO(report_csv(read_report(path).document))))
    assert tuple(rows[0]) == COLUMNS
    stages = {"": document["latency"]["stages"]} | {each["name"]: each["stages"] for each in document["cameras"]}
    assert set(stages) == {"", "door", "yard, back"}
    expected = {
        (camera, name, statistic): stage[f"{statistic}_ms"]
        for camera, named in stages.items()
        for name, stage in named.items()
        for statistic in ("p50", "p90", "p95", "p99", "max", "mean")
    }
    times = [row for row in rows if row["unit"] == "ms"]
    found = {(row["camera"], row["stage"], row["statistic"]): float(row["value"]) for row in times}
    assert found == expected
    (rate,) = [row for row in rows if row["unit"] == "frames/s"]
    assert float(rate["value"]) == document["frames"]["fps"]
    reliable = {
        (row["statistic"], row["reliable"]) for row in rows if row["camera"] == "door" and row["stage"] == "queue"
    }
    assert reliable == {("p50", "true"), ("p90", "true"), ("p95", "false"), ("p99", "false"), ("max", ""), ("mean", "")}


def test_frames_that_were_measured_and_dropped_are_lines_of_the_run_and_of_each_camera(tmp_path: Path) -> None:
    run = Run({"door": steady(102), "yard": steady(102)}, samples=False)
    document = read_report(write_run(tmp_path / "r.json", run)).document
    rows = [row for row in csv.DictReader(io.StringIO(report_csv(document))) if row["unit"] == "frames"]
    found = {(row["camera"], row["statistic"]): (int(row["value"]), int(row["count"])) for row in rows}
    frames = document.frames
    came = frames.measured + frames.warmup + frames.dropped
    expected = {("", "measured"): (frames.measured, came), ("", "dropped"): (frames.dropped, came)}
    for camera in document.cameras:
        came = camera.frames + camera.dropped
        expected[camera.name or "", "measured"] = camera.measured, came
        expected[camera.name or "", "dropped"] = camera.dropped, came
    assert len(rows) == 6
    assert found == expected


def test_without_a_measured_frame_there_are_the_counts_alone(tmp_path: Path) -> None:
    report = read_report(write_run(tmp_path / "r.json", Run({None: steady(1)})))
    write_csv(tmp_path / "r.csv", report.document)
    assert (tmp_path / "r.csv").read_text() == (",".join(COLUMNS) + "\n,,measured,0,frames,,1\n,,dropped,0,frames,,1\n")
