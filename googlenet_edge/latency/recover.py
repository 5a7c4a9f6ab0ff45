"""Makes the report of a run that did not live to write it, from the raw samples that it left.

All frames in its files (:mod:`~googlenet_edge.latency.trace_store`) go through the same recorder as in the run, so the
figures are those that the run itself would have reported of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np

from googlenet_edge.errors import InputError
from googlenet_edge.latency.cameras import CameraFigures, camera_document, fairness_document
from googlenet_edge.latency.recorder import LatencyRecorder, Samples
from googlenet_edge.latency.report import measured_document, samples_path, write_document, write_samples
from googlenet_edge.latency.sample_file import in_use, is_raw
from googlenet_edge.latency.sample_format import MISSING
from googlenet_edge.latency.sample_reader import StoredSamples, read_samples
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, POSTPROCESS
from googlenet_edge.latency.summary import LatencySummary
from googlenet_edge.latency.trace_store import COLUMNS, RunAbout
from googlenet_edge.types import FrameTrace, Outages

__all__ = ["Recovered", "recover", "write_recovered"]

_ROWS_AT_ONCE: Final = 4096
_GOING_ON: Final = "still going on"
_ERROR: Final = "the run did not live to write its report; this one is made of the raw samples that it left"
_SEQUENCE, _WARMUP = COLUMNS.index("sequence"), COLUMNS.index("warmup")


@dataclass(frozen=True)
class Recovered:
    """What was measured until the run ended."""

    document: Mapping[str, object]
    """The report, as JSON values."""
    samples: tuple[tuple[str | None, Samples], ...]
    """Of each camera, by its name."""
    notes: tuple[str, ...]
    """A sentence for each thing that is missing."""


@dataclass(frozen=True)
class _Part:
    """The file of one camera, and what comes of it."""

    path: Path
    about: RunAbout
    stored: StoredSamples
    recorder: LatencyRecorder

    @property
    def summary(self) -> LatencySummary:
        dropped, dropped_in_warmup = self._dropped()
        return self.recorder.summarize(dropped=dropped, dropped_in_warmup=dropped_in_warmup)

    def _dropped(self) -> tuple[int, int]:
        """Return the frames that gave way to newer ones, in all and before the first measured frame."""
        rows = self.stored.rows
        if not len(rows):
            return 0, 0
        measured = np.flatnonzero(rows[:, _WARMUP] == 0)
        first = int(measured[0]) if len(measured) else len(rows) - 1
        # Frames are numbered from 0, and those that were dropped leave gaps; so do rows that were damaged.
        gaps = [int(rows[i, _SEQUENCE]) - i for i in (len(rows) - 1, first)]
        damaged = sum(damage.samples or 0 for damage in self.stored.damage)
        return max(0, gaps[0] - damaged), max(0, gaps[1])


def recover(path: Path) -> Recovered:
    """Return the report of the run that left this file, and those of its other cameras beside it.

    Raises :class:`InputError` for a file that cannot be read, and for one that holds other samples than a run's frames.
    """
    own, stored = _read(path)
    parts, notes = [], list[str]()
    for file in _files(path, own):
        about, found = (own, stored) if file == path else _read(file)
        if about.run == own.run:
            parts.append(_Part(file, about, found, _replayed(found)))
            notes += [f"{file}: {note}" for note in found.notes()]
    there = [part.about.camera for part in parts]
    lacking = [str(camera["name"]) for camera in own.cameras if camera["name"] not in there]
    if lacking:
        notes.append(f"{path}: the raw samples of {', '.join(lacking)} are not beside it, so these figures lack them")
    samples = tuple((part.about.camera, part.recorder.samples()) for part in parts)
    return Recovered(_document(own, parts), samples, tuple(notes))


def write_recovered(recovered: Recovered, report: Path) -> None:
    """Write the report as JSON and the samples as CSV beside it. Raises :class:`OutputError`."""
    for name, samples in recovered.samples:
        write_samples(samples_path(report, name), samples)
    write_document(report, recovered.document)


def _read(path: Path) -> tuple[RunAbout, StoredSamples]:
    stored = read_samples(path)
    about = RunAbout.from_json(stored.about)
    names = tuple(column.name for column in stored.columns[: len(COLUMNS)])
    if about is None or names != COLUMNS or not {"run", "source"} <= set(about.document):
        raise InputError(f"raw samples {str(path)!r}: got other than a run's frames, expected what a run has left")
    return about, stored


def _files(path: Path, own: RunAbout) -> list[Path]:
    """Return the files of all cameras of the run that are there, in the order of the cameras."""
    if own.camera is None:
        return [path]
    before, _, behind = path.name.rpartition(f"-{own.camera}")
    files = [path.with_name(f"{before}-{camera['name']}{behind}") for camera in own.cameras]
    others = [file for file in files if file != path and is_raw(file)]
    return [file for file in files if file == path or file in others] if before else [path]


def _replayed(stored: StoredSamples) -> LatencyRecorder:
    recorder = LatencyRecorder(started_ns=0, warmup_frames=0)
    for trace, warmup in _traces(stored):
        recorder.record(trace, warmup=warmup)
    return recorder


def _traces(stored: StoredSamples) -> Iterator[tuple[FrameTrace, bool]]:
    names = [column.name for column in stored.columns[len(COLUMNS) :]]
    apart = [name.removeprefix(DEVICE_STAGE_PREFIX).removesuffix("_ns") for name in names]
    for start in range(0, len(stored.rows), _ROWS_AT_ONCE):  # all at once as integers of Python would take gigabytes
        for row in stored.rows[start : start + _ROWS_AT_ONCE].tolist():
            values = zip(apart, row[len(COLUMNS) :], strict=True)
            durations = {name: value for name, value in values if value != MISSING}
            postprocess = durations.pop(POSTPROCESS, None)
            sequence, captured, dequeued, preprocessed, inferred, emitted, warmup = row[: len(COLUMNS)]
            device = tuple(durations.items())
            trace = FrameTrace(sequence, captured, dequeued, preprocessed, inferred, emitted, device, postprocess)
            yield trace, bool(warmup)


def _document(own: RunAbout, parts: Sequence[_Part]) -> dict[str, object]:
    summary = parts[0].summary if len(parts) == 1 else _overall(parts)
    if own.warmup is not None:
        summary = replace(summary, warmup=own.warmup)
    document: dict[str, Any] = {**own.document, **measured_document(summary)}
    frames, ended = sum(len(part.stored.rows) for part in parts), _ended(parts)
    written = max(part.path.stat().st_mtime for part in parts)
    document["run"] = {
        **document["run"],
        "ended": ended,
        "ended_at": datetime.fromtimestamp(written, timezone.utc).isoformat(timespec="seconds"),
        "error": None if ended == _GOING_ON else _ERROR,
        "frames": frames + (0 if own.warmup is None else own.warmup.frames),
    }
    document["source"] = {**document["source"], "dropped": summary.dropped}
    if own.cameras:
        cameras = [_camera(part, ended) for part in parts]
        document["cameras"] = [camera_document(camera) for camera in cameras]
        document["fairness"] = fairness_document(cameras)
    return document


def _overall(parts: Sequence[_Part]) -> LatencySummary:
    recorder = LatencyRecorder(started_ns=0, warmup_frames=0)
    for trace, warmup in heapq.merge(*(_traces(part.stored) for part in parts), key=_emitted_ns):
        recorder.record(trace, warmup=warmup)
    each = [part.summary for part in parts]
    return recorder.summarize(
        dropped=sum(one.dropped for one in each), dropped_in_warmup=sum(one.dropped_in_warmup for one in each)
    )


def _emitted_ns(item: tuple[FrameTrace, bool]) -> int:
    return item[0].emitted_ns or 0


def _ended(parts: Sequence[_Part]) -> str:
    if any(in_use(part.path) for part in parts):
        return _GOING_ON
    return "without a report" if all(part.stored.closed for part in parts) else "killed"


def _camera(part: _Part, ended: str) -> CameraFigures:
    facts: Mapping[str, Any] = next(camera for camera in part.about.cameras if camera["name"] == part.about.camera)
    return CameraFigures(
        name=part.about.camera,
        description=facts["description"],
        live=facts["live"],
        captured=facts["captured"],
        frames=len(part.stored.rows),
        unfinished=0,
        summary=part.summary,
        outages=Outages(),
        ended=ended,
    )
