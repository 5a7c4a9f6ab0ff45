"""Runs one process, watched: its memory, its time, and what it printed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Ended", "Limits", "run_limited"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POLL_S = 0.05
_RELATIVES_S = 1.0


@dataclass(frozen=True)
class Limits:
    """What a process may use."""

    memory_bytes: int = 12_000_000_000
    """Resident, of the process and all that it started. Address space is no measure: libraries reserve tens of GB."""
    time_s: float = 3600.0

    def __post_init__(self) -> None:
        if self.memory_bytes < 1 or not self.time_s > 0:
            raise ValueError(f"limits: got {self}, expected more than 0 bytes and seconds")


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    returncode: int
    seconds: float
    """From its start to its end, start-up and imports included."""
    peak_bytes: int
    """The most resident memory that was seen, its children's included; looked at twenty times a second."""
    stopped: Literal["", "memory", "time"]
    """Which limit it was stopped for."""


def run_limited(command: Sequence[str], *, environment: Mapping[str, str], limits: Limits, log: Path) -> Ended:
    """Run a command to its end or to a limit; what it prints goes to ``log``. Nothing of it is left running."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        # Should the whole machine run out of memory before we look again, this is the process that must go.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000", encoding="ascii")
        began = time.monotonic()
        try:
            peak_bytes, stopped = _watch(process, limits, began)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            returncode = process.wait()
    return Ended(returncode, time.monotonic() - began, peak_bytes, stopped)


def _watch(process: subprocess.Popen[bytes], limits: Limits, began: float) -> tuple[int, Literal["", "memory", "time"]]:
    peak_bytes, looked = 0, float("-inf")
    relatives: list[int] = []
    while True:
        now = time.monotonic()
        if now - looked >= _RELATIVES_S:
            relatives, looked = _session(process.pid), now
        resident_bytes = sum(_resident_bytes(pid) for pid in {process.pid, *relatives})
        peak_bytes = max(peak_bytes, resident_bytes)
        if resident_bytes > limits.memory_bytes:
            return peak_bytes, "memory"
        if now - began > limits.time_s:
            return peak_bytes, "time"
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            continue
        return peak_bytes, ""


def _session(leader: int) -> list[int]:
    """Processes of the session that the leader began, other than itself."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != leader:
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    found.append(int(entry.name))
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0
