from __future__ import annotations

import json
from pathlib import Path

import pytest

from googlenet_edge.cli.main import main


def test_the_layers_of_onnx_runtime(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    figures = tmp_path / "layers.json"
    arguments = ["--layers", "--backend", "onnxruntime", "--threads", "1", "--batch", "2", "--iterations", "5"]
    assert main(["bench", str(tiny_bundle), *arguments, "--warmup", "1", "--json", str(figures)]) == 0
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert "ONNX Runtime" in shown
    assert "median of 5 inferences of 2 frames" in shown
    for word in ("row of Table 1", "slowest layers", "whole inference:", "not covered:"):
        assert word in shown
    assert "…" not in shown  # no figure is cut, however narrow the terminal
    document = json.loads(figures.read_text())
    assert (document["model"], document["precision"], document["schema_version"]) == ("tiny", "fp32", 1)
    assert (document["frames_per_inference"], document["inferences"]) == (2, 5)
    assert document["backend"]["threads"] == "1"
    assert sum(layer["share"] for layer in document["layers"]) == pytest.approx(1, abs=1e-4)
    assert sum(row["share"] for row in document["rows"]) == pytest.approx(1, abs=1e-4)
    assert document["not_covered_ms"] == pytest.approx(document["wall_ms"] - document["layers_ms"], abs=1e-6)
    assert document["wall_ms"] > document["layers_ms"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "bench: got neither --scenario nor --layers, expected one of them: whole frames"),
        (["--layers", "--batch", "0"], "--batch: got 0, expected at least 1"),
        (["--layers", "--iterations", "0"], "--iterations: got 0, expected at least 1"),
        (["--layers", "--warmup", "-1"], "--warmup: got -1, expected at least 0"),
        (["--layers", "--iterations", "995"], "--iterations: got 995, and 10 for warm-up, expected at most 1000"),
        (["--layers", "--batch", "8", "--max-batch", "4"], "--max-batch: got 4, expected at least 8, as --batch"),
    ],
)
def test_wrong_usage(tiny_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["bench", str(tiny_bundle), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_bundle_that_is_none_and_a_file_that_cannot_be_written(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tmp_path / "none"), "--layers"]) == 1
    assert "got nothing there" in capsys.readouterr().err
    assert main(["bench", str(tiny_bundle), "--layers", "--json", str(tmp_path / "no" / "folder.json")]) == 1
    shown, errors = capsys.readouterr()
    assert "JSON file" in errors
    assert shown == "", "found out before measuring"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--layers", "--iterations", "2", "--warmup", "0", "--json"], "whole inference: "),
        (["--batch", "1", "--rounds", "2", "--min-duration", "0.05", "--no-power", "--json"], "1 setting, each in a"),
        (
            ["--scenario", "single-stream", "--min-duration", "0.05", "--no-power", "--report"],
            "p90 of the query latency",
        ),
    ],
    ids=["layers", "matrix", "scenario"],
)
def test_what_was_measured_is_shown_where_it_can_no_longer_be_written(
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    shown: str,
) -> None:
    place = tmp_path / "stick" / "figures.json"

    def unplug(_: Path, *, what: str) -> None:
        """Stand in for a disk that is there when it is looked at, and no longer when the figures are."""
        assert what in ("JSON file", "report")

    monkeypatch.setattr("googlenet_edge.atomic.check_writable", unplug)
    assert main(["bench", str(tiny_bundle), "--backend", "onnxruntime", "--threads", "1", *arguments, str(place)]) == 1
    printed, errors = capsys.readouterr()
    assert shown in printed
    assert "figures.json' cannot be written" in errors
    assert "Traceback" not in errors
