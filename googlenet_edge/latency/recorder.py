"""Records the time points of every frame: statistics of all frames, and their raw time points up to a bound."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.histogram import Histogram
from googlenet_edge.latency.sample_format import MISSING
from googlenet_edge.latency.stages import STAGES, WAIT, timed_apart
from googlenet_edge.latency.summary import (
    LatencySummary,
    Maximum,
    RunTimes,
    StageStatistics,
    WarmUp,
    frames_per_second,
    histogram_statistics,
    stage_statistics,
)
from googlenet_edge.types import FrameTrace

__all__ = ["DEFAULT_CAPACITY", "LatencyRecorder", "Samples"]

DEFAULT_CAPACITY: Final = 131_072
"""Frames kept with all their time points: 73 minutes at 30 frames/s in at most 13 MB."""

_Column: TypeAlias = npt.NDArray[np.int64]
_AT_ONCE: Final = 512
"""Frames that are taken into the statistics together, in a third of a millisecond; one by one costs more."""
_POINTS: Final = ("sequence", "captured_ns", "dequeued_ns", "preprocessed_ns", "inferred_ns", "emitted_ns")


@dataclass(frozen=True)
class Samples:
    """The raw samples: one row a frame, in the order of emission."""

    columns: tuple[str, ...]
    """sequence, the time points relative to the start of the run, then wait_ns and the stages that are timed apart."""
    rows: npt.NDArray[np.int64]
    """int64 (frames, columns); :data:`~googlenet_edge.latency.sample_format.MISSING` where a frame has no such value,
    for example the wait before the very first frame."""
    complete: bool
    """False: a uniform random sample of the measured frames, because there were more than the recorder keeps."""


class _Durations:
    """All durations of a stage, however long the run."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.maximum = Maximum(0, 0, 0)

    def add(self, durations_ns: _Column, sequences: _Column, at_ns: _Column) -> None:
        """Add those of several frames: int64 (N,) each; those that a frame does not have are passed over."""
        there = durations_ns != MISSING
        if not there.all():
            durations_ns, sequences, at_ns = durations_ns[there], sequences[there], at_ns[there]
            if not durations_ns.size:
                return
        longest = int(durations_ns.argmax())
        if not self.histogram.count or durations_ns[longest] > self.maximum.duration_ns:
            self.maximum = Maximum(int(durations_ns[longest]), int(sequences[longest]), int(at_ns[longest]))
        self.histogram.record_many(durations_ns)


class LatencyRecorder:
    """Collects the traces of a run and summarises them.

    The first ``warmup_frames`` frames are counted and timed, but stay out of the statistics. Count, mean and maximum
    are exact. Up to ``capacity`` measured frames, percentiles are exact too; beyond it they come from a histogram of
    all (:mod:`~googlenet_edge.latency.histogram`, which says how exact that is), and the summary says so.

    Raw time points are kept of all frames up to ``capacity``, and beyond it of a uniform random sample of ``capacity``
    whole frames (Vitter 1985, "Random sampling with a reservoir", algorithm R), so that memory stays bounded: some
    20 MB with the histograms. Not thread-safe: one loop records.
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
        self._random = np.random.default_rng(seed)
        self._columns: list[str] = [*_POINTS, f"{WAIT}_ns"]
        self._apart: list[str] = []
        self._fresh = array("q")
        """The rows of the last frames, one after the other: they are taken up some hundred at a time."""
        self._kept = np.empty((capacity, len(self._columns)), dtype=np.int64)  # memory is taken when it is written to
        self._stages = {WAIT: _Durations(), **{stage.name: _Durations() for stage in STAGES}}
        self._measured = self._taken_up = 0
        self._first_emitted_ns = self._last_emitted_ns = 0
        self._previous_emitted_ns: int | None = None
        self._measured_from_ns = 0
        self._since = 0
        """Results since then, warm-up ones of other cameras included."""
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
        if self._measured:
            self._since += 1
        if self.in_warmup if warmup is None else warmup:
            self._warmup = WarmUp(
                frames=self._warmup.frames + 1,
                duration_ns=emitted_ns - self._warmup_started_ns,
                first_frame_ns=self._warmup.first_frame_ns,
            )
            return
        if not self._measured:
            self._first_emitted_ns, self._since = emitted_ns, 1
            self._measured_from_ns = trace.dequeued_ns if previous_ns is None else previous_ns
        # Below 0, this frame was already under way: nothing was waited for.
        wait_ns = MISSING if previous_ns is None else max(0, trace.dequeued_ns - previous_ns)
        start, apart = self._started_ns, timed_apart(trace)
        row = [
            trace.sequence,
            trace.captured_ns - start,
            trace.dequeued_ns - start,
            trace.preprocessed_ns - start,
            trace.inferred_ns - start,
            emitted_ns - start,
            wait_ns,
        ]
        if apart or self._apart:
            row += self._values_apart(apart)
        self._fresh.extend(row)
        self._last_emitted_ns = emitted_ns
        self._measured += 1
        if len(self._fresh) >= _AT_ONCE * len(row):
            self._take_up()

    def samples(self) -> Samples:
        """Return the frames that were kept, in the order of emission."""
        rows = self._kept_rows()
        order = np.argsort(rows[:, _POINTS.index("emitted_ns")], kind="stable")
        return Samples(tuple(self._columns), rows[order], complete=self._measured <= self._capacity)

    def summarize(self, *, dropped: int = 0, dropped_in_warmup: int = 0) -> LatencySummary:
        """Return the statistics of the frames recorded so far; ``dropped`` is the count over the whole run."""
        times = None
        if self._measured and self._previous_emitted_ns is not None:
            times = RunTimes(self._started_ns, self._measured_from_ns, self._previous_emitted_ns, self._since)
        return LatencySummary(
            count=self._measured,
            sampled=min(self._measured, self._capacity),
            fps=frames_per_second(self._measured, self._last_emitted_ns - self._first_emitted_ns),
            dropped=dropped,
            dropped_in_warmup=dropped_in_warmup,
            warmup=self._warmup,
            stages=self._statistics(),
            times=times,
        )

    def _statistics(self) -> tuple[StageStatistics, ...]:
        rows = self._kept_rows()
        measured = {name: each for name, each in self._stages.items() if each.histogram.count}
        if self._measured > self._capacity:
            return tuple(histogram_statistics(name, each.histogram, each.maximum) for name, each in measured.items())
        kept = {name: durations[durations != MISSING] for name, durations in self._durations(rows).items()}
        return tuple(
            stage_statistics(
                name, kept[name], count=kept[name].size, mean_ns=each.histogram.mean_ns, maximum=each.maximum
            )
            for name, each in measured.items()
        )

    def _durations(self, rows: npt.NDArray[np.int64]) -> dict[str, _Column]:
        """Return the durations of each stage; :data:`MISSING` where a frame has none."""
        column = dict(zip(self._columns, np.ascontiguousarray(rows.T), strict=True))
        durations = {WAIT: column[f"{WAIT}_ns"]}
        durations |= {stage.name: column[stage.end] - column[stage.start] for stage in STAGES}
        return durations | {name: column[f"{name}_ns"] for name in self._apart}

    def _values_apart(self, durations: list[tuple[str, int]]) -> list[int]:
        if [name for name, _ in durations] == self._apart:
            return [duration_ns for _, duration_ns in durations]
        by_name = dict(durations)
        for name in by_name:
            if name not in self._apart:
                self._add_column(name)
        return [by_name.get(name, MISSING) for name in self._apart]

    def _add_column(self, stage: str) -> None:
        self._take_up()
        kept = self._kept
        self._kept = np.empty((self._capacity, kept.shape[1] + 1), dtype=np.int64)
        there = min(self._taken_up, self._capacity)
        self._kept[:there, :-1], self._kept[:there, -1] = kept[:there], MISSING
        self._apart.append(stage)
        self._columns.append(f"{stage}_ns")
        self._stages[stage] = _Durations()

    def _kept_rows(self) -> npt.NDArray[np.int64]:
        self._take_up()
        return self._kept[: min(self._measured, self._capacity)]

    def _take_up(self) -> None:
        """Take the last frames into the statistics, and keep their rows, or some of them."""
        if not self._fresh:
            return
        rows = np.array(self._fresh, dtype=np.int64).reshape(-1, len(self._columns))
        self._fresh = array("q")
        sequences, at_ns = rows[:, 0], rows[:, _POINTS.index("emitted_ns")]
        for name, durations in self._durations(rows).items():
            self._stages[name].add(durations, sequences, at_ns)
        room = max(0, min(len(rows), self._capacity - self._taken_up))
        self._kept[self._taken_up : self._taken_up + room] = rows[:room]
        if room < len(rows):
            frames = np.arange(self._taken_up + room, self._taken_up + len(rows))
            slots = self._random.integers(0, frames + 1)  # for each of them, its own chance to stay
            stay = slots < self._capacity
            self._kept[slots[stay]] = rows[room:][stay]
        self._taken_up += len(rows)
