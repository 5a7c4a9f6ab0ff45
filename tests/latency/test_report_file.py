from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.report_file import latency_summary, read_report
from googlenet_edge.latency.summary import nearest_rank
from tests.latency.report_files import MS, Run, steady, write_run


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_run(tmp_path / "report.json", Run({None: steady(102, slow={50: 70.0})}))


def changed(path: Path, change: Any) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_statistics_and_samples_are_those_of_the_run(report: Path) -> None:
    read = read_report(report)
    summary = latency_summary(read.document)
    (camera,) = read.samples
    rows, columns = camera.samples.rows, camera.samples.columns
    inference = np.sort(rows[:, columns.index("inferred_ns")] - rows[:, columns.index("preprocessed_ns")])
    assert (summary.count, summary.sampled, len(rows)) == (100, 100, 100)
    assert summary.stage("inference").percentile(99).duration_ns == nearest_rank(inference, 99) == 4_900_000
    assert summary.stage("inference").maximum.duration_ns == 70 * MS
    assert not summary.stage("inference").percentile(99).reliable
    assert summary.stage("inference").percentile(90).reliable
    assert read.complete


def test_a_report_without_samples_is_read(tmp_path: Path) -> None:
    read = read_report(write_run(tmp_path / "r.json", Run({None: steady(20)}, samples=False)))
    assert read.samples == ()
    assert read.document.latency.stages["inference"].count == 18


def test_a_report_without_a_measured_frame_is_read(tmp_path: Path) -> None:
    read = read_report(write_run(tmp_path / "r.json", Run({None: steady(1)})))
    assert read.document.latency.stages == {}
    assert latency_summary(read.document).count == 0


def test_several_cameras_have_their_samples(tmp_path: Path) -> None:
    read = read_report(write_run(tmp_path / "r.json", Run({"door": steady(30), "yard": steady(40, every_ms=12)})))
    assert [(each.camera, len(each.samples.rows)) for each in read.samples] == [("door", 28), ("yard", 38)]


def test_a_sample_of_a_long_run_is_taken_for_one(tmp_path: Path) -> None:
    read = read_report(write_run(tmp_path / "r.json", Run({None: steady(300)}, capacity=50)))
    assert not read.complete
    assert len(read.samples[0].samples.rows) == 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got no JSON, or a file that is cut off"),
        ('{"schema_version": 1, "latency"', "got no JSON, or a file that is cut off"),
        ("[1, 2]", "got JSON that is no object"),
        ('{"a": NaN}', "NaN is no figure of a report"),
        ('{"a": 1e308}', "1e308 is no figure of a report"),
        ('{"a": -1' + "0" * 30 + "}", "is no figure of a report"),
        ("[" * 200_000, "got no JSON, or a file that is cut off"),
        ('{"schema_version": 1, "layers": []}', "got JSON that is no latency report"),
        ('{"schema_version": 2, "latency": {}, "definitions": {}}', "got a report of schema version 2, expected 1"),
        ('{"latency": {}, "definitions": {}}', "got a report of schema version None, expected 1"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        read_report(path)


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="got no JSON"):
        read_report(tmp_path / "report.json")
    with pytest.raises(InputError, match=r"cannot be read .No such file"):
        read_report(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path)


def _no_median(document: Any) -> None:
    document["latency"]["stages"]["queue"]["p50_ms"] = "fast"


def _negative(document: Any) -> None:
    document["frames"]["dropped"] = -1


def _no_frames(document: Any) -> None:
    del document["frames"]


@pytest.mark.parametrize("change", [_no_median, _negative, _no_frames])
def test_a_damaged_report_is_refused(report: Path, change: Any) -> None:
    changed(report, change)
    with pytest.raises(InputError, match="got a damaged latency report"):
        read_report(report)


def test_samples_of_another_run_are_refused(report: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other.json", Run({None: steady(102, slow={50: 69.0})}))
    (tmp_path / "report-samples.csv").write_bytes((tmp_path / "other-samples.csv").read_bytes())
    with pytest.raises(InputError, match=r"samples of another run beside it .inference: at most 69.0"):
        read_report(report)
    write_run(other, Run({None: steady(90)}))
    (tmp_path / "report-samples.csv").write_bytes((tmp_path / "other-samples.csv").read_bytes())
    with pytest.raises(InputError, match="88 frames, where the report measured 100"):
        read_report(report)


def test_the_samples_of_all_cameras_must_be_there(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r.json", Run({"door": steady(30), "yard": steady(30)}))
    (tmp_path / "r-samples-yard.csv").unlink()
    with pytest.raises(InputError, match=r"samples of 1 of 2 cameras beside it, expected r-samples-yard.csv too"):
        read_report(path)


def test_a_camera_whose_name_is_a_path_leads_nowhere(report: Path) -> None:
    def rename(document: Any) -> None:
        document["cameras"][0]["name"] = "/../../etc/passwd"

    changed(report, rename)
    assert read_report(report).samples == ()
