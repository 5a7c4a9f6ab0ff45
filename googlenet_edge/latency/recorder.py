"""Records the time points of every frame, exactly at first and as a uniform random sample on long runs."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, STAGES, WAIT
from googlenet_edge.latency.summary import (
    LatencySummary,
    Maximum,
    StageStatistics,
    WarmUp,
    frames_per_second,
    stage_statistics,
)
from googlenet_edge.types import FrameTrace

__all__ = ["DEFAULT_CAPACITY", "MISSING", "LatencyRecorder", "Samples"]

DEFAULT_CAPACITY = 131_072
"""Frames kept with all their time points: 73 minutes at 30 frames/s in at most 13 MB."""

MISSING = int(np.iinfo(np.int64).min)
"""Stands for "this frame has no such duration", for example the wait before the very first frame."""

_POINTS = ("sequence", "captured_ns", "dequeued_ns", "preprocessed_ns", "inferred_ns", "emitted_ns")


@dataclass(frozen=True)
class Samples:
    """The raw samples: one row a frame, in the order of emission."""

    columns: tuple[str, ...]
    """sequence, the time points relative to the start of the run, then wait_ns and the device's own durations."""
    rows: npt.NDArray[np.int64]
    """int64 (frames, columns); :data:`MISSING` where a frame has no such value."""
    complete: bool
    """False: a uniform random sample of the measured frames, because there were more than the recorder keeps."""


@dataclass
class _Exact:
    """What is known exactly of a duration, however long the run."""

    count: int = 0
    total_ns: int = 0
    maximum: Maximum = field(default_factory=lambda: Maximum(0, 0, 0))

    def add(self, duration_ns: int, sequence: int, at_ns: int) -> None:
        if not self.count or duration_ns > self.maximum.duration_ns:
            self.maximum = Maximum(duration_ns, sequence, at_ns)
        self.count += 1
        self.total_ns += duration_ns


class LatencyRecorder:
    """Collects the traces of a run and summarises them.

    The first ``warmup_frames`` frames are counted and timed, but stay out of the statistics. Count, mean and maximum
    are exact. Up to ``capacity`` measured frames, percentiles are exact too; beyond it the recorder keeps a uniform
    random sample of ``capacity`` whole frames (Vitter 1985, "Random sampling with a reservoir", algorithm R), so that
    memory stays bounded, and the summary says so. Not thread-safe: one loop records.
    """

    def __init__(
        self, *, started_ns: int, warmup_frames: int = 10, capacity: int = DEFAULT_CAPACITY, seed: int = 0
    ) -> None:
        if warmup_frames < 0 or capacity < 1:
            raise InputError(
                f"latency recorder: got warmup_frames={warmup_frames}, capacity={capacity}, "
                "expected warmup_frames >= 0 and capacity >= 1"
            )
        self._started_ns = started_ns
        self._warmup_frames = warmup_frames
        self._capacity = capacity
        self._random = random.Random(seed)
        self._columns: list[str] = [*_POINTS, f"{WAIT}_ns"]
        self._rows = np.full((min(capacity, 1024), len(self._columns)), MISSING, dtype=np.int64)
        self._exact: dict[str, _Exact] = {}
        self._measured = 0
        self._first_emitted_ns = self._last_emitted_ns = 0
        self._previous_emitted_ns: int | None = None
        self._warmup = WarmUp(frames=0, duration_ns=0, first_frame_ns=0)
        self._warmup_started_ns = 0

    @property
    def in_warmup(self) -> bool:
        """True until the last warm-up frame was recorded."""
        return self._warmup.frames < self._warmup_frames

    def record(self, trace: FrameTrace, *, warmup: bool | None = None) -> None:
        """Add one frame. Raises :class:`InputError` if it has not been emitted.

        ``warmup``: whether it is a warm-up frame, where that is not for this recorder to count: several cameras in one
        recorder have a warm-up each.
        """
        emitted_ns = trace.emitted_ns
        if emitted_ns is None:
            raise InputError(
                f"frame {trace.sequence}: got a trace without emitted_ns, expected one of an emitted frame"
            )
        previous_ns, self._previous_emitted_ns = self._previous_emitted_ns, emitted_ns
        if previous_ns is None:
            self._warmup_started_ns = trace.dequeued_ns
            self._warmup = WarmUp(frames=0, duration_ns=0, first_frame_ns=emitted_ns - trace.dequeued_ns)
        if self.in_warmup if warmup is None else warmup:
            self._warmup = WarmUp(
                frames=self._warmup.frames + 1,
                duration_ns=emitted_ns - self._warmup_started_ns,
                first_frame_ns=self._warmup.first_frame_ns,
            )
            return
        # Below 0, this frame was already under way: nothing was waited for.
        wait_ns = MISSING if previous_ns is None else max(0, trace.dequeued_ns - previous_ns)
        self._add_exact(trace, emitted_ns, wait_ns)
        slot = self._next_slot()
        if slot is not None:
            self._store(slot, trace, emitted_ns, wait_ns)
        if self._measured == 0:
            self._first_emitted_ns = emitted_ns
        self._last_emitted_ns = emitted_ns
        self._measured += 1

    def samples(self) -> Samples:
        """Return the frames that were kept, in the order of emission."""
        rows = self._rows[: min(self._measured, self._capacity)]
        order = np.argsort(rows[:, _POINTS.index("emitted_ns")], kind="stable")
        return Samples(tuple(self._columns), rows[order], complete=self._measured <= self._capacity)

    def summarize(self, *, dropped: int = 0, dropped_in_warmup: int = 0) -> LatencySummary:
        """Return the statistics of the frames recorded so far; ``dropped`` is the count over the whole run."""
        durations = self._durations()
        stages: list[StageStatistics] = []
        for name, exact in self._exact.items():
            kept = durations.get(name, np.empty(0, dtype=np.int64))
            stages.append(
                stage_statistics(
                    name,
                    kept[kept != MISSING],
                    count=exact.count,
                    mean_ns=exact.total_ns / exact.count,
                    maximum=exact.maximum,
                )
            )
        return LatencySummary(
            count=self._measured,
            sampled=min(self._measured, self._capacity),
            fps=frames_per_second(self._measured, self._last_emitted_ns - self._first_emitted_ns),
            dropped=dropped,
            dropped_in_warmup=dropped_in_warmup,
            warmup=self._warmup,
            stages=tuple(stages),
        )

    def _durations(self) -> dict[str, npt.NDArray[np.int64]]:
        rows = self._rows[: min(self._measured, self._capacity)]
        column = {name: rows[:, i] for i, name in enumerate(self._columns)}
        durations = {WAIT: column[f"{WAIT}_ns"]}
        durations |= {stage.name: column[stage.end] - column[stage.start] for stage in STAGES}
        durations |= {
            name.removesuffix("_ns"): values for name, values in column.items() if name.startswith(DEVICE_STAGE_PREFIX)
        }
        return durations

    def _add_exact(self, trace: FrameTrace, emitted_ns: int, wait_ns: int) -> None:
        at_ns = emitted_ns - self._started_ns
        pairs = [] if wait_ns == MISSING else [(WAIT, wait_ns)]
        pairs += [(stage.name, stage.duration_ns(trace)) for stage in STAGES]
        pairs += [(DEVICE_STAGE_PREFIX + name, duration_ns) for name, duration_ns in trace.device_stage_ns]
        for name, duration_ns in pairs:
            exact = self._exact.get(name)
            if exact is None:
                exact = self._exact[name] = _Exact()
            exact.add(duration_ns, trace.sequence, at_ns)

    def _next_slot(self) -> int | None:
        """Return the row to write this frame to, or None where the reservoir lets it pass."""
        if self._measured < self._capacity:
            if self._measured == len(self._rows):
                more = min(self._capacity, 2 * len(self._rows)) - len(self._rows)
                empty = np.full((more, self._rows.shape[1]), MISSING, dtype=np.int64)
                self._rows = np.concatenate([self._rows, empty])
            return self._measured
        slot = self._random.randrange(self._measured + 1)
        return slot if slot < self._capacity else None

    def _store(self, slot: int, trace: FrameTrace, emitted_ns: int, wait_ns: int) -> None:
        points = (trace.captured_ns, trace.dequeued_ns, trace.preprocessed_ns, trace.inferred_ns, emitted_ns)
        row = [trace.sequence, *(point - self._started_ns for point in points), wait_ns]
        for name, _ in trace.device_stage_ns:
            if f"{DEVICE_STAGE_PREFIX}{name}_ns" not in self._columns:
                self._columns.append(f"{DEVICE_STAGE_PREFIX}{name}_ns")
                empty = np.full((len(self._rows), 1), MISSING, dtype=np.int64)
                self._rows = np.concatenate([self._rows, empty], axis=1)
        device = {f"{DEVICE_STAGE_PREFIX}{name}_ns": duration_ns for name, duration_ns in trace.device_stage_ns}
        row += [device.get(name, MISSING) for name in self._columns[len(row) :]]
        self._rows[slot] = row
