"""``report.json``: the statistics of a run together with all that is needed to know what they mean.

Times are in milliseconds with six decimals, that is to the nanosecond. A percentile that comes from too few samples has
its name in ``unreliable``, beside its value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from googlenet_edge.atomic import atomic_file
from googlenet_edge.latency.machine import MachineInfo
from googlenet_edge.latency.recorder import MISSING, Samples
from googlenet_edge.latency.stages import DEVICE_STAGE_DEFINITION, STAGES, WAIT
from googlenet_edge.latency.summary import PERCENTILES, LatencySummary, StageStatistics, minimum_samples

__all__ = [
    "SCHEMA_VERSION",
    "RunFacts",
    "report_document",
    "samples_path",
    "stages_document",
    "write_report",
    "write_samples",
]

SCHEMA_VERSION = 1

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
            "device ...": DEVICE_STAGE_DEFINITION,
            "percentile": _PERCENTILE_DEFINITION,
            "reliable": "samples needed per percentile, at 99 % confidence: "
            + ", ".join(f"p{percent} {minimum_samples(percent)}" for percent in PERCENTILES),
            "fps": "(N - 1) / (last emitted - first emitted) of the N measured frames",
            "warmup": "the first frames: run like all others, but in no statistic of latency",
            "dropped": "frames that gave way to newer ones, in the source before the loop took them, or in the loop "
            "before their result was taken",
        },
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
            "percentiles_from": "all measured frames"
            if summary.sampled == summary.count
            else f"a uniform random sample of {summary.sampled} of {summary.count} measured frames; "
            "count, mean and max are exact",
            "stages": stages_document(summary),
        },
        "accuracy": dict(facts.accuracy),
        "cameras": [dict(camera) for camera in facts.cameras],
        "fairness": None if facts.fairness is None else dict(facts.fairness),
        "sinks": [dict(sink) for sink in facts.sinks],
    }


def stages_document(summary: LatencySummary) -> dict[str, object]:
    """Return the statistics of each stage as JSON values, by the stages' names."""
    return {stage.name: _stage_document(stage) for stage in summary.stages}


def write_report(path: Path, summary: LatencySummary, facts: RunFacts) -> None:
    """Write the report as JSON, whole or not at all. Raises :class:`OutputError`."""
    text = json.dumps(report_document(summary, facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is not UTF-8 has lone surrogates in Python; "backslashreplace" makes them JSON escapes.
    data = text.encode("utf-8", "backslashreplace")
    with atomic_file(path, what="report") as file:
        file.write(data)


def samples_path(report: Path, camera: str | None = None) -> Path:
    """Return where the raw samples of a report go: ``report.json`` -> ``report-samples.csv`` beside it.

    Those of one of several cameras go to ``report-samples-NAME.csv``.
    """
    return report.with_name(f"{report.stem}-samples{'' if camera is None else f'-{camera}'}.csv")


def write_samples(path: Path, samples: Samples) -> None:
    """Write the raw time points as CSV, one line a frame, whole or not at all; a missing value is an empty field.

    Columns: sequence; captured_ns to emitted_ns, counted from the start of the run; wait_ns; the device's durations.
    Raises :class:`OutputError`.
    """

    with atomic_file(path, what="samples") as file:
        file.write((",".join(samples.columns) + "\n").encode())
        for row in samples.rows.tolist():
            file.write((",".join("" if value == MISSING else str(value) for value in row) + "\n").encode())


def _stage_document(stage: StageStatistics) -> dict[str, object]:
    return {
        "count": stage.count,
        "mean_ms": round(stage.mean_ns / 1e6, 6),
        **{f"p{p.percent}_ms": _ms(p.duration_ns) for p in stage.percentiles},
        "max_ms": _ms(stage.maximum.duration_ns),
        "max_sequence": stage.maximum.sequence,
        "max_at_s": round(stage.maximum.at_ns / 1e9, 3),
        "unreliable": [f"p{p.percent}" for p in stage.percentiles if not p.reliable],
    }


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
