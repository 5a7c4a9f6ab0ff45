from __future__ import annotations

import json
from pathlib import Path

import pytest

from googlenet_edge.cli import main as cli
from googlenet_edge.latency.report import samples_path
from googlenet_edge.latency.schema import report_schema
from googlenet_edge.types import Outages
from tests.latency.report_files import FrameTimes, Run, steady, write_run


@pytest.fixture(autouse=True)
def verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "report", "show a latency report")


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return write_run(tmp_path / "report.json", Run({None: steady(102, slow={50: 70.0})}))


def test_all_forms_are_written(report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = [tmp_path / name for name in ("out.html", "out.csv", "out.prom")]
    options = ["-o", str(outputs[0]), "--csv", str(outputs[1]), "--prometheus", str(outputs[2])]
    assert cli.main(["report", str(report), *options]) == 0
    assert capsys.readouterr() == ("", "")
    starts = ["<!DOCTYPE html>", "camera,stage,statistic", "# HELP googlenet_edge_run_info"]
    for path, start in zip(outputs, starts, strict=True):
        assert path.read_text(encoding="utf-8").startswith(start)


def test_without_an_output_the_table_is_printed(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(report)]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert "rtsp://door: frame limit after 102 frames" in shown
    assert "100 frames measured" in shown
    line = next(line for line in shown.splitlines() if line.startswith("inference"))
    assert line.split() == ["inference", "4.50", "4.90", "4.90?", "4.90?", "70.00", "#50,", "0.6", "s", "5.11"]
    assert "queue = from capture until the loop took the frame up" in shown
    assert "captured = when the host received the frame" in shown


def test_names_from_a_report_are_not_obeyed_by_the_terminal(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(report.read_text())
    document["latency"]["stages"]["[/red]\x1b[2J"] = document["latency"]["stages"]["queue"]
    document["source"]["description"] = "[bold]\x1b[2J"
    report.write_text(json.dumps(document))
    assert cli.main(["report", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "[/red]" in shown
    assert "[bold]" in shown
    assert "\x1b" not in shown


def test_the_schema_is_printed_as_it_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--schema"]) == 0
    assert capsys.readouterr().out == report_schema()


def test_wrong_usage_is_explained(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ([], "got no REPORT.json"),
        (["--schema", str(report)], "got --schema together with"),
        (["--schema", "--csv", "a.csv"], "together with --csv"),
        ([str(report), "--layers", "layers.json"], "--layers: got no -o FILE.html"),
        ([str(report), "-o", str(report)], "which is what is read already"),
        ([str(report), "--csv", str(samples_path(report))], "which is what is read already"),
        ([str(report), "-o", "a.x", "--csv", "./a.x"], "which is -o already"),
    ):
        assert cli.main(["report", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert json.loads(report.read_text())["schema_version"] == 1


def test_what_cannot_be_read_or_written_is_one_message(
    report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(tmp_path / "none.json")]) == 1
    error = capsys.readouterr().err
    assert "none.json: cannot be read" in error
    assert error.count("none.json") == 1
    assert "cut off" not in error
    report.write_text(report.read_text()[:500])
    assert cli.main(["report", str(report), "-o", str(tmp_path / "out.html")]) == 1
    shown, errors = capsys.readouterr()
    assert "cut off" in errors
    assert "Traceback" not in errors
    assert shown == ""
    assert not (tmp_path / "out.html").exists()
    whole = write_run(tmp_path / "whole.json", Run({None: steady(20)}))
    assert cli.main(["report", str(whole), "-o", str(tmp_path / "no" / "out.html")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_layers_are_shown_where_they_are_of_the_same_graph(
    report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = tmp_path / "layers.json"
    entry = {"name": "conv1.relu", "rows": ["conv1"], "median_ms": 1.25, "share": 1.0}
    document = {
        "graph_sha256": "ab" * 32, "inferences": 9, "frames_per_inference": 1, "wall_ms": 2.0, "layers_ms": 1.5,
        "not_covered_ms": 0.5, "rows": [entry], "layers": [entry],
    }  # fmt: skip
    arguments = ["report", str(report), "-o", str(tmp_path / "out.html"), "--layers", str(layers)]
    layers.write_text(json.dumps(document))
    assert cli.main(arguments) == 0
    assert "conv1.relu" in (tmp_path / "out.html").read_text(encoding="utf-8")
    for content, message in (
        (json.dumps({**document, "graph_sha256": "cd" * 32}), "got the layers of graph 'cdcd"),
        (json.dumps({"layers": []}), "got no layer times"),
        ("{", "layers.json: got no JSON"),
    ):
        layers.write_text(content)
        assert cli.main(arguments) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("sources", [["demo:"], ["door=demo:", "yard=demo:"]])
def test_the_report_of_a_real_run_is_valid_and_shown(
    tiny_bundle: Path, tmp_path: Path, sources: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = tmp_path / "run.json"
    run = ["run", str(tiny_bundle), *sources, "--frames", "60", "--fps", "60", "--quiet", "--backend", "onnxruntime"]
    assert cli.main([*run, "--report", str(path), "--samples"]) == 0
    document = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json.loads(report_schema())).validate(document)
    outputs = {"-o": "run.html", "--csv": "run.csv", "--prometheus": "run.prom"}
    options = [part for option, name in outputs.items() for part in (option, str(tmp_path / name))]
    assert cli.main(["report", str(path), *options]) == 0
    page = (tmp_path / "run.html").read_text(encoding="utf-8")
    for part in ("percentiles", "histogram", "timeline", "stages-bar"):
        assert f'<figure id="{part}">' in page
    assert cli.main(["report", str(path)]) == 0
    assert "capture to result" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("scenario", "options", "plots"),
    [
        ("single-stream", ["--min-duration", "0.1"], ("percentiles", "histogram", "timeline", "stages-bar")),
        ("offline", ["--min-duration", "0.05", "--max-batch", "2"], ("throughput", "percentiles")),
        ("camera", ["--min-duration", "0.3", "--no-search"], ("percentiles", "timeline")),
    ],
)
def test_the_report_of_a_scenario_is_valid_and_shown_as_it_was_printed(
    tiny_bundle: Path,
    tmp_path: Path,
    scenario: str,
    options: list[str],
    plots: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = tmp_path / "bench.json"
    bench = ["bench", str(tiny_bundle), "--scenario", scenario, "--backend", "onnxruntime", "--threads", "1"]
    bench += ["--size", "64x48", "--frame-count", "3", *options, "--report", str(path), "--samples"]
    assert cli.main(bench) == 0
    printed = capsys.readouterr().out
    document = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json.loads(report_schema())).validate(document)
    assert cli.main(["report", str(path)]) == 0
    shown = capsys.readouterr().out
    headline = next(line for line in shown.splitlines() if line.startswith(scenario))
    for line in shown.splitlines():
        assert line in printed.splitlines(), "what `bench` printed of the same run"
    assert headline in printed
    outputs = {"-o": "bench.html", "--csv": "bench.csv", "--prometheus": "bench.prom"}
    arguments = [part for option, name in outputs.items() for part in (option, str(tmp_path / name))]
    assert cli.main(["report", str(path), *arguments]) == 0
    page = (tmp_path / "bench.html").read_text(encoding="utf-8")
    assert all(f'<figure id="{plot}">' in page for plot in plots)
    assert f",{scenario},frames_per_second," in (tmp_path / "bench.csv").read_text(encoding="utf-8")
    assert f'scenario="{scenario}"' in (tmp_path / "bench.prom").read_text(encoding="utf-8")


def test_raw_samples_that_are_gone_when_they_are_looked_at_are_no_failure(
    report: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (report.parent / "report-samples.raw").symlink_to(report.parent / "gone")  # as those of a run that has just ended
    assert cli.main(["report", str(report)]) == 0
    shown, errors = capsys.readouterr()
    assert "100 frames measured" in shown
    assert errors == ""


def test_accuracy_and_each_of_several_cameras_are_shown_as_by_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outages = Outages(lost=2, reconnected=1, attempts=7, down_ns=1_500_000_000)
    cameras: dict[str | None, list[FrameTimes]] = {"door": steady(102), "[red]yard\x1b": steady(102, slow={50: 70.0})}
    path = write_run(tmp_path / "r.json", Run(cameras, samples=False, outages=outages, dropped=3))
    assert cli.main(["report", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "top-1 accuracy: 98.00 % (98 of 100 frames)" in lines
    found = {line.split()[0]: line.split()[1:] for line in lines if "100.0" in line and "age" not in line}
    assert found["door"] == ["102", "100.0", "3", "2", "1", "8.4", "8.9?", "8.9"]
    assert found["[red]yard\ufffd"][-1] == "74.0"
    assert "door: times lost 2, back 1, attempts 7, 1.5 s without it" in lines
    assert any(line.startswith("fairness 0.980 = Jain's index") for line in lines)


def test_a_narrow_terminal_cuts_no_figure_off(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "45")
    assert cli.main(["report", str(report)]) == 0
    shown = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    line = next(line for line in shown.splitlines() if line.startswith("inference"))
    assert line.split() == ["inference", "4.50", "4.90", "4.90?", "4.90?", "70.00", "#50,", "0.6", "s", "5.11"]
