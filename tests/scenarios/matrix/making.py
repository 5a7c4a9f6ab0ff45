"""Rounds, cells and accuracies with the figures that a test wants; and which processes there are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from googlenet_edge.bundle import Precision
from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy
from googlenet_edge.scenarios.matrix.cell import Cell, Figure, Setting
from googlenet_edge.scenarios.matrix.jobs import Measured

MS = 1_000_000
WAIT_S = 60
"""How long a test waits for what must come, on a machine that is very busy."""


def measured(
    durations_ms: Sequence[float], *, batch: int = 1, overlapped: float | None = None, at_s: float = 0.0
) -> Measured:
    """A round whose batches took these times, one right after the other."""
    durations_ns = tuple(round(one * MS) for one in durations_ms)
    return Measured(
        started_ns=round(at_s * 1e9),
        ended_ns=round(at_s * 1e9) + sum(durations_ns),
        durations_ns=durations_ns,
        frames_per_second=batch * len(durations_ns) * 1e9 / sum(durations_ns),
        overlapped_frames_per_second=overlapped,
        warmup_queries=10,
        warmup_ns=10 * MS,
        steady=True,
        warmup_note="steady after 10 queries",
        line="a scripted backend",
        contains="scripted times",
        classifier={"backend": "scripted"},
        peak_bytes=100 << 20,
        complete=True,
    )


def cell(
    title: Precision, batch: int, rounds_ms: Sequence[float], *, count: int = 400, overlapped: float | None = None
) -> Cell:
    """A cell of rounds in each of which ``count`` batches took the same time."""
    found = Cell(Setting(title, title, batch, "onnxruntime"))
    for one in rounds_ms:
        found = found.with_round(measured([one] * count, batch=batch, overlapped=overlapped))
    return found


def accuracy(top1: float, *, drop: tuple[float, float, float] | None = None, within: float = 0.5) -> CellAccuracy:
    """An accuracy measured on 1000 images."""
    figure = Figure(top1, top1 - within, min(100.0, top1 + within))
    return CellAccuracy(
        source="measured",
        dataset="set",
        count=1000,
        top1=figure,
        top5_percent=99.9,
        agreement_percent=99.0,
        drop=None if drop is None else Figure(drop[1], drop[0], drop[2]),
    )


def children(parent: int) -> set[int]:
    """Return the processes that a process has begun, by any of its threads."""
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return {int(number) for one in lists for number in one.read_text().split()}


def is_gone(number: int) -> bool:
    """Wait until a process is gone, or a zombie of somebody else's."""
    limit = time.monotonic() + WAIT_S
    while time.monotonic() < limit:
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False
