"""``run`` and ``bench`` that are killed, or whose disk gets full, and what `report` makes of what they leave."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.cli.main import main
from googlenet_edge.latency.comparison.read import read_run
from googlenet_edge.latency.report_file import read_report
from googlenet_edge.latency.sample_reader import read_samples

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
DEMO = ["--size", "96x96", "--threads", "1", "--quiet", "--warmup", "5"]
QUICK = ["--backend", "onnxruntime", "--threads", "1", "--size", "64x48", "--frame-count", "3"]


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "googlenet_edge", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as child:
        try:
            yield child
        finally:
            child.kill()  # nothing, where it has ended


def wait_until(condition: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.02)


def rows(path: Path) -> int:
    return len(read_samples(path).rows) if path.exists() else 0


def killed(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL


def loaded(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_a_run_that_is_killed_leaves_what_it_measured(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, raw = tmp_path / "r.json", tmp_path / "r-samples.raw"
    with started("run", tiny_bundle, "demo:", *DEMO, "--report", report, "--samples") as child:
        wait_until(lambda: rows(raw) >= 300, child)
        assert main(["report", str(raw)]) == 0, "while it goes on"
        assert ": still going on after " in capsys.readouterr().out
        killed(child)
    left = rows(raw)
    assert left >= 300
    assert not report.exists()

    assert main(["report", str(report)]) == 1
    assert f"`googlenet-edge report {raw}` shows what it measured" in capsys.readouterr().err
    page, figures = tmp_path / "r.html", tmp_path / "r.csv"
    assert main(["report", str(raw)]) == 0
    shown, errors = capsys.readouterr()
    assert f"killed after {left} frames" in shown
    assert f"{left - 5} frames measured" in shown
    assert "warm-up, not measured: 5 frames" in shown
    assert "capture to result" in shown
    assert "was not closed" in errors

    assert main(["report", str(raw), "-o", str(page), "--csv", str(figures), "--json", str(report)]) == 0
    assert "capture_to_result,p99" in figures.read_text()
    assert "killed" in page.read_text()
    document = read_report(report)
    assert (document.complete, document.document.frames.measured) == (True, left - 5)
    assert document.document.classifier["backend"] == "onnxruntime"
    assert read_run(report).lacking is None, "compare has what it needs"


def test_the_samples_of_a_run_that_ends_are_not_left_twice(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    report, raw = folder / "r.json", folder / "r-samples.raw"
    arguments = ["run", str(tiny_bundle), "demo:", *DEMO, "--frames", "30", "--report", str(report), "--samples"]
    assert main(arguments) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["r-samples.csv", "r.json"]
    with started(*[argument for argument in arguments if argument not in ("--frames", "30")]) as child:
        wait_until(lambda: rows(raw) >= 20, child)
        killed(child)
    capsys.readouterr()
    assert main(["report", str(report)]) == 0, "of the run before"
    assert f"a later run has no report: `googlenet-edge report {raw}`" in capsys.readouterr().err
    assert main(arguments) == 0, "the next run with the same names"
    assert f"report {folder / 'r-samples-killed.raw'}` shows what it measured" in caplog.text
    capsys.readouterr()
    assert main(["report", str(report)]) == 0
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in folder.iterdir()) == ["r-samples-killed.raw", "r-samples.csv", "r.json"]
    assert rows(folder / "r-samples-killed.raw") >= 20
    assert loaded(report)["frames"]["measured"] == 25


def test_cameras_of_a_killed_run_are_reported_together(tiny_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    raw = [tmp_path / f"r-samples-{name}.raw" for name in ("door", "yard")]
    sources = ["door=demo:", "yard=demo:"]
    with started("run", tiny_bundle, *sources, *DEMO, "--fps", 100, "--report", report, "--samples") as child:
        wait_until(lambda: all(rows(path) >= 40 for path in raw), child)
        killed(child)
    assert main(["report", str(raw[1]), "--json", str(report)]) == 0
    document = loaded(report)
    counts = [rows(path) for path in raw]
    assert [(camera["name"], camera["frames"]) for camera in document["cameras"]] == list(
        zip(("door", "yard"), counts, strict=True)
    )
    assert document["frames"]["measured"] == sum(counts) - 10
    assert document["fairness"]["jain_index"] > 0
    assert len(read_report(report).samples) == 2


@pytest.mark.parametrize(
    ("scenario", "arguments", "name"),
    [
        ("single-stream", ["--min-duration", "600"], "r-samples.raw"),
        ("camera", ["--min-duration", "600", "--fps", "200"], "r-samples.raw"),
        ("offline", ["--min-duration", "600", "--max-batch", "2"], "r-samples-batch-1.raw"),
    ],
)
def test_a_benchmark_that_is_killed_leaves_what_it_measured(
    tiny_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    scenario: str,
    arguments: list[str],
    name: str,
) -> None:
    raw = tmp_path / name
    command = ["bench", tiny_bundle, "--scenario", scenario, *arguments, *QUICK]
    with started(*command, "--report", tmp_path / "r.json", "--samples") as child:
        wait_until(lambda: rows(raw) >= 100, child)
        killed(child)
    assert main(["report", str(raw), "--json", str(tmp_path / "r.json")]) == 0
    capsys.readouterr()
    document = loaded(tmp_path / "r.json")
    assert document["run"]["ended"] == "killed"
    assert document["source"]["description"].startswith(f"{scenario} of 3 frames")
    assert document["frames"]["measured"] == rows(raw)
    assert document["warmup"]["frames"] > 0
    assert main(["report", str(tmp_path / "r.json")]) == 0
    assert f"{rows(raw)} frames measured" in capsys.readouterr().out


def limit(child: subprocess.Popen[str], bytes_in_a_file: int) -> None:
    """From now on no file of the process may get longer: what a full disk does."""
    hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (bytes_in_a_file, hard))


def test_a_disk_that_gets_full_is_borne_where_outputs_may_drop(tiny_bundle: Path, tmp_path: Path) -> None:
    report, raw = tmp_path / "r.json", tmp_path / "r-samples.raw"
    arguments = ["--report", report, "--samples", "--on-output-error", "drop"]
    with started("run", tiny_bundle, "demo:", *DEMO, "--fps", 100, *arguments) as child:
        wait_until(lambda: rows(raw) >= 10, child)
        limit(child, 100)
        assert child.stderr is not None
        said = child.stderr.readline()
        assert "cannot be written on: File too large" in said
        limit(child, resource.RLIM_INFINITY)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    assert "raw samples" not in errors, "said once"
    assert read_report(report).complete
    assert not raw.exists()


def test_a_disk_that_gets_full_ends_the_run_with_one_message_where_outputs_may_not_drop(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, raw = tmp_path / "r.json", tmp_path / "r-samples.raw"
    with started("run", tiny_bundle, "demo:", *DEMO, "--report", report, "--samples") as child:
        wait_until(lambda: raw.exists() and raw.stat().st_size > 60_000, child)
        limit(child, 50_000)  # the report is shorter, the samples are not
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "Traceback" not in errors
    assert errors.count("cannot be written on: File too large") == 1
    document = loaded(report)
    assert document["run"]["ended"] == "output failed"
    left = document["frames"]["measured"]
    assert f"what was measured is in {raw}; `googlenet-edge report` shows it" in errors
    assert main(["report", str(raw)]) == 0
    assert 300 < rows(raw) <= left + 5
    capsys.readouterr()


def test_two_runs_with_one_name_do_not_spoil_each_other(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, raw = tmp_path / "r.json", tmp_path / "r-samples.raw"
    arguments = ["run", str(tiny_bundle), "demo:", *DEMO, "--report", str(report), "--samples"]
    with started(*arguments) as child:
        wait_until(lambda: rows(raw) >= 20, child)
        assert main([*arguments, "--frames", "10"]) == 1
        assert "are being written by another process" in capsys.readouterr().err
        before = rows(raw)
        wait_until(lambda: rows(raw) > before, child)
        killed(child)


@pytest.mark.parametrize("samples", ["text", ""])
def test_json_is_for_raw_samples_alone(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], samples: str
) -> None:
    path = tmp_path / "r.json"
    path.write_text(samples)
    assert main(["report", str(path), "--json", str(tmp_path / "other.json")]) == 2
    assert "expected the REPORT-samples.raw" in capsys.readouterr().err


def test_a_run_that_was_killed_before_it_wrote_anything_left_no_damaged_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r-samples.raw"
    path.touch()
    assert main(["report", str(path)]) == 1
    error = capsys.readouterr().err
    assert "got an empty file, expected the raw samples of a run" in error
    assert "JSON" not in error
