from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from googlenet_edge.bundle import BundleFacts, GoldenFrames
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.cli import calibrate as calibrate_verb
from googlenet_edge.errors import DatasetError, OutputError, UsageError
from googlenet_edge.quantization.cache import parse_cache
from googlenet_edge.quantization.table import SCHEMA_VERSION
from googlenet_edge.quantization.table_file import read_table, write_table
from googlenet_edge.quantization.threshold import METHODS

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "120"}
CREATED = re.compile(rb'"created": "[^"]*"')
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
    for option in ("--out", "--report", "--cache"):
        with pytest.raises(UsageError, match=f"{option}: got .*inside the bundle"):
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
    # The same file to the last byte, but for the time at which it was made.
    interrupted, uninterrupted = (CREATED.sub(b"", path.read_bytes()) for path in (out, straight))
    assert interrupted == uninterrupted != out.read_bytes()


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
    assert json.loads((tmp_path / "t.json").read_text())["schema_version"] == SCHEMA_VERSION
    assert (tmp_path / "r.html").exists()


def test_a_video_and_the_demo_scene(run: Callable[..., int], tiny_bundle: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 64))
    for index in range(12):
        writer.write(np.full((64, 64, 3), 20 * index, np.uint8))
    writer.release()
    out = tmp_path / "table.json"
    for source, description in ((video, str(video)), ("demo:?size=64x64", "demo: moving camera, seed 0, 64x64")):
        assert run(tiny_bundle, "--images", source, "--count", 3, "--out", out) == 0
        table = read_table(out)
        assert (table.image_count, table.images.source) == (3, description)


class TestCache:
    """The calibration cache of TensorRT up to 10."""

    def test_it_has_every_tensor(
        self,
        run: Callable[..., int],
        tiny_bundle: Path,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = tmp_path / "tiny.cache"
        assert run(tiny_bundle, "--images", folder, "--cache", path) == 0
        table = read_table(tmp_path / "tiny_bundle.calibration.json")
        assert path.read_bytes().startswith(b"TRT-100300-EntropyCalibration2\nimage: 4000810")
        cache = parse_cache(path.read_bytes())
        assert list(cache.scales) == [
            "image", "float", "nchw", "smooth", "mean", "color", "logits", "probabilities",
        ]  # fmt: skip
        for tensor in table.names:
            assert cache.scales[tensor] == np.float32(table.threshold(tensor, "entropy") / 127), tensor
        assert f"cache:  {path} (8 tensors, entropy, TensorRT 100300)" in capsys.readouterr().out

    def test_method_and_version(self, run: Callable[..., int], tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "tiny.cache"
        for version, method in (*((8600, method) for method in METHODS), (101303, "max")):
            # The second of them and all later ones replace a cache, and reuse the table.
            arguments = ("--cache", path, "--cache-version", version, "--cache-method", method)
            assert run(tiny_bundle, "--images", folder, *arguments) == 0
            cache = parse_cache(path.read_bytes())
            table = read_table(tmp_path / "tiny_bundle.calibration.json")
            assert cache.version == version
            assert cache.scales["nchw"] == np.float32(table.threshold("nchw", method) / 127)
        assert {entry.name for entry in tmp_path.iterdir()} == {
            "images", "tiny_bundle", "tiny_bundle.calibration.json", "tiny_bundle.calibration.html", "tiny.cache",
        }  # fmt: skip

    def test_a_table_that_lacks_tensors_for_it_is_made_anew(
        self,
        run: Callable[..., int],
        tiny_bundle: Path,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """As is one that was made for INT8 alone, of the tensors that a Q/DQ pair needs."""
        out, path = tmp_path / "table.json", tmp_path / "tiny.cache"
        arguments = (tiny_bundle, "--images", folder, "--out", out)
        assert run(*arguments) == 0
        whole = read_table(out)
        fewer = tuple(entry for entry in whole.tensors if entry.tensor != "logits")
        write_table(msgspec.structs.replace(whole, tensors=fewer), out)
        capsys.readouterr()
        assert run(*arguments, "--cache", path) == 0
        assert "calibrated: calibration table: 'logits' missing" in capsys.readouterr().out
        assert read_table(out).tensors == whole.tensors
        assert parse_cache(path.read_bytes()).scales["logits"] > 0

    def test_a_table_of_another_model_is_made_anew(
        self,
        run: Callable[..., int],
        tiny_bundle: Path,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        out, path = tmp_path / "table.json", tmp_path / "tiny.cache"
        arguments = (tiny_bundle, "--images", folder, "--out", out)
        assert run(*arguments) == 0
        whole = read_table(out)
        write_table(msgspec.structs.replace(whole, model_sha256="0" * 64), out)
        capsys.readouterr()
        assert run(*arguments, "--cache", path) == 0
        assert "it was made for another graph: got graph sha256 0000" in capsys.readouterr().out
        assert read_table(out).model_sha256 == whole.model_sha256

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            (("--cache", "c", "--cache-version", 10), "got TensorRT 10, expected.*10.3.0 is 100300"),
            (("--cache", "c", "--cache-version", 110000), "TensorRT 11 reads no cache"),
            (("--cache", "c", "--cache-version", -8600), "got TensorRT -8600"),
            (("--cache", "c", "--cache-version", 0), "got TensorRT 0"),
            (("--cache", "c", "--cache-method", "median"), "got 'median', expected one of max, "),
            (("--cache-version", 8600), "--cache-version: got no --cache"),
            (("--cache-method", "mse"), "--cache-method: got no --cache"),
            (("--out", "t", "--cache", "t"), "--cache: got t, which is also the table"),
            (("--out", "t", "--cache", "./x/../t"), "which is also the table"),
            (("--report", "r", "--cache", "r"), "which is also the report"),
            (("--cache", "link"), "which is also the table"),
            (("--out", "t", "--cache", "t.unfinished"), "which is also the state of an unfinished run"),
        ],
    )
    def test_wrong_usage(
        self,
        run: Callable[..., int],
        tiny_bundle: Path,
        folder: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[object, ...],
        match: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "link").symlink_to("tiny_bundle.calibration.json")
        before = set(tmp_path.iterdir())
        with pytest.raises(UsageError, match=match):
            run(tiny_bundle, "--images", folder, *arguments)
        assert set(tmp_path.iterdir()) == before  # found out before anything was done

    def test_what_is_no_cache_is_not_overwritten(
        self, run: Callable[..., int], tiny_bundle: Path, folder: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "diary").write_text("dear diary")
        for place, match in (("diary", "no calibration cache"), (".", "a folder"), ("no/cache", "No such file")):
            with pytest.raises(OutputError, match=match):
                run(tiny_bundle, "--images", folder, "--cache", tmp_path / place)
        assert (tmp_path / "diary").read_text() == "dear diary"
        assert not (tmp_path / "tiny_bundle.calibration.json").exists()

    def test_as_a_command(self, tiny_bundle: Path, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "tiny.cache"
        arguments = (tiny_bundle, "--images", folder, "--cache", path)
        for more, code, message in ((["--cache-version", "10.3"], 2, "invalid int value: '10.3'"), ([], 0, "")):
            done = subprocess.run(
                command(*arguments, *more), env=ENVIRONMENT, capture_output=True, text=True, check=False
            )
            assert done.returncode == code, done.stderr
            assert message in done.stderr
            assert path.exists() == (code == 0)

    def test_the_help_says_what_it_is_for(self) -> None:
        done = subprocess.run(command("--help"), env=ENVIRONMENT, capture_output=True, text=True, check=True)
        text = " ".join(done.stdout.split())
        for words in ("--cache FILE", "--cache-version N", "--cache-method METHOD", "100300 is 10.3.0", "DLA"):
            assert words in text


@pytest.mark.parametrize("fails", [False, True])
def test_log_levels_are_as_they_were(
    run: Callable[..., int],
    tiny_bundle: Path,
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fails: bool,
) -> None:
    opencv_level = cv2.utils.logging.getLogLevel()
    name = "googlenet_edge.quantization.images"
    caplog.set_level(logging.INFO, logger=name)
    try:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
        if fails:
            with pytest.raises(DatasetError):
                run(tiny_bundle, "--images", tmp_path / "nowhere")
        else:
            assert run(tiny_bundle, "--images", folder) == 0
        assert logging.getLogger(name).level == logging.INFO
        assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_WARNING
    finally:
        cv2.utils.logging.setLogLevel(opencv_level)
    assert name not in {record.name for record in caplog.records}  # that it is too few images is printed, not logged
