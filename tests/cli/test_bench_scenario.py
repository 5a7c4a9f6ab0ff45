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

from googlenet_edge.cli.main import main
from googlenet_edge.latency.comparison.read import read_run

QUICK = ["--backend", "onnxruntime", "--threads", "1", "--size", "64x48", "--frame-count", "3"]


def bench(bundle: Path, report: Path, *arguments: str) -> dict[str, Any]:
    assert main(["bench", str(bundle), *arguments, "--report", str(report), "--samples"]) == 0
    document: dict[str, Any] = json.loads(report.read_text())
    return document


@pytest.mark.parametrize(("name", "queries", "frames"), [("single-stream", 64, 1), ("multi-stream", 30, 8)])
def test_queries(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, queries: int, frames: int
) -> None:
    report = tmp_path / "report.json"
    document = bench(
        tiny_bundle, report, "--scenario", name, *QUICK, "--min-duration", "0.1", "--min-queries", str(queries)
    )
    shown, errors = capsys.readouterr()
    assert errors == ""
    assert document["scenario"]["name"] == name
    assert document["scenario"]["queries"] >= queries
    assert document["scenario"]["frames"] == frames * document["scenario"]["queries"]
    assert document["scenario"]["duration_s"] >= 0.1
    assert document["scenario"]["frame_set"]["description"] == "3 frames of the demo scene, 64x48, seed 0"
    assert document["classifier"]["threads"] == "1"
    assert document["source"]["description"] in shown
    assert f"{name}: p" in shown
    assert "ONNX Runtime" in shown
    assert read_run(report).lacking is None


def test_loadgen_drives_the_same_queries(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mlperf_loadgen", reason="needs the package mlcommons-loadgen")
    logs = tmp_path / "logs"
    arguments = ["--scenario", "single-stream", *QUICK, "--min-duration", "0.3", "--driver", "loadgen"]
    document = bench(tiny_bundle, tmp_path / "report.json", *arguments, "--logs", str(logs))
    theirs = document["scenario"]["loadgen"]
    assert theirs["logs"] == str(logs)
    assert (logs / "mlperf_log_summary.txt").is_file()
    assert theirs["summary"]["queries"] == document["scenario"]["queries"]
    assert theirs["summary"]["estimate_ms"] >= document["scenario"]["estimate"]["latency_ms"]
    assert "says of the same queries: p90 " in capsys.readouterr().out


def test_a_camera_with_its_search(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from googlenet_edge.scenarios import sustained

    quick = sustained.SearchConfig(trial_ns=200_000_000, confirm_ns=200_000_000, highest_fps=20.0, least_frames=2)
    monkeypatch.setattr(sustained, "SearchConfig", lambda: quick)
    monkeypatch.setattr(sustained, "LONGEST_CONFIRMATION_NS", 300_000_000)
    arguments = ["--scenario", "camera", *QUICK, "--fps", "50", "--min-duration", "0.5", "--deadline", "900"]
    document = bench(tiny_bundle, tmp_path / "report.json", *arguments)
    scenario = document["scenario"]
    assert (scenario["fps"], scenario["deadline_ms"], scenario["offered"]) == (50, 900, 25)
    assert scenario["results"] + scenario["dropped"] == 25
    assert document["warmup"]["frames"] > 0
    assert scenario["sustained"]["trials"][0]["deadline_ms"] == 900
    shown = capsys.readouterr().out
    assert "camera at 50 frames/s" in shown
    assert "highest sustained rate: " in shown


def test_a_camera_without_its_search(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ["--scenario", "camera", *QUICK, "--min-duration", "0.2", "--no-search"]
    document = bench(tiny_bundle, tmp_path / "report.json", *arguments)
    assert (document["scenario"]["offered"], document["scenario"]["sustained"]) == (6, None)


def test_offline(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scenario", "offline", *QUICK, "--min-duration", "0.05", "--max-batch", "3"]
    document = bench(tiny_bundle, tmp_path / "report.json", *arguments)
    sizes = document["scenario"]["sizes"]
    assert [one["batch"] for one in sizes] == [1, 2, 3]
    best = max(sizes, key=lambda one: one["frames_per_second"])
    assert document["scenario"]["best_batch"] == best["batch"]
    assert (
        f"offline: {best['frames_per_second']:.1f} frames/s with {best['batch']} at a time" in capsys.readouterr().out
    )


def test_images_of_ones_own_and_prepared_crops(tiny_bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 50, 3), number, np.uint8))
    arguments = ["--scenario", "single-stream", "--backend", "onnxruntime", "--images", str(tmp_path), "--seed", "4"]
    arguments += ["--frame-count", "2", "--no-include-preprocess", "--min-duration", "0.01"]
    document = bench(tiny_bundle, tmp_path / "report.json", *arguments)
    scenario = document["scenario"]
    assert scenario["frame_set"]["description"] == f"2 of 3 images of {tmp_path}, 50x40, drawn with seed 4"
    assert (scenario["include_preprocess"], scenario["seed"]) == (False, 4)
    assert document["latency"]["stages"]["preprocess"]["max_ms"] == 0
    assert "neither crop and resize" in document["definitions"]["capture_to_emitted"]
    assert document["definitions"]["preprocess"].startswith("nothing: ")
    assert document["definitions"]["emit"].startswith("nothing: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "offline", "--layers"], "bench: got --scenario and --layers, expected one of the two"),
        (["--layers", "--fps", "5"], "--fps: got it without --scenario, expected it with --scenario camera alone"),
        (["--layers", "--seed", "0"], "--seed: got it without --scenario, expected it with --scenario alone"),
        (
            ["--scenario", "offline", "--search"],
            "--search: got it with --scenario offline, expected it with --scenario ",
        ),
        (["--scenario", "offline", "--no-search"], "--no-search: got it with --scenario offline, expected it with"),
        (["--scenario", "camera", "--min-queries", "9"], "--min-queries: got it with --scenario camera"),
        (
            ["--scenario", "camera", "--top", "3"],
            "--top: got it with --scenario camera, expected it with --layers alone",
        ),
        (["--scenario", "camera", "--json", "x"], "--json: got it with --scenario camera, expected it with --layers"),
        (["--scenario", "offline", "--driver", "own"], "--driver: got it with --scenario offline"),
        (["--scenario", "single-stream", "--driver", "loadgen"], "--logs: expected it with --driver loadgen"),
        (["--scenario", "single-stream", "--logs", "x"], "--logs: expected it with --driver loadgen, and only there"),
        (["--scenario", "camera", "--samples"], "--samples: got no --report, expected it"),
        (["--scenario", "camera", "--images", "x", "--size", "64x64"], "--size: got it with --images"),
        (
            ["--scenario", "single-stream", "--min-duration", "9", "--max-duration", "8"],
            "--max-duration: got 8 s, expected at least the 9 s of --min-duration",
        ),
    ],
)
def test_wrong_usage(tiny_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["bench", str(tiny_bundle), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--fps", "native"], ["--fps", "0"], ["--min-duration", "-1"], ["--scenario", "x"]])
def test_wrong_values(tiny_bundle: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", str(tiny_bundle), "--scenario", "camera", *wrong])
    assert caught.value.code == 2


def test_what_cannot_be_written_or_read_is_told_before_measuring(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = ["bench", str(tiny_bundle), "--scenario", "single-stream", *QUICK]
    assert main([*scenario, "--report", str(tmp_path / "no" / "r.json")]) == 1
    assert main([*scenario, "--report", str(tiny_bundle / "r.json")]) == 2
    assert main(["bench", str(tiny_bundle), "--scenario", "offline", "--images", str(tmp_path / "none")]) == 1
    shown, errors = capsys.readouterr()
    assert shown == ""
    assert errors.count("error: ") == 3


def test_ctrl_c_ends_with_what_was_measured_and_exit_code_1(tiny_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "googlenet_edge", "-v", "bench", str(tiny_bundle), "--scenario", "single-stream"]
    command += [*QUICK, "--min-duration", "600", "--report", str(report)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stderr is not None
        lines = []
        for line in child.stderr:
            lines.append(line)
            if "measuring: at least 600 s" in line:
                break
        child.send_signal(signal.SIGINT)
        shown, errors = child.communicate(timeout=60)
    assert child.returncode == 1, "".join(lines) + errors
    assert "ending with what was measured so far" in errors
    document = json.loads(report.read_text())
    assert (document["run"]["ended"], document["scenario"]["minimums_met"]) == ("stopped", False)
    assert "stopped" in shown
    assert "Traceback" not in errors
