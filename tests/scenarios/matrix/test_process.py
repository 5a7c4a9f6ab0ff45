"""Jobs in real processes, on the tiny bundle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.runtime.open_backend import BackendOptions
from googlenet_edge.scenarios.matrix import process
from googlenet_edge.scenarios.matrix.jobs import (
    Answer,
    Evaluated,
    EvaluateJob,
    Failed,
    Job,
    Measured,
    MeasureJob,
    Phase,
    decode_job,
    decode_message,
    encode,
)
from googlenet_edge.scenarios.matrix.process import JobFailedError, JobStoppedError, run_job
from googlenet_edge.scenarios.matrix.work import frames_file, read_frames
from tests.scenarios.matrix.making import MS, WAIT_S, children, is_gone
from tests.scenarios.scripted import IMAGES

OPTIONS = BackendOptions("onnxruntime", threads=1)


@pytest.fixture
def frames_fd() -> Iterator[int]:
    with frames_file(IMAGES) as descriptor:
        yield descriptor


def job(bundle: Path, frames_fd: int, *, seconds: float = 0.05, batch: int = 2, include: bool = True) -> MeasureJob:
    return MeasureJob(
        bundle=bundle,
        options=OPTIONS,
        batch=batch,
        frames_fd=frames_fd,
        percent=99,
        min_duration_ns=round(seconds * 1e9),
        max_duration_ns=round(max(10, seconds) * 1e9),
        min_queries=20,
        seed=1,
        include_preprocess=include,
    )


def run(job: Job, frames_fd: int, stop: threading.Event | None = None) -> Answer:
    return run_job(job, stop=stop or threading.Event(), descriptors=(frames_fd,))


@pytest.mark.parametrize("include", [True, False])
def test_a_cell_is_measured_in_a_process_of_its_own(tiny_bundle: Path, frames_fd: int, *, include: bool) -> None:
    before_ns = time.monotonic_ns()
    found = run(job(tiny_bundle, frames_fd, include=include), frames_fd)
    assert isinstance(found, Measured)
    assert len(found.durations_ns) >= 20
    assert found.ended_ns - found.started_ns >= 50 * MS
    assert before_ns < found.started_ns < found.ended_ns < time.monotonic_ns(), "one clock for all processes"
    assert sum(found.durations_ns) <= found.ended_ns - found.started_ns
    assert found.frames_per_second == pytest.approx(
        2 * len(found.durations_ns) * 1e9 / (found.ended_ns - found.started_ns)
    )
    assert found.overlapped_frames_per_second is None, "ONNX Runtime computes one batch at a time"
    assert found.warmup_queries >= 10
    assert found.classifier["threads"] == "1"
    assert ("crop and resize" in found.contains) == include or "neither" in found.contains
    assert found.peak_bytes > 20 << 20
    assert found.complete


def test_a_backend_that_takes_several_batches_is_also_measured_with_them_overlapped(
    tiny_bundle: Path, frames_fd: int
) -> None:
    two = BackendOptions("onnxruntime", at_once=2)
    found = run(msgspec.structs.replace(job(tiny_bundle, frames_fd), options=two), frames_fd)
    assert isinstance(found, Measured)
    assert found.overlapped_frames_per_second is not None
    assert found.overlapped_frames_per_second > 0


def test_a_labelled_set_is_classified(tiny_bundle: Path, tmp_path: Path) -> None:
    import cv2

    for label, color in (("red", (0, 0, 200)), ("green", (0, 200, 0)), ("blue", (0, 0, 200))):
        (tmp_path / "set" / label).mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / "set" / label / "1.png"), np.full((40, 40, 3), color, np.uint8))
    (tmp_path / "set" / "red" / "damaged.png").write_bytes(b"nothing")
    phases: list[str] = []
    job = EvaluateJob(bundle=tiny_bundle, options=OPTIONS, dataset=tmp_path / "set", limit=None)
    found = run_job(job, stop=threading.Event(), on_phase=phases.append)
    assert isinstance(found, Evaluated)
    assert found.class_count == 5
    assert {name: (truth, best[0]) for name, truth, best in found.results} == {
        "red/1.png": (0, 0),
        "green/1.png": (1, 1),
        "blue/1.png": (2, 0),
    }
    assert found.skipped == 1
    assert phases == ["opening the bundle", "classified 4 of 4 images"]


def test_what_cannot_be_measured_is_told_with_its_reason(tiny_bundle: Path, frames_fd: int, tmp_path: Path) -> None:
    with pytest.raises(JobFailedError, match="batch 33: it takes at most 32 frames at once"):
        run(job(tiny_bundle, frames_fd, batch=33), frames_fd)
    with pytest.raises(JobFailedError, match="no-bundle"):
        run(job(tmp_path / "no-bundle", frames_fd), frames_fd)


def test_a_name_that_is_not_utf8_reaches_the_process(tiny_bundle: Path, frames_fd: int) -> None:
    odd = tiny_bundle.rename(os.fsdecode(os.fsencode(tiny_bundle.parent) + b"/b\xffndle"))
    assert isinstance(run(job(odd, frames_fd), frames_fd), Measured)
    with pytest.raises(JobFailedError, match=r"\\udcff"):
        run(job(odd / "absent", frames_fd), frames_fd)


@pytest.fixture
def replaced_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A script of the test's own in the place of the child."""
    script = tmp_path / "child.py"
    monkeypatch.setattr(process, "_SCRIPT", script)
    return script


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed .SIGKILL., by the kernel for want of memo"),
        ("import os; os.abort()", "was ended by signal 6"),
        (
            "import sys; sys.stderr.write('x\\nno such library\\n'); sys.exit(7)",
            "ended with 7; its last words: no such",
        ),
        ("import os; os.close(0); os._exit(3)", "ended with 3$"),
        ("import os, time; os.close(1); time.sleep(60)", "closed its pipe and went on"),
    ],
)
def test_a_process_that_dies_is_told_by_how_it_died(
    replaced_child: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str, tiny_bundle: Path
) -> None:
    monkeypatch.setattr(process, "_GONE_S", 1.0)
    replaced_child.write_text(script)
    with pytest.raises(JobFailedError, match=reason):
        run_job(job(tiny_bundle, 0), stop=threading.Event())


def test_a_process_that_hangs_is_ended(
    replaced_child: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, tmp_path: Path
) -> None:
    number = tmp_path / "pid"
    said = encode(Phase("measuring batches of 2", 0.3))
    replaced_child.write_text(
        f"import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"open({str(number)!r}, 'w').write(str(os.getpid())); os.write(1, {said!r}); time.sleep(600)"
    )
    with pytest.raises(JobFailedError, match=r"no sign of life for 0 s \(measuring batches of 2\)"):
        run_job(job(tiny_bundle, 0), stop=threading.Event())
    assert is_gone(int(number.read_text()))


def test_a_bug_is_told_as_one(replaced_child: Path, tiny_bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = encode(Failed("KeyError: 'x'", "Traceback: ...\nKeyError: 'x'"))
    replaced_child.write_text(f"import os; os.write(1, {said!r})")
    with pytest.raises(JobFailedError, match="KeyError: 'x'"):
        run_job(job(tiny_bundle, 0), stop=threading.Event())
    assert "Traceback: ..." in caplog.text


def test_a_stop_ends_the_process_within_a_second(tiny_bundle: Path, frames_fd: int) -> None:
    stop, begun = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def measure() -> None:
        try:
            run_job(
                job(tiny_bundle, frames_fd, seconds=600),
                stop=stop,
                descriptors=(frames_fd,),
                on_phase=lambda phase: begun.set() if phase.startswith("measuring") else None,
            )
        except BaseException as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    others = children(os.getpid())
    thread = threading.Thread(target=measure)
    thread.start()
    assert begun.wait(WAIT_S)
    (child,) = children(os.getpid()) - others
    began = time.monotonic()
    stop.set()
    thread.join(WAIT_S)
    took_s = time.monotonic() - began
    assert [type(one) for one in failures] == [JobStoppedError]
    assert is_gone(child)
    assert took_s < 5, "a second, on a machine that is not busy"


def test_no_process_survives_its_parent(tiny_bundle: Path) -> None:
    """The parent is killed in the middle of a measurement; nothing tells the child but the end of its input."""
    script = f"""
import sys, threading
from tests.scenarios.matrix.test_process import job
from googlenet_edge.scenarios.matrix.process import run_job
from googlenet_edge.scenarios.matrix.work import frames_file
from tests.scenarios.scripted import IMAGES
from pathlib import Path
with frames_file(IMAGES) as descriptor:
    run_job(job(Path({str(tiny_bundle)!r}), descriptor, seconds=600), stop=threading.Event(),
            descriptors=(descriptor,), on_phase=lambda phase: print(phase, flush=True))
"""
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        assert any(line.startswith("measuring") for line in parent.stdout)
        (child,) = children(parent.pid)
        parent.send_signal(signal.SIGKILL)
    assert is_gone(child)


def test_frames_of_several_sizes_reach_a_process_in_order() -> None:
    images = [np.full((height, 30, 3), height, np.uint8) for height in (20, 10, 40)]
    with frames_file(images) as descriptor:
        for _ in range(2):
            found = read_frames(descriptor)
            assert [one.shape for one in found] == [one.shape for one in images]
            assert all(np.array_equal(one, other) for one, other in zip(found, images, strict=True))


def test_jobs_and_messages_are_read_as_they_were_written(tiny_bundle: Path) -> None:
    for one in (
        job(tiny_bundle, 5),
        EvaluateJob(bundle=tiny_bundle, options=OPTIONS, dataset=Path("demo:test"), limit=3),
    ):
        assert decode_job(encode(one)) == one
    assert decode_message(encode(Phase("x", 1.5))) == Phase("x", 1.5)
    for read in (decode_job, decode_message):
        with pytest.raises(InputError, match="expected what jobs"):
            read(b'{"type": "other"}')
