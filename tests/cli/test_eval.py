from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.cli.main import main

BGR = {"red": (0, 0, 200), "green": (0, 200, 0), "blue": (200, 0, 0)}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of each of three colours; one green in truth is red, one blue is damaged."""
    root = tmp_path / "images"
    for name, color in BGR.items():
        (root / name).mkdir(parents=True)
        for number in range(2):
            assert cv2.imwrite(str(root / name / f"{number}.png"), np.full((230, 300, 3), color, np.uint8))
    assert cv2.imwrite(str(root / "green" / "1.png"), np.full((230, 300, 3), BGR["red"], np.uint8))
    (root / "blue" / "1.png").write_bytes(b"damaged")
    return root


def test_tables(tiny_bundle: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tiny_bundle), str(images), "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert any(line.startswith("top-1 80.00 % 37.55 to 96.38 % 4 5") for line in lines)
    assert any(line.startswith("green 50.00 %") for line in lines)
    assert any(line.startswith("green red 1 50.0 %") for line in lines)
    assert "left out, because they could not be used: 1" in lines
    assert any(line.startswith("blue/1.png: not an image") for line in lines)
    assert "classes without an image: 2 of 5" in lines
    assert "top-5" not in printed  # the tiny classifier has five classes


def test_json_has_every_image(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    assert main(["eval", str(tiny_bundle), str(images), "--json", str(target), "--threads", "1", "--batch", "2"]) == 0
    document = json.loads(target.read_text(encoding="utf-8"))
    assert document["bundle"] == str(tiny_bundle)
    assert document["top1"]["correct"] == 4
    assert [entry["name"] for entry in document["images"]][:2] == ["blue/0.png", "green/0.png"]
    assert document["skipped"][0]["name"] == "blue/1.png"


def test_what_computed_is_printed_and_in_the_json(
    tiny_bundle: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "figures.json"
    command = ["eval", str(tiny_bundle), str(images), "--json", str(target), "--threads", "1"]
    assert main([*command, "--backend", "onnxruntime"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("ONNX Runtime ")
    assert first.endswith(" on the CPU: as asked for")
    described = json.loads(target.read_text(encoding="utf-8"))["classifier"]
    assert (described["backend"], described["model"], described["threads"]) == ("onnxruntime", "tiny", "1")


def test_tensorrt_without_a_gpu_is_one_message(
    tiny_bundle: Path, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # also where there is one
    assert main(["eval", str(tiny_bundle), str(images), "--backend", "tensorrt"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1
    assert not (tiny_bundle / "engines").exists()


def test_top_and_limit(tiny_bundle: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tiny_bundle), str(images), "--top", "0", "--limit", "3", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "3 of 6 images" in printed
    assert "worst classes" not in printed
    assert "most confused" not in printed


def test_names_are_printed_as_they_are(tiny_bundle: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "red" / "[bold]\x1b[31m.png").write_bytes(b"")
    (images / "red" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert main(["eval", str(tiny_bundle), str(images), "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert "[bold]\ufffd[31m.png: the file is empty" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--batch", "0"], 2, "--batch: got 0, expected at least 1"),
        (["--limit", "-1"], 2, "--limit: got -1"),
        (["--top", "-1"], 2, "--top: got -1"),
        (["--json", "/nowhere/figures.json"], 1, "JSON file '/nowhere/figures.json' cannot be written"),
    ],
)
def test_bad_arguments(
    tiny_bundle: Path, images: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert main(["eval", str(tiny_bundle), str(images), *arguments]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_nothing_readable_is_exit_code_1(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set" / "red").mkdir(parents=True)
    (tmp_path / "set" / "red" / "a.png").write_bytes(b"")
    target = tmp_path / "figures.json"
    assert main(["eval", str(tiny_bundle), str(tmp_path / "set"), "--json", str(target), "--threads", "1"]) == 1
    assert "none of its 1 images could be used" in capsys.readouterr().err
    assert not target.exists()


def test_the_demo_does_not_fit_another_bundle(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(tiny_bundle), "demo:test", "--threads", "1"]) == 1
    assert "the bundle has no class" in capsys.readouterr().err


def test_ctrl_c_ends_with_one_line(tiny_bundle: Path, images: Path, tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    os.mkfifo(images / "first.png")  # opened by the command when it begins to read images
    rows = "path,label\nfirst.png,red\n" + "red/0.png,red\n" * 50_000  # far more than are done before the signal
    (images / "set.csv").write_text(rows, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "googlenet_edge",
        "eval",
        str(tiny_bundle),
        str(images / "set.csv"),
        "--batch",
        "1",
    ]
    with subprocess.Popen(
        [*command, "--threads", "1", "--json", str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _wait_until_read(images / "first.png", process)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 1
    assert output == ""
    assert errors.strip().split("\n")[-1] == "interrupted"
    assert "Traceback" not in errors
    assert [entry.name for entry in tmp_path.iterdir() if "figures" in entry.name] == []


def _wait_until_read(fifo: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the process has opened the file and closed it again: it is at the images after this one."""
    writer = None
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if writer is None:
                writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)  # ENXIO while nobody reads
            os.write(writer, b"x")  # EPIPE when nobody reads any more
        except BrokenPipeError:
            os.close(writer)  # type: ignore[arg-type]
            return
        except OSError:
            pass
        time.sleep(0.02)
    pytest.fail("the command never read the images")
