"""Which frames took far longer than the others, where their time went, and why, as far as the report knows.

An outlier lies beyond the upper quartile by more than three times the distance of the quartiles: "far out" by Tukey,
"Exploratory Data Analysis" (1977), section 2D. Quartiles are nearest rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.page.words import count, milliseconds
from googlenet_edge.latency.report_file import CameraSamples, Report
from googlenet_edge.latency.report_format import EventEntry
from googlenet_edge.latency.stages import STAGES
from googlenet_edge.latency.subject import subject_of
from googlenet_edge.latency.summary import nearest_rank

__all__ = ["Outlier", "Track", "explain", "fence_ns", "tracks"]

_PAUSE = 5
"""A pause is an interval between captures of more than so many medians, and of a second at least."""
_PAUSE_LEAST_NS = 1_000_000_000


@dataclass(frozen=True)
class Track:
    """The measured frames of one camera, in the order of their numbers."""

    camera: str | None
    columns: Mapping[str, npt.NDArray[np.int64]]
    """The time points by name, int64 (N,), nanoseconds from the start of the run; and ``sequence``."""

    def duration_ns(self, stage: str) -> npt.NDArray[np.int64]:
        """Return one of :data:`~googlenet_edge.latency.stages.STAGES` of each frame, int64 (N,)."""
        found = next(each for each in STAGES if each.name == stage)
        return self.columns[found.end] - self.columns[found.start]

    @property
    def at_s(self) -> npt.NDArray[np.float64]:
        """When each result was there, seconds from the start of the run, float64 (N,)."""
        return self.columns["inferred_ns"] / 1e9

    def __len__(self) -> int:
        return len(self.columns["sequence"])


@dataclass(frozen=True)
class Outlier:
    """One frame that took long."""

    camera: str | None
    sequence: int
    at_s: float
    latency_ms: float
    where: str
    """Which part of it was longest beyond its median, and by how much."""
    cause: str | None
    """None where the report says nothing that would explain it."""


def tracks(report: Report) -> tuple[Track, ...]:
    """Return the frames of each camera that has any."""
    return tuple(_track(each) for each in report.samples if len(each.samples.rows))


def fence_ns(durations_ns: npt.NDArray[np.int64]) -> int:
    """Return the duration (nanoseconds) above which a frame is an outlier; ``durations_ns`` is int64 (N,), N >= 1."""
    ordered = np.sort(durations_ns)
    lower, upper = nearest_rank(ordered, 25), nearest_rank(ordered, 75)
    return upper + 3 * (upper - lower)


def explain(report: Report, frames: Sequence[Track], most: int) -> tuple[Outlier, ...]:
    """Return the outliers, the longest first, at most ``most``."""
    if not frames:
        return ()
    stage = subject_of(report.document).stage
    fence = fence_ns(np.concatenate([track.duration_ns(stage) for track in frames]))
    found = [
        (int(duration), track, i)
        for track in frames
        for i, duration in enumerate(track.duration_ns(stage).tolist())
        if duration > fence
    ]
    found.sort(key=lambda each: -each[0])
    causes = _Causes(report, frames)
    return tuple(
        Outlier(
            camera=track.camera,
            sequence=int(track.columns["sequence"][i]),
            at_s=float(track.at_s[i]),
            latency_ms=duration / 1e6,
            where=causes.where(track, i),
            cause=causes.cause(track, i),
        )
        for duration, track, i in found[:most]
    )


class _Causes:
    """What is known of the run that may explain a frame's latency."""

    def __init__(self, report: Report, frames: Sequence[Track]) -> None:
        self._subject = subject_of(report.document)
        self._events = report.document.happenings
        self._complete = report.complete
        self._lost = {camera.name: camera.outages.lost for camera in report.document.cameras}
        self._medians = {
            id(track): {part: nearest_rank(np.sort(track.duration_ns(part)), 50) for part in self._subject.parts}
            for track in frames
        }
        self._pauses = {id(track): _longest_usual_interval(track) for track in frames}
        merged = [(int(t.columns["dequeued_ns"][i]), int(t.columns["emitted_ns"][i]), t, i)
                  for t in frames for i in range(len(t))]  # fmt: skip
        merged.sort(key=lambda each: each[0])
        self._started = np.array([each[0] for each in merged], dtype=np.int64)
        self._merged = merged

    def where(self, track: Track, i: int) -> str:
        """Name the part that took longest beyond its median."""
        part, more = self._longest(track, i)
        return f"{self._subject.name_of(part)}, +{milliseconds(more / 1e6)} ms"

    def cause(self, track: Track, i: int) -> str | None:
        """Say what the report knows that may be behind it."""
        begin, end = track.columns["captured_ns"][i] / 1e9, track.columns["inferred_ns"][i] / 1e9
        said = [_event_text(event) for event in self._events
                if event.from_s <= end and event.to_s >= begin and event.camera in (None, track.camera)]  # fmt: skip
        if said:
            return "; ".join(dict.fromkeys(said))
        if not self._complete:  # frames that are not there cannot be told from those that were dropped
            return None
        if i and self._pauses[id(track)] < (gap := int(np.diff(track.columns["captured_ns"])[i - 1])):
            what = "lost and back" if self._lost.get(track.camera) else "after a pause of the source"
            return f"{what}: no frame for {gap / 1e9:.1f} s before it"
        if self._longest(track, i)[0] == "queue" and (before := self._ahead_of(track, i)) is not None:
            return before
        if i == 0:
            return f"the first measured {self._subject.one}: the warm-up may have been too short"
        if (dropped := int(np.diff(track.columns["sequence"])[i - 1]) - 1) > 0:
            # Rarely the cause of it; but it tells that the loop was late already.
            return f"not known; {count(dropped)} frame{'s were' if dropped > 1 else ' was'} dropped just before it"
        return None

    def _longest(self, track: Track, i: int) -> tuple[str, float]:
        medians = self._medians[id(track)]
        more = {part: float(track.duration_ns(part)[i]) - medians[part] for part in medians}
        part = max(medians, key=lambda each: more[each])
        return part, more[part]

    def _ahead_of(self, track: Track, i: int) -> str | None:
        """Name the frame that was worked on while this one waited, if that one took long itself."""
        captured, dequeued = int(track.columns["captured_ns"][i]), int(track.columns["dequeued_ns"][i])
        place = int(np.searchsorted(self._started, dequeued, side="left"))
        for _, emitted, other, j in reversed(self._merged[max(0, place - 8) : place]):
            if emitted <= captured or (other is track and j == i):
                continue
            part, more = self._longest(other, j)
            if part != "queue" and more > self._medians[id(other)][part]:
                of = f" of {other.camera}" if other.camera not in (None, track.camera) else ""
                spent = milliseconds(float(other.duration_ns(part)[j]) / 1e6)
                what = f"{self._subject.one} {int(other.columns['sequence'][j])}{of}"
                return f"waited behind {what}, which took {spent} ms of {self._subject.name_of(part)}"
        return None


def _track(each: CameraSamples) -> Track:
    rows = each.samples.rows
    rows = rows[np.argsort(rows[:, each.samples.columns.index("sequence")], kind="stable")]
    return Track(each.camera, {name: rows[:, i] for i, name in enumerate(each.samples.columns)})


def _longest_usual_interval(track: Track) -> float:
    intervals = np.diff(track.columns["captured_ns"])
    return max(_PAUSE_LEAST_NS, _PAUSE * float(np.median(intervals))) if len(intervals) else float("inf")


def _event_text(event: EventEntry) -> str:
    return f"{event.kind}: {event.text}" if event.text else event.kind
