"""When results came, and what they cost."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.sinks.sink import Sink
from googlenet_edge.types import Frame, Prediction
from tools.loopbench.clip import read_number
from tools.loopbench.job import Run

__all__ = ["AgeSink", "MarkSink", "Marks", "cores"]


@dataclass(frozen=True)
class _Moment:
    wall_ns: int
    process_ns: int
    thread_ns: int
    busy_ns: int

    @classmethod
    def now(cls) -> _Moment:
        return cls(time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns(), _busy_ns())


class Marks:
    """Counts results; the clocks are read at the last one of the warm-up and at the very last: N make N - 1 gaps."""

    def __init__(self, *, warmup: int, frames: int) -> None:
        self._first, self._last = max(1, warmup), max(1, warmup) + frames
        self._count = 0
        self._moments: list[_Moment] = []

    @property
    def full(self) -> bool:
        return self._count >= self._last

    def mark(self) -> None:
        self._count += 1
        if self._count in (self._first, self._last):
            self._moments.append(_Moment.now())

    def run(self, *, late_ns: list[int] | None = None) -> Run:
        """Return the means over the measured frames. Raises :class:`RuntimeError` if there were too few."""
        if len(self._moments) != 2:
            raise RuntimeError(f"got {self._count} results, expected {self._last}: the source ended too early")
        begin, end = self._moments
        frames = self._last - self._first
        wall_ns, process_ns = end.wall_ns - begin.wall_ns, end.process_ns - begin.process_ns
        return Run(
            wall_ms=wall_ns / frames / 1e6,
            cpu_ms=process_ns / frames / 1e6,
            caller_ms=(end.thread_ns - begin.thread_ns) / frames / 1e6,
            others=max(0.0, (end.busy_ns - begin.busy_ns - process_ns) / wall_ns),
            late_us=tuple(late / 1e3 for late in late_ns or ()),
        )


class MarkSink(Sink):
    """A mark for each result; last in the list of sinks, so that the others are in the time."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks

    def emit(self, frame: Frame, prediction: Prediction) -> None:  # noqa: ARG002
        self._marks.mark()

    def lost(self, camera: str | None) -> None: ...

    def close(self) -> None: ...


class AgeSink(Sink):
    """Notes which picture was emitted when."""

    def __init__(self) -> None:
        self.emitted: list[tuple[int, int]] = []

    def emit(self, frame: Frame, prediction: Prediction) -> None:  # noqa: ARG002
        self.emitted.append((read_number(frame.image), time.monotonic_ns()))

    def lost(self, camera: str | None) -> None: ...

    def close(self) -> None: ...


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _busy_ns() -> int:
    """Time that the processors of this machine were busy so far, in all processes together."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
