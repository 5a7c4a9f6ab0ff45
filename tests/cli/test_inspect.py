"""``googlenet-edge inspect``, from arguments to what it prints."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import pytest
import torch

from googlenet_edge.cli import inspect
from googlenet_edge.errors import CheckpointError, InputError, UsageError
from googlenet_edge.model.checkpoint import build_network, save_checkpoint
from googlenet_edge.model.normalization import NORMALIZATIONS
from googlenet_edge.model.table import KERAS_FORM


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    inspect.configure(parser)
    return inspect.run(parser.parse_args(argv))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_checkpoint(
        build_network(KERAS_FORM, 5),
        path,
        form=KERAS_FORM,
        labels=["stop", "give way", "[bold]", "d", "e"],
        normalization=NORMALIZATIONS["unit"],
        metadata={"note": "hello\x1b[2J"},
    )
    return path


def test_a_form_prints_table_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("torchvision") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "conv1 conv 7x7/2 224x224x3 112x112x64 9,536 118.01" in lines
    assert "inception3a inception 3x3, 3x3 28x28x192 64 96 128 16 32 32 28x28x256 155,872 121.63" in lines
    assert "inception5b inception 3x3, 3x3 7x7x832 384 192 384 48 128 128 7x7x1024 1,347,040 65.88" in lines
    assert "total 6,624,904 1,498.38" in lines
    assert "torchvision (this one) 6,624,904 100.0% 1.50 100.0%" in lines
    assert "paper 6,998,552 105.6% 1.58 105.6%" in lines


def test_a_checkpoint_is_described(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(checkpoint), "--input-px", "64", "--classes", "5") == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    for pattern in (
        r"form: +keras-inception",
        r"classes: +5",
        r"labels: +stop, give way, \[bold\], d, \.\.\.",
        r"normalization: +mean 0, 0, 0; std 1, 1, 1; RGB \(from the file\)",
        r"auxiliary heads: +none in the file",
        r"stored as: +float16, float32",
        r"sha256: +[0-9a-f]{64}\n",
        r"metadata: +note='hello\\x1b\[2J'",
        r"keras-inception, 5 classes, at 64 x 64",
        r"keras-inception \(this one\)",
    ):
        assert re.search(pattern, printed), pattern


def test_an_assumed_normalization_is_pointed_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build_network(KERAS_FORM, 5).state_dict(), tmp_path / "weights.pth")
    run(str(tmp_path / "weights.pth"))
    assert "assumed, as the file does not say" in capsys.readouterr().out


def test_json(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(checkpoint), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["checkpoint"]["labels"][0] == "stop"
    assert report["checkpoint"]["normalization"]["source"] == "file"
    assert sum(row["macs"] for row in report["rows"]) == report["macs"]
    assert report["forms"][0]["form"] == "torchvision"


@pytest.mark.parametrize(
    ("argv", "error", "message"),
    [
        (("torchvison",), UsageError, "expected a checkpoint file that exists or one of the forms torchvision, paper"),
        (("none.pth",), CheckpointError, "No such file"),
        (("paper", "--form", "torchvision"), UsageError, "--form: got 'torchvision' for the form 'paper'"),
        (("paper", "--classes", "0"), UsageError, "--classes: got 0"),
        (("paper", "--input-px", "5"), InputError, "got 5 pixels, expected 32 to 4096"),
    ],
)
def test_wrong_arguments(argv: tuple[str, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(*argv)


def test_the_narrow_table_is_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    run("paper")
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "…" not in printed
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert re.search(r"inception3a +64 +96 +128 +16 +32 +32 +28x28x256 +163,696 +128.05", printed)
