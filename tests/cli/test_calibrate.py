from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.cli import calibrate as calibrate_verb
from googlenet_edge.errors import DatasetError, OutputError, UsageError
from googlenet_edge.quantization.table_file import read_table

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
# The verb as main() runs it, without needing every other verb's module.
PROGRAM = """
import argparse, sys
from googlenet_edge.cli import calibrate, main
main.VERBS = {"calibrate": "calibrate"}
code = main.main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "calibrate", *map(str, arguments)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight small images."""
    path = tmp_path / "images"
    path.mkdir()
    random = np.random.default_rng(0)
    for index in range(8):
        cv2.imwrite(str(path / f"{index}.png"), random.integers(0, 256, (16, 16, 3)).astype(np.uint8))
    return path


@pytest.fixture
def run() -> Callable[..., int]:
    """Runs the verb in this process."""

    def run_verb(*arguments: object) -> int:
        parser = argparse.ArgumentParser()
        calibrate_verb.configure(parser)
        return calibrate_verb.run(parser.parse_args([str(argument) for argument in arguments]))

    return run_verb


def test_it_writes_table_and_report(
    run: Callable[..., int], tiny_bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_bundle, "--images", folder, "--threads", 1) == 0
    table = read_table(tiny_bundle.parent / "tiny_bundle.calibration.json")
    assert table.image_count == 8
    assert {"nchw", "logits"} <= set(table.names)
    page = (tiny_bundle.parent / "tiny_bundle.calibration.html").read_text()
    assert "Calibration of tiny" in page
    shown = capsys.readouterr().out
    assert "calibrated: there is no earlier table" in shown
    assert "warning: only 8 images" in shown
    assert "nchw" in shown
    assert run(tiny_bundle, "--images", folder) == 0
    assert "reused: graph, images and settings are the same" in capsys.readouterr().out
    assert run(tiny_bundle, "--images", folder, "--count", 4) == 0
    assert f"got images sha256 {table.images_sha256}" in capsys.readouterr().out.replace("\n", " ")
    assert run(tiny_bundle, "--images", folder, "--count", 4, "--fresh") == 0
    assert "a fresh one was asked for" in capsys.readouterr().out


def test_wrong_usage(run: Callable[..., int], tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
    for arguments in (("--count", 0), ("--threads", 0), ("--every", 0), ("--out", "a.html")):
        with pytest.raises(UsageError):
            run(tiny_bundle, "--images", folder, *arguments)
    for option in ("--out", "--report"):
        with pytest.raises(UsageError, match="inside the bundle"):
            run(tiny_bundle, "--images", folder, option, tiny_bundle / "table.json")
        with pytest.raises(OutputError, match="cannot be written: No such file"):
            run(tiny_bundle, "--images", folder, option, tmp_path / "no" / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no images"):
        run(tiny_bundle, "--images", tmp_path / "empty")
    assert not (tiny_bundle.parent / "tiny_bundle.calibration.json").exists()


def test_only_fp32_bundles(
    run: Callable[..., int],
    tmp_path: Path,
    folder: Path,
    tiny_facts: BundleFacts,
    tiny_golden: GoldenFrames,
    tiny_graph_path: Path,
) -> None:
    facts = replace(tiny_facts, precision="fp16")
    write_bundle(tmp_path / "half", facts, graph=tiny_graph_path.read_bytes(), golden=tiny_golden, tolerance=1e-3)
    with pytest.raises(UsageError, match="got precision fp16, expected fp32"):
        run(tmp_path / "half", "--images", folder)


def test_ctrl_c_ends_cleanly_and_the_next_run_goes_on(tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for index in range(400):
        (many / f"{index:03d}.png").hardlink_to(folder / f"{index % 8}.png")
    out, unfinished = tmp_path / "table.json", tmp_path / "table.json.unfinished"
    arguments = (tiny_bundle, "--images", many, "--out", out, "--threads", 1)
    process = subprocess.Popen(command(*arguments), env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not unfinished.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"interrupted" in errors
    assert b"Traceback" not in errors
    assert not out.exists()
    left = {path.name for path in tmp_path.iterdir()} - {"images", "many", "tiny_bundle"}
    assert left == {"table.json.unfinished"}
    again = subprocess.run([*command(*arguments)], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert not unfinished.exists()
    straight = tmp_path / "straight.json"
    done = subprocess.run(
        command(tiny_bundle, "--images", many, "--out", straight, "--threads", 2),
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert read_table(out).tensors == read_table(straight).tensors


def test_messages_not_tracebacks(tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.json").write_text("dear diary")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    (broken / "model.onnx").write_bytes(b"")
    for arguments, message in (
        ((tiny_bundle, "--images", folder, "--out", tmp_path / "diary.json"), "it is not overwritten"),
        ((tiny_bundle, "--images", nothing), "no images among its 0 entries"),
        ((broken, "--images", folder), "cut short or replaced"),
        ((nothing, "--images", folder), "expected bundle.json"),
    ):
        done = subprocess.run(command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert (tmp_path / "diary.json").read_text() == "dear diary"


def test_the_table_is_plain_json(run: Callable[..., int], tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
    assert run(tiny_bundle, "--images", folder, "--out", tmp_path / "t.json", "--report", tmp_path / "r.html") == 0
    assert json.loads((tmp_path / "t.json").read_text())["schema_version"] == 1
    assert (tmp_path / "r.html").exists()
