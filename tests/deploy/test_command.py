"""``googlenet-edge deploy --precision``, as a user meets it: the table, exit codes, bad input, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.cli.main import main
from googlenet_edge.quantization.table_file import read_table

RUIN = 4000.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "160"}

Colors = Callable[[float], Path]
Arguments = Callable[..., list[str]]


@pytest.fixture
def arguments(sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Arguments:
    """Makes the arguments of the verb."""
    monkeypatch.setenv("COLUMNS", "160")

    def make(checkpoint: Path, output: Path, *more: object) -> list[str]:
        fixed = ("--normalization", "unit", "--labels", sets["labels.txt"], "--frames", sets["images"], "-o", output)
        return ["deploy", str(checkpoint), *map(str, (*fixed, *more))]

    return make


def test_the_table(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--precision", "int8", "--images", sets["images"], "--select", sets["selection"], "--eval", sets["test"])
    assert main(arguments(colors(RUIN), tmp_path / "b", *more, "--sensitivity")) == 0
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    interval = "91.24 to 100.00 %"
    assert any(re.match(rf"FP32 100.00 % {interval} 100.00 % 100.00 % equal \d", line) for line in lines)
    assert any(re.match(rf"FP16 100.00 % {interval} 100.00 % 100.00 % [\d.]+ [\d.]+$", line) for line in lines)
    assert any(re.match(rf"INT8 100.00 % {interval} 100.00 % 100.00 % [\d.]+ [\d.]+$", line) for line in lines)
    assert "INT8 less FP32: +0.00 points of top-1 (95 % interval, paired: -8.76 to +8.76)" in lines
    assert "40 images are too few to tell a difference of 0.1 points: the interval is 17.52 points wide" in lines
    assert "selection set: FP32 100.00 %, INT8 50.00 %, budget 0.1 points" in lines
    assert any(re.match(r"conv2\.conv conv2 [\d.]+ 50\.00 %", line) for line in lines)
    assert any(line.startswith("not in INT8: ") for line in lines)
    assert any(line.startswith("conv3.conv conv3") for line in lines)  # the sensitivity
    assert any(line.endswith("dB weights rounded by gptq") for line in lines)
    assert any(line.startswith("conv1.conv: ") and line.endswith(("in INT8", "in floating point")) for line in lines)
    assert "only 24 images" in printed


def test_fp16(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(colors(1.0), tmp_path / "b", "--precision", "fp16", "--eval", sets["test"])) == 0
    printed = capsys.readouterr().out
    assert "FP16 less FP32: +0.00 points" in printed
    assert "INT8" not in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]
    assert main(["eval", str(tmp_path / "b"), str(sets["test"])]) == 0
    assert "100.00 %" in capsys.readouterr().out


def test_falling_short_is_exit_code_1_with_the_table(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--precision", "int8", "--images", sets["images"], "--eval", sets["test"])
    assert main(arguments(colors(RUIN), tmp_path / "b", *more)) == 1
    told = capsys.readouterr()
    assert "INT8 less FP32: -50.00 points" in told.out
    (message,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
    for remedy in ("--images", "--select", "--keep", "--method", "--accuracy-budget", "--precision fp16"):
        assert remedy in message
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "b.calibration.json").exists()
    assert not (tmp_path / "b.quantization.json").exists()


def test_wrong_usage_is_exit_code_2(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, test = sets["images"], sets["test"]
    int8 = ("--precision", "int8", "--images", images)
    for more, message in (
        (("--precision", "int8"), "--images: got none, expected calibration images"),
        (("--precision", "int4"), "precision: got 'int4'"),
        (("--select", test), "--select: got it with precision fp32"),
        (("--no-bias-correction",), "--no-bias-correction: got it with precision fp32"),
        (("--accuracy-budget", "1"), "--accuracy-budget: got it with precision fp32"),
        (("--precision", "fp16", "--method", "max"), "--method: got it with precision fp16, expected none: it is for"),
        (("--precision", "fp16", "--count", "5"), "--count: got 5 without --images"),
        ((*int8, "--method", "median"), "--method: got 'median'"),
        ((*int8, "--weights", "none"), "--weights: got 'none'"),
        ((*int8, "--rounding", "up"), "--rounding: got 'up'"),
        ((*int8, "--equalization", "2"), "--equalization: got 2.0"),
        ((*int8, "--high-precision", "bf16"), "--high-precision: got 'bf16'"),
        ((*int8, "--accuracy-budget", "nan"), "--accuracy-budget: got nan"),
        ((*int8, "--accuracy-budget", "-1"), "--accuracy-budget: got -1.0"),
        ((*int8, "--select", test, "--eval", test), "--select and --eval: got 40 images in both"),
        (("--precision", "int8", "--images", test, "--eval", test), "--images and --eval: got 40 images in both"),
        ((*int8, "--keep", "conv9"), "--keep: got 'conv9'"),
    ):
        assert main(arguments(colors(1.0), tmp_path / "b", *more)) == 2, more
        assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_demos_scenes_are_kept_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sets: dict[str, Path]
) -> None:
    more = ("--precision", "int8", "--images", sets["images"], "--select", "demo:test?count=9", "--eval", "demo:test")
    assert main(["deploy", "demo", "-o", str(tmp_path / "b"), *map(str, more)]) == 2
    assert "the same scenes twice" in capsys.readouterr().err


def test_bad_images_are_found_before_the_work(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    shutil.copytree(sets["test"] / "dark", other / "purple")
    int8 = ("--precision", "int8", "--images")
    for more, message in (
        ((*int8, empty), "no images"),
        ((*int8, tmp_path / "nowhere"), "nowhere"),
        ((*int8, sets["images"], "--eval", other), "unknown label 'purple'"),
        ((*int8, sets["images"], "--select", other), "unknown label 'purple'"),
        ((*int8, sets["images"], "--count", "0"), "count: got 0"),
    ):
        assert main(arguments(colors(1.0), tmp_path / "b", *more)) == 1, more
        told = capsys.readouterr().err
        assert message in told
        assert "calibrating" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "other"]


def test_a_second_run(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = arguments(colors(1.0), tmp_path / "b", "--precision", "int8", "--images", sets["images"])
    assert main(line) == 0
    told = capsys.readouterr()
    assert "not judged" in told.out
    assert main(line) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0
    assert "reused, graph, images and settings are the same" in capsys.readouterr().err


def test_no_labelled_images_is_a_warning(
    colors: Colors, arguments: Arguments, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(arguments(colors(1.0), tmp_path / "b", "--precision", "fp16")) == 0
    assert "fp16 is not judged on labelled images" in caplog.text


def test_a_full_disk_leaves_no_half_of_anything(
    colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The disk is full when the bundle is written: the record beside it must not stay alone."""
    import errno

    from googlenet_edge.bundle import writer

    real = writer._write

    def full(path: Path, content: bytes) -> None:
        if path.parent.parent == tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(writer, "_write", full)
    assert main(arguments(colors(1.0), tmp_path / "b", "--precision", "int8", "--images", sets["images"])) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["b.calibration.json"]


def test_ctrl_c_while_calibrating(colors: Colors, arguments: Arguments, sets: dict[str, Path], tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    files = sorted(sets["images"].rglob("*.png"))
    for index in range(1500):
        (many / f"{index:04d}.png").hardlink_to(files[index % len(files)])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    line = [
        sys.executable, "-m", "googlenet_edge",
        *arguments(colors(1.0), tmp_path / "b", "--precision", "int8", "--images", many, "--count", 1500,
                   "--method", "max", "--no-bias-correction"),
    ]  # fmt: skip
    environment = {**ENVIRONMENT, "TMPDIR": str(scratch)}
    unfinished = tmp_path / "b.calibration.json.unfinished"
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
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
    assert not (tmp_path / "b").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"many", "scratch", "b.calibration.json.unfinished"}
    assert not list(scratch.glob("*googlenet*"))
    again = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr
    assert Bundle.open(tmp_path / "b").manifest.precision == "int8"
    assert read_table(tmp_path / "b.calibration.json").image_count == 1500
    assert not unfinished.exists()
