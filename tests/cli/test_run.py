from __future__ import annotations

import argparse
import csv
import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.cli import run as run_verb
from googlenet_edge.errors import DeviceError, MissingPackageError, OutputError, SourceError, UsageError

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
COMMAND: list[str | Path] = [sys.executable, "-m", "googlenet_edge", "run"]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """40 red frames."""
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for _ in range(40):
        writer.write(np.full((120, 160, 3), (0, 0, 200), np.uint8))
    writer.release()
    return path


@pytest.fixture
def run() -> Callable[..., int]:
    """Return a function that parses arguments and runs the verb in this process."""

    def call(*arguments: object) -> int:
        parser = argparse.ArgumentParser()
        run_verb.configure(parser)
        return run_verb.run(parser.parse_args([str(argument) for argument in arguments]))

    return call


def test_a_video_ends_with_all_its_outputs(
    run: Callable[..., int], tiny_bundle: Path, video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    code = run(
        tiny_bundle, video, "--warmup", 5, "--threads", 1, "--top-k", 2, "--jsonl", out / "r.jsonl",
        "--video", out / "a.mp4", "--report", out / "report.json", "--samples",
    )  # fmt: skip
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.mp4", "r.jsonl", "report-samples.csv", "report.json"]

    printed = capfd.readouterr().out
    assert printed.startswith("ONNX Runtime ")
    assert "end of stream after 40 frames" in printed
    assert "35 frames measured" in printed
    assert "capture to result" in printed
    assert "red 99." in printed

    lines = [json.loads(line) for line in (out / "r.jsonl").read_text().splitlines()]
    assert [line["sequence"] for line in lines] == list(range(40))
    assert all(len(line["top"]) == 2 for line in lines)

    report = json.loads((out / "report.json").read_text())
    assert (report["frames"]["measured"], report["frames"]["warmup"], report["run"]["frames"]) == (35, 5, 40)
    assert (report["classifier"]["model"], report["classifier"]["precision"]) == ("tiny", "fp32")
    assert report["classifier"]["backend"] == "onnxruntime"
    assert report["source"]["description"].endswith("red.avi")
    assert "not live" in report["definitions"]["captured"]

    with (out / "report-samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    medians = sorted(int(row["inferred_ns"]) - int(row["captured_ns"]) for row in rows)
    assert report["latency"]["stages"]["capture_to_result"]["p50_ms"] == pytest.approx(medians[17] / 1e6)
    assert 0 < report["latency"]["stages"]["postprocess"]["p50_ms"] < report["latency"]["stages"]["emit"]["max_ms"]

    capture = cv2.VideoCapture(str(out / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 40
    capture.release()


def test_results_on_standard_output_are_alone_there(
    run: Callable[..., int], tiny_bundle: Path, video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_bundle, video, "--threads", 1, "--frames", 15, "--jsonl", "-") == 0
    captured = capfd.readouterr()
    assert [json.loads(line)["label"] for line in captured.out.splitlines()] == ["red"] * 15
    assert captured.err.startswith("ONNX Runtime ")
    assert "latency in ms" in captured.err
    assert "\npostprocess = checking the probabilities" in captured.err
    assert "frame limit after 15 frames" in captured.err


def test_events_say_when_a_label_appears_and_leaves(
    run: Callable[..., int], tiny_bundle: Path, video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_bundle, video, "--threads", 1, "--appear-ms", 0, "--events", "-") == 0
    captured = capfd.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert [(event["event"], event["reason"], event["label"]) for event in events] == [
        ("appeared", None, "red"),
        ("left", "end", "red"),
    ]
    assert (events[1]["first_sequence"], events[1]["last_sequence"]) == (0, 39)
    assert "end of stream after 40 frames" in captured.err


def test_tensorrt_without_a_gpu_is_an_error_before_a_camera_is_opened_but_after_files_are(
    run: Callable[..., int], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # also where there is one
    with pytest.raises((DeviceError, MissingPackageError)):
        run(tiny_bundle, "rtsp://127.0.0.1:1/nobody", "--backend", "tensorrt-rtx", "--device", 1)
    with pytest.raises(SourceError, match=r"missing\.mp4"):
        run(tiny_bundle, "missing.mp4", "--backend", "tensorrt-rtx", "--device", 1)


@pytest.mark.parametrize(
    "arguments", [("--backend", "cuda"), ("--device", -1), ("--max-batch", 0), ("--max-batch", 2000)]
)
def test_wrong_words_about_the_backend_are_wrong_usage(
    run: Callable[..., int], tiny_bundle: Path, arguments: tuple[object, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(tiny_bundle, "demo:", *arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[0]}: " in capfd.readouterr().err


def test_quiet_prints_nothing(
    run: Callable[..., int], tiny_bundle: Path, video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_bundle, video, "--threads", 1, "--quiet", "--report", tmp_path / "r.json") == 0
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "r.json").exists()


def test_without_report_nothing_is_written(
    run: Callable[..., int], tiny_bundle: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run(tiny_bundle, video, "--threads", 1, "--duration", 30) == 0
    assert list(folder.iterdir()) == []


def test_all_frames_were_warmup(
    run: Callable[..., int], tiny_bundle: Path, video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_bundle, video, "--threads", 1, "--frames", 4) == 0
    assert "every frame was a warm-up frame" in capfd.readouterr().out


def test_a_truncated_video_gives_the_report_and_the_error(
    run: Callable[..., int], tiny_bundle: Path, video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="truncated"):
        run(tiny_bundle, video, "--threads", 1, "--warmup", 2, "--report", tmp_path / "r.json")
    assert "source lost after" in capfd.readouterr().out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["run"]["ended"] == "source lost"
    assert "truncated" in report["run"]["error"]
    assert report["frames"]["measured"] > 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--samples"], UsageError, "--samples: got no --report"),
        (["--report", "missing/r.json"], OutputError, "--report"),
        (["--report", "."], OutputError, "--report"),
        (["--report", "/dev/null"], OutputError, "regular file"),
        (["--jsonl", "missing/r.jsonl"], OutputError, "cannot write"),
        (["--events", "missing/e.jsonl"], OutputError, "cannot write"),
        (["--events", "red.avi"], UsageError, "which is the source"),
        (["--events", "-", "--jsonl", "-"], UsageError, "which is also --jsonl"),
        (["--appear", "0.7"], UsageError, "--appear: got no --events FILE"),
        (["--gap-ms", "9"], UsageError, "--gap-ms: got no --events FILE"),
        (["--events", "e.jsonl", "--leave", "0.9"], UsageError, "leave not above appear"),
        (["--events", "e.jsonl", "--top-k", "1"], UsageError, "best 1 labels"),
        (["--video", "a.gif"], UsageError, "expected one of .mp4"),
        (["--video", "red.avi"], UsageError, "which is the source"),
        (["--video", "a.mp4", "--report", "a.mp4"], UsageError, "which is also --video"),
        (["--size", "64x64"], UsageError, "--size: does not apply"),
        (["--region", "100,100,100,100"], ValueError, "inside the frame"),
    ],
)
def test_what_cannot_work_is_said_before_the_run(
    run: Callable[..., int],
    tiny_bundle: Path,
    video: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(video.parent)
    before = {path: path.read_bytes() for path in video.parent.iterdir() if path.is_file()}
    with pytest.raises(error, match=message):
        run(tiny_bundle, video, "--threads", 1, *arguments)
    assert {path: path.read_bytes() for path in video.parent.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--frames", "0"],
        ["--warmup", "-1"],
        ["--frames", "many"],
        ["--duration", "nan"],
        ["--duration", "-3"],
        ["--fps", "0"],
        ["--region", "1,2,3"],
        ["--region", "0,0,0,5"],
        ["--size", "640"],
        ["--size", "0x5"],
        ["--size", "16385x5"],
        ["--fps", "0.0001"],
        ["--fourcc", "LONGER"],
        ["--open-timeout", "3600001"],
        ["--threads", "0"],
    ],
)
def test_wrong_numbers_are_wrong_usage(
    run: Callable[..., int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("bundle", "demo:", *arguments)
    assert exit_.value.code == 2
    assert "got " in capsys.readouterr().err


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no frames within a minute"
        time.sleep(0.02)


def wait_until_stuck(pipe: int, process: subprocess.Popen[str]) -> None:
    """Wait until the process that writes to this pipe finds it full."""

    def waiting_bytes() -> int:
        return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]  # type: ignore[no-any-return]

    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    deadline = time.monotonic() + 60
    before = 0
    while not before or waiting_bytes() != before:
        before = waiting_bytes()
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the pipe did not fill within a minute"
        time.sleep(0.3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_with_the_report(tiny_bundle: Path, tmp_path: Path, number: signal.Signals) -> None:
    results, report, video = tmp_path / "r.jsonl", tmp_path / "report.json", tmp_path / "a.mp4"
    command = [*COMMAND, tiny_bundle, "demo:", "--size", "160x120", "--threads", "1", "--warmup", "2"]
    command += ["--jsonl", results, "--report", report, "--video", video]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        wait_for_lines(results, 5, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopped after" in out
    assert "latency in ms" in out
    assert "Traceback" not in err
    document = json.loads(report.read_text())
    frames = document["run"]["frames"]
    assert document["run"]["ended"] == "stopped"
    assert len(results.read_text().splitlines()) == frames >= 5
    capture = cv2.VideoCapture(str(video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == frames
    capture.release()


def test_ctrl_c_does_not_wait_for_the_next_frame(tiny_bundle: Path, tmp_path: Path) -> None:
    """A live source that gives a frame every 100 s: the one Ctrl-C must not take that long."""
    results = tmp_path / "r.jsonl"
    command = [*COMMAND, tiny_bundle, "demo:", "--size", "160x120", "--threads", "1", "--fps", "0.01"]
    command += ["--jsonl", results, "--warmup", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        wait_for_lines(results, 1, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopped after 1 frame\n" in out


def test_a_second_ctrl_c_ends_at_once_without_a_traceback(tiny_bundle: Path, tmp_path: Path) -> None:
    """The reader of the results reads no more, so the run is stuck in a write, which the first Ctrl-C waits for."""
    command = [*COMMAND, tiny_bundle, "demo:", "--size", "64x64", "--threads", "1", "--jsonl", "-", "--quiet"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        wait_until_stuck(process.stdout.fileno(), process)
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "\n"
        assert "ending after the present frame" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "interrupted\n"


def test_a_reader_that_goes_away_is_one_message(tiny_bundle: Path) -> None:
    command = [*COMMAND, tiny_bundle, "demo:", "--size", "64x64", "--threads", "1", "--jsonl", "-", "--quiet"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=60) == 1
    assert err.splitlines() == ["error: JSON lines: the program that read standard output has closed it"]


def test_a_full_disk_under_the_table_is_one_message(tiny_bundle: Path, video: Path) -> None:
    command = [*COMMAND, tiny_bundle, video, "--threads", "1"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=60, check=False
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr
