"""``report.json``: the statistics of a run together with all that is needed to know what they mean.

Times are in milliseconds with six decimals, that is to the nanosecond. A percentile that comes from too few samples has
its name in ``unreliable``, beside its value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from googlenet_edge.atomic import atomic_file
from googlenet_edge.latency.histogram import RELATIVE_ERROR
from googlenet_edge.latency.machine import MachineInfo
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.sample_format import MISSING
from googlenet_edge.latency.stages import DEVICE_STAGE_DEFINITION, POSTPROCESS, POSTPROCESS_DEFINITION, STAGES, WAIT
from googlenet_edge.latency.summary import PERCENTILES, LatencySummary, StageStatistics, minimum_samples

__all__ = [
    "ALL_FRAMES",
    "SCHEMA_VERSION",
    "RunFacts",
    "measured_document",
    "raw_path",
    "report_document",
    "samples_path",
    "stage_document",
    "stages_document",
    "write_document",
    "write_report",
    "write_samples",
]

SCHEMA_VERSION = 1
ALL_FRAMES: Final = "all measured frames"
"""What percentiles come from where every frame was kept."""

_PERCENTILE_DEFINITION = "nearest rank: the ceil(p / 100 x N)-th smallest of N samples, without interpolation"
_WAIT_DEFINITION = (
    "from the previous frame's result being emitted until this frame was taken up, 0 where it was taken up before "
    "that: the loop waits for the source; "
    "a source that decodes or renders within the loop does so here"
)


@dataclass(frozen=True)
class RunFacts:
    """What a report says besides the statistics. All values must be JSON values."""

    machine: MachineInfo
    source: Mapping[str, object]
    """At least ``description`` (redacted) and ``live``."""
    captured: str
    """What "captured" means for this source: :func:`~googlenet_edge.latency.stages.capture_definition`."""
    classifier: Mapping[str, object] = field(default_factory=dict)
    """Bundle, precision, backend, threads."""
    accuracy: Mapping[str, object] = field(default_factory=dict)
    run: Mapping[str, object] = field(default_factory=dict)
    """How the run was configured and how it ended."""
    cameras: Sequence[Mapping[str, object]] = ()
    """One a camera: :func:`~googlenet_edge.latency.cameras.camera_document`."""
    fairness: Mapping[str, object] | None = None
    """How evenly the cameras were served; None for one."""
    sinks: Sequence[Mapping[str, object]] = ()
    """What the sinks that go on after a failure had to drop."""
    events: Sequence[Mapping[str, object]] = ()
    """What happened meanwhile: :class:`~googlenet_edge.latency.report_format.EventEntry`."""
    watched: Mapping[str, object] = field(default_factory=dict)
    """``state``, ``watch`` and ``energy``: :meth:`~googlenet_edge.latency.watch.run.RunWatch.document`."""


def report_document(summary: LatencySummary, facts: RunFacts) -> dict[str, object]:
    """Return the report as JSON values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "run": dict(facts.run),
        "source": dict(facts.source),
        "classifier": dict(facts.classifier),
        "machine": facts.machine.to_dict(),
        "definitions": {
            "clock": "host's monotonic clock",
            "captured": facts.captured,
            WAIT: _WAIT_DEFINITION,
            **{stage.name: stage.definition for stage in STAGES},
            POSTPROCESS: POSTPROCESS_DEFINITION,
            "device ...": DEVICE_STAGE_DEFINITION,
            "percentile": _PERCENTILE_DEFINITION,
            "reliable": "samples needed per percentile, at 99 % confidence: "
            + ", ".join(f"p{percent} {minimum_samples(percent)}" for percent in PERCENTILES),
            "fps": "(N - 1) / (last emitted - first emitted) of the N measured frames",
            "warmup": "the first frames: run like all others, but in no statistic of latency",
            "dropped": "frames that gave way to newer ones, in the source before the loop took them, or in the loop "
            "before their result was taken",
        },
        **measured_document(summary),
        "accuracy": dict(facts.accuracy),
        "cameras": [dict(camera) for camera in facts.cameras],
        "fairness": None if facts.fairness is None else dict(facts.fairness),
        "sinks": [dict(sink) for sink in facts.sinks],
        "events": [dict(event) for event in facts.events],
        **facts.watched,
    }


def measured_document(summary: LatencySummary) -> dict[str, object]:
    """Return all that the report says of what was measured: ``frames``, ``warmup`` and ``latency``, as JSON values."""
    return {
        "frames": {
            "measured": summary.count,
            "warmup": summary.warmup.frames,
            "dropped": summary.dropped,
            "dropped_in_warmup": summary.dropped_in_warmup,
            "fps": None if summary.fps is None else round(summary.fps, 3),
        },
        "warmup": {
            "frames": summary.warmup.frames,
            "duration_ms": _ms(summary.warmup.duration_ns),
            "first_frame_ms": _ms(summary.warmup.first_frame_ns),
        },
        "latency": {
            "percentiles_from": ALL_FRAMES if summary.exact else _in_histogram(summary.count),
            "sampled": summary.sampled,
            "stages": stages_document(summary),
        },
    }


def stages_document(summary: LatencySummary) -> dict[str, object]:
    """Return the statistics of each stage as JSON values, by the stages' names."""
    return {stage.name: stage_document(stage) for stage in summary.stages}


def stage_document(stage: StageStatistics) -> dict[str, object]:
    """Return the statistics of one stage as JSON values."""
    return {
        "count": stage.count,
        "mean_ms": round(stage.mean_ns / 1e6, 6),
        **{f"p{p.percent}_ms": _ms(p.duration_ns) for p in stage.percentiles},
        "max_ms": _ms(stage.maximum.duration_ns),
        "max_sequence": stage.maximum.sequence,
        "max_at_s": round(stage.maximum.at_ns / 1e9, 3),
        "unreliable": [f"p{p.percent}" for p in stage.percentiles if not p.reliable],
    }


def write_report(path: Path, summary: LatencySummary, facts: RunFacts) -> None:
    """Write the report of a run as JSON, whole or not at all. Raises :class:`OutputError`."""
    write_document(path, report_document(summary, facts))


def write_document(path: Path, document: Mapping[str, object]) -> None:
    """Write a report, given as JSON values, whole or not at all. Raises :class:`OutputError`."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is not UTF-8 has lone surrogates in Python; "backslashreplace" makes them JSON escapes.
    data = text.encode("utf-8", "backslashreplace")
    with atomic_file(path, what="report") as file:
        file.write(data)


def samples_path(report: Path, camera: str | None = None) -> Path:
    """Return where the raw samples of a report go: ``report.json`` -> ``report-samples.csv`` beside it.

    Those of one of several cameras go to ``report-samples-NAME.csv``.
    """
    return report.with_name(f"{report.stem}-samples{'' if camera is None else f'-{camera}'}.csv")


def raw_path(report: Path, camera: str | None = None) -> Path:
    """Return where raw samples are kept while a run goes on: ``report-samples.raw``, beside :func:`samples_path`."""
    return samples_path(report, camera).with_suffix(".raw")


def write_samples(path: Path, samples: Samples) -> None:
    """Write the raw time points as CSV, one line a frame, whole or not at all; a missing value is an empty field.

    Columns: sequence; captured_ns to emitted_ns, counted from the start of the run; wait_ns; the device's durations.
    Raises :class:`OutputError`.
    """

    with atomic_file(path, what="samples") as file:
        file.write((",".join(samples.columns) + "\n").encode())
        for row in samples.rows.tolist():
            file.write((",".join("" if value == MISSING else str(value) for value in row) + "\n").encode())


def _in_histogram(frames: int) -> str:
    return (
        f"a histogram of all {frames} measured frames, by which a percentile is at most {100 * RELATIVE_ERROR:.2g} % "
        "too high; count, mean and max are exact"
    )


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
