"""One measurement, made by a process of its own: what is asked of it, and what it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["Job", "JobError", "Run", "run_job"]

_TIME_LIMIT_S = 300


class JobError(RuntimeError):
    """A measuring process failed."""


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    side: str
    """A name in ``tools.loopbench.sides.SIDES``."""
    bundle: str
    source: str
    """The clip, or the address of the camera."""
    output: str
    """The file that the lines go to."""
    device_ms: float | None = None
    """Inference takes this long, on the stand-in; None: ONNX Runtime on the processor."""
    at_once: int = 1
    """Frames that ONNX Runtime computes at once."""
    frames: int = 100
    """Frames in the measurement."""
    warmup: int = 40
    """Frames before it. While these last, a peer fills its queue."""
    seconds: float | None = None
    """Measure for this time instead: the live sides."""


@dataclass(frozen=True)
class Run:
    """What came out."""

    wall_ms: float
    """From one result to the next, on the average."""
    cpu_ms: float
    """Processor time of the whole process, per frame."""
    caller_ms: float = 0.0
    """Of it, that of the thread that takes the results."""
    others: float = 0.0
    """Processors that other processes kept busy meanwhile."""
    late_us: tuple[float, ...] = ()
    """Sleeps of the stand-in: how much too late they ended."""
    emitted: tuple[tuple[int, int], ...] = field(default=())
    """Live sides: the number in each picture and when its result was out (``time.monotonic_ns``)."""


def run_job(job: Job, *, environment: Mapping[str, str] | None = None) -> Run:
    """Measure in a fresh process and return the result. Raises :class:`JobError`.

    OpenCV has one thread there, as in the command, whatever the side.
    """
    command = [sys.executable, "-m", "tools.loopbench.sides", json.dumps(asdict(job))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False,
        env={**(os.environ if environment is None else environment), "OPENCV_FOR_THREADS_NUM": "1"},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if done.returncode:
        raise JobError(f"{job.side}: the process ended with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    answer["emitted"] = tuple((number, time_ns) for number, time_ns in answer["emitted"])
    return Run(**answer)
