"""``bench`` with several settings: from the command line to the file and the exit code, on tiny bundles."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from googlenet_edge.cli.bench_matrix_display import duration
from googlenet_edge.cli.main import main
from googlenet_edge.scenarios.matrix.format import derived_schema, matrix_schema
from tests.scenarios.matrix.bundles import Maker, comparison
from tests.scenarios.matrix.making import children, is_gone

QUICK = ["--threads", "1", "--size", "64x48", "--frame-count", "3", "--rounds", "2", "--min-duration", "0.05"]
QUICK += ["--backend", "onnxruntime", "--no-power"]


@pytest.fixture
def bundles(tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path) -> Path:
    """A folder with an FP32 and an INT8 bundle, of which the second says what the precision costs."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    maker = Maker(folder, tiny_facts, tiny_golden, tiny_graph_path.read_bytes())
    maker.make("first", accuracy=())
    maker.make("second", "int8", comparison=comparison("int8", 97.0, -1.0))
    return folder


def bench(bundles: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Measure, and return the JSON file, which the published schema has been held against."""
    jsonschema = pytest.importorskip("jsonschema")
    place = bundles.parent / "matrix.json"
    assert main(["bench", str(bundles), *QUICK, *arguments, "--json", str(place)]) == code
    document: dict[str, Any] = json.loads(place.read_text())
    jsonschema.Draft202012Validator(json.loads(matrix_schema())).validate(document)
    return document


def test_a_matrix_of_precisions_and_batches(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = bench(bundles, "--precision", "fp32,int8,fp16", "--batch", "1,33")
    found = {(one["precision"], one["batch"]): one for one in document["settings"]}
    assert list(found) == [("fp32", 1), ("fp32", 33), ("int8", 1), ("int8", 33), ("fp16", 1), ("fp16", 33)]
    for precision in ("fp32", "int8"):
        good = found[precision, 1]
        assert len(good["rounds"]) == 2
        assert good["batches"] == sum(one["batches"] for one in good["rounds"])
        rates = [one["frames_per_second"] for one in good["rounds"]]
        figure = good["frames_per_second"]
        assert [figure["low"], figure["high"]] == pytest.approx([min(rates), max(rates)], abs=0.001)
        assert good["classifier"]["precision"] == precision
        assert found[precision, 33]["failure"].startswith("batch 33: it takes at most 32")
        assert found[precision, 33]["rounds"] == []
        assert good["accuracy"]["source"] == "recorded"
    assert found["fp32", 1]["accuracy"]["top1_percent"]["value"] == 98
    assert found["int8", 1]["accuracy"]["drop_points"] == {"value": 1.0, "low": 0.7, "high": 1.3}
    assert "none of the bundles is fp16" in found["fp16", 1]["failure"]
    assert document["run"]["ended"] == "complete"
    assert (document["target"], document["recommendation"]) == (None, None)
    assert set(document["state"]) >= {"before", "after"}
    shown, said = capsys.readouterr()
    assert "fp16, batch 1, 33: not measured: none of the bundles is fp16" in shown
    assert "fp32, batch 33: not measured: batch 33: it takes at most 32 frames at once" in shown
    assert "fp32, int8: recorded on scenes, when the bundle was made" in shown
    assert said.startswith("4 settings, 2 rounds: 8 measurements of 0.05 s, about 12 s or longer\nround 1 of 2\n")


def test_a_second_run_replaces_the_first_ones_file(bundles: Path) -> None:
    first, second = (bench(bundles, "--precision", "fp32", "--batch", batch) for batch in ("1", "2"))
    assert [one["settings"][0]["batch"] for one in (first, second)] == [1, 2]
    assert [path.name for path in bundles.parent.iterdir() if path.is_file()] == ["matrix.json"]


def test_a_setting_that_meets_the_target_is_recommended(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--batch", "1", "--target-latency", "2000", "--target-percentile", "90", "--target-fps", "0.5"]
    document = bench(bundles, *arguments, "--max-accuracy-drop", "0.5")
    chosen = document["settings"][document["recommendation"]["chosen"]]
    assert chosen["precision"] == "fp32", "INT8 loses 0.7 to 1.3 points"
    assert [one["standing"] for one in chosen["checks"]] == ["met"] * 3
    assert chosen["batches"] >= 64, "as many as p90 needs"
    assert "\nrecommended: fp32, batch 1: p90 " in capsys.readouterr().out


def test_where_nothing_meets_the_target_the_nearest_is_named_and_the_exit_code_is_3(
    bundles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = bench(bundles, "--batch", "1", "--target-latency", "0.0001", code=3)
    assert document["recommendation"]["chosen"] is None
    assert document["recommendation"]["nearest"] in (0, 1)
    shown = capsys.readouterr().out
    assert "no setting is shown to meet the target\nthe nearest is " in shown


def test_the_accuracy_is_measured_on_a_set_of_ones_own(
    bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, color in (("red", (0, 0, 200)), ("green", (0, 200, 0)), ("blue", (0, 0, 200))):
        (tmp_path / "set" / label).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "set" / label / "1.png"), np.full((40, 40, 3), color, np.uint8))
    arguments = ["--batch", "1", "--dataset", str(tmp_path / "set"), "--min-accuracy", "99"]
    document = bench(bundles, *arguments, code=3)
    for one in document["settings"]:
        assert (one["accuracy"]["source"], one["accuracy"]["images"]) == ("measured", 3)
        assert one["accuracy"]["top1_percent"]["value"] == pytest.approx(200 / 3)
        assert one["accuracy"]["agreement_percent"] == 100
        assert [check["standing"] for check in one["checks"]] == ["missed"]
    assert f"fp32, int8: measured on {tmp_path / 'set'}, with this backend" in capsys.readouterr().out


def test_where_nothing_can_be_measured_the_exit_code_is_1(bundles: Path) -> None:
    document = bench(bundles, "--batch", "64", code=1)
    assert all(one["rounds"] == [] for one in document["settings"])


@pytest.mark.parametrize(
    ("seconds", "said"), [(12.4, "12 s"), (89, "89 s"), (90, "2 minutes"), (5399, "90 minutes"), (5400, "1.5 hours")]
)
def test_durations_are_said_in_words(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_schema_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    """Where they differ, `derived_schema` of scenarios/matrix/format.py gives the text of matrix_schema.json."""
    assert main(["bench", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(matrix_schema()) == derived_schema()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "--precision", "fp32"], "--precision: got it with --layers, expected it for a matrix alone"),
        (["--scenario", "offline", "--rounds", "2"], "--rounds: got it with --scenario, expected it for a matrix"),
        (["--layers", "--batch", "1,2"], "--batch: got 2 numbers with --layers, expected one"),
        (["--layers", "--backend", "onnxruntime,tensorrt"], "--backend: got onnxruntime,tensorrt with --layers"),
        (["--batch", "1,2", "--fps", "30"], "--fps: got it for a matrix, expected --target-fps, or --scenario camera"),
        (["--batch", "1,2", "--report", "r.json"], "--report: got it for a matrix, expected --json"),
        (["--batch", "1,2", "--max-batch", "2"], "--max-batch: got it for a matrix, expected --batch"),
        (["--batch", "0"], "--batch: got 0, expected 1 to 1024"),
        (["--batch", "1", "--limit", "5"], "--limit: got no --dataset"),
        (["--batch", "1", "--images", "x", "--size", "64x64"], "--size: got it with --images"),
        (["--batch", "1", "--min-duration", "9", "--max-duration", "8"], "--max-duration: got 8 s, expected at least"),
        (["--precision", "fp16"], "--precision: got fp16; none of the bundles is fp16; make one with"),
        (["--schema"], "bench: got --schema together with "),
    ],
)
def test_wrong_usage(tiny_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["bench", str(tiny_bundle), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (["--batch", "1,1"], "several with commas between them, each once"),
        (["--batch", "1,x"], "several with commas between them, each once"),
        (["--batch", ""], "several with commas between them, each once"),
        (["--precision", "fp32,fp64"], "expected one of fp32, fp16, int8"),
        (["--precision", "fp32,fp32"], "expected one of fp32, fp16, int8"),
        (["--backend", "onnxruntime,onnxruntime"], "--backend"),
        (["--backend", "cuda"], "--backend"),
        (["--rounds", "1"], "expected a whole number from 2 to 100"),
        (["--target-percentile", "98"], "got '98', expected one of 50, 90, 95, 99"),
        (["--target-percentile", "99.5"], "got '99.5', expected one of 50, 90, 95, 99"),
        (["--target-latency", "0"], "expected a number of milliseconds above 0"),
        (["--target-fps", "native"], "got 'native', expected frames per second from 0.001"),
        (["--target-fps", "0"], "got '0', expected frames per second from 0.001"),
        (["--min-accuracy", "101"], "expected a number from 0 to 100"),
    ],
)
def test_wrong_values(tiny_bundle: Path, wrong: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", str(tiny_bundle), *wrong])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_matrix_needs_a_bundle_and_other_benches_no_more_than_one(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--batch", "1,2"]) == 2
    assert main(["bench", "--layers"]) == 2
    assert main(["bench", str(tiny_bundle), str(tiny_bundle), "--scenario", "offline"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("bench: got no BUNDLE, expected one or more") == 2
    assert "bench: got 2 bundles, expected one; several make a matrix" in errors


def test_what_cannot_be_written_or_read_is_told_before_measuring(
    bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = ["bench", str(bundles), "--batch", "1", *QUICK]
    assert main([*matrix, "--json", str(tmp_path / "no" / "m.json")]) == 1
    assert main([*matrix, "--json", str(bundles / "first" / "m.json")]) == 2
    assert main([*matrix, "--dataset", str(tmp_path / "no-set")]) == 1
    assert main([*matrix, "--images", str(tmp_path / "none")]) == 2
    shown, errors = capsys.readouterr()
    assert shown == ""
    assert errors.count("error: ") == 4
    assert "round 1" not in errors


def test_several_backends_are_told_apart_and_one_that_is_not_here_is_a_row(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "m.json"
    arguments = [*QUICK, "--backend", "onnxruntime,tensorrt-rtx", "--batch", "1", "--json", str(place)]
    assert main(["bench", str(tiny_bundle), *arguments]) == 0
    good, bad = json.loads(place.read_text())["settings"]
    assert (good["backend"], good["failure"], len(good["rounds"])) == ("onnxruntime", None, 2)
    assert (bad["backend"], bad["rounds"]) == ("tensorrt_rtx", [])
    assert bad["failure"]
    assert "fp32, tensorrt_rtx, batch 1: not measured: " in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_what_was_measured_and_no_process_survives(
    bundles: Path, tmp_path: Path, number: signal.Signals
) -> None:
    place = tmp_path / "m.json"
    command = [sys.executable, "-m", "googlenet_edge", "bench", str(bundles), "--batch", "1", *QUICK]
    command += ["--json", str(place), "--target-latency", "9000"]
    command[command.index("--rounds") + 1] = "100"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stderr is not None
        lines = []
        for line in parent.stderr:
            lines.append(line)
            if line.startswith("round 2 of 100"):
                break
        begun = children(parent.pid)
        parent.send_signal(number)
        shown, errors = parent.communicate(timeout=60)
    assert parent.returncode == 1, "".join(lines) + errors
    assert "Traceback" not in errors
    assert all(is_gone(child) for child in begun)
    document = json.loads(place.read_text())
    assert document["run"]["ended"] == "stopped"
    assert all(1 <= len(one["rounds"]) < 100 for one in document["settings"])
    assert "stopped before the end, so these are the figures so far" in shown
