"""Reads ``report.json`` and the raw samples beside it, and believes neither without a look."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from googlenet_edge.errors import InputError
from googlenet_edge.latency.layer_format import LayersEntry
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.report import ALL_FRAMES, SCHEMA_VERSION, samples_path
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.report_samples import POINTS, read_bytes, read_samples
from googlenet_edge.latency.sample_file import is_raw
from googlenet_edge.latency.stages import STAGES
from googlenet_edge.latency.summary import PERCENTILES, LatencySummary, Maximum, Percentile, StageStatistics, WarmUp

__all__ = [
    "CameraSamples",
    "Report",
    "latency_summary",
    "read_report",
    "report_from",
    "sample_files",
    "stage_statistics_of",
    "with_layers",
]

_WRITER = "`googlenet-edge run --report`"


@dataclass(frozen=True)
class CameraSamples:
    """The raw samples of one camera."""

    camera: str | None
    samples: Samples


@dataclass(frozen=True)
class Report:
    """A report, and what was found beside it."""

    path: Path
    document: ReportDocument
    raw: Mapping[str, Any]
    """All that is in the file, also what :class:`ReportDocument` does not name. JSON values."""
    samples: tuple[CameraSamples, ...] = ()
    """In the order of the cameras; empty where there are no files of samples."""
    layers: LayersEntry | None = None
    """The time of each layer, where it was given too: :func:`with_layers`."""

    @property
    def exact(self) -> bool:
        """Whether the percentiles are those of all measured frames, to the nanosecond."""
        return self.document.latency.percentiles_from == ALL_FRAMES

    @property
    def kept(self) -> int:
        """How many frames there are raw samples of."""
        return sum(len(each.samples.rows) for each in self.samples)

    @property
    def complete(self) -> bool:
        """Whether there are raw samples of every measured frame."""
        return bool(self.samples) and self.kept == self.document.frames.measured


def read_report(path: Path) -> Report:
    """Read a report, and the samples beside it if there are any.

    Raises :class:`InputError` for a file that cannot be read, is cut off, is no report or one of another schema
    version, and for samples that are damaged, lack a camera, or belong to another run.
    """
    if is_raw(path):
        raise InputError(
            f"{path}: got the raw samples that a run left, expected a latency report; "
            f"`googlenet-edge report {path} --json REPORT.json` makes one of them"
        )
    raw = _parsed(path)
    document = _checked(path, raw)
    names = [camera.name for camera in document.cameras] or [None]
    files = sample_files(path, document)
    found = [file for file in files if file.exists()]
    if found and len(found) < len(names):
        lacking = ", ".join(file.name for file in files if file not in found)
        raise InputError(
            f"{path}: got the samples of {len(found)} of {len(names)} cameras beside it, expected {lacking} too; "
            "restore what is missing, or move the others away"
        )
    samples = tuple(CameraSamples(name, read_samples(file)) for name, file in zip(names, found, strict=False))
    return _fitting(Report(path, document, raw, samples))


def report_from(path: Path, raw: Mapping[str, Any], samples: tuple[CameraSamples, ...] = ()) -> Report:
    """Return a report from the JSON values in it and its raw samples, in the order of the cameras.

    ``path`` is what messages name. Raises :class:`InputError` for what is no report or a damaged one, and for samples
    that belong to another run.
    """
    return _fitting(Report(path, _checked(path, raw), raw, samples))


def sample_files(path: Path, document: ReportDocument) -> list[Path]:
    """Return where the samples of each camera are, if they were kept: beside the report."""
    names = [camera.name for camera in document.cameras] or [None]
    return [samples_path(path, name) for name in names if name is None or not {"/", "\0"} & set(name)]


def with_layers(report: Report, path: Path) -> Report:
    """Return the report with the time of each layer, from what ``googlenet-edge bench --layers --json`` wrote.

    Raises :class:`InputError` for a file that is none of those, and for the layers of another graph.
    """
    import msgspec

    raw = _parsed(path, "file of layer times")
    graphs = report.document.classifier.get("graph_sha256"), raw.get("graph_sha256")
    try:
        layers = msgspec.convert(raw, LayersEntry)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: got no layer times ({error}), expected what `googlenet-edge bench --layers --json` writes of "
            "one bundle"
        ) from error
    if graphs[0] != graphs[1]:
        raise InputError(
            f"{path}: got the layers of graph {graphs[1]!r}, expected those of {graphs[0]!r}, which the report is of; "
            "measure the layers of the same bundle"
        )
    return replace(report, layers=layers)


def latency_summary(document: ReportDocument) -> LatencySummary:
    """Return the statistics as the recorder gave them: durations in nanoseconds, as exact as the file has them."""
    frames, warmup, latency = document.frames, document.warmup, document.latency
    return LatencySummary(
        count=frames.measured,
        sampled=frames.measured if latency.sampled is None else latency.sampled,
        fps=frames.fps,
        dropped=frames.dropped,
        dropped_in_warmup=frames.dropped_in_warmup,
        warmup=WarmUp(warmup.frames, _ns(warmup.duration_ms), _ns(warmup.first_frame_ms)),
        stages=tuple(stage_statistics_of(name, stage) for name, stage in latency.stages.items()),
    )


def stage_statistics_of(name: str, stage: StageEntry) -> StageStatistics:
    """Return one stage's statistics, as exact as the file has them."""
    return StageStatistics(
        name=name,
        count=stage.count,
        mean_ns=stage.mean_ms * 1e6,
        maximum=Maximum(_ns(stage.max_ms), stage.max_sequence, round(stage.max_at_s * 1e9)),
        percentiles=tuple(
            Percentile(percent, _ns(value), stage.reliable(percent))
            for percent in PERCENTILES
            if (value := stage.percentile_ms(percent)) is not None
        ),
    )


def _ns(milliseconds: float) -> int:
    return round(milliseconds * 1e6)


def _parsed(path: Path, what: str = "report") -> Mapping[str, Any]:
    content = read_bytes(path, what)
    try:
        text = content.decode("utf-8")
        raw = _whole_text(json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_number))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: got no JSON, or a file that is cut off ({error}), expected a latency {what}"
        ) from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: got JSON that is no object, expected a latency {what}")
    return raw


def _checked(path: Path, raw: Mapping[str, Any]) -> ReportDocument:
    import msgspec

    version = raw.get("schema_version")
    if "latency" not in raw or "definitions" not in raw:
        raise InputError(f"{path}: got JSON that is no latency report, expected what {_WRITER} writes")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: got a report of schema version {version!r}, expected {SCHEMA_VERSION}; measure again, or show it "
            "with the version of googlenet-edge that wrote it"
        )
    try:
        return msgspec.convert(raw, ReportDocument)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: got a damaged latency report ({error}), expected what {_WRITER} writes; measure again"
        ) from error


def _whole_text(value: Any) -> Any:
    """Replace halves of surrogate pairs, as in names of files that are no UTF-8: nothing else takes them."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_whole_text(key): _whole_text(each) for key, each in value.items()}
    return [_whole_text(each) for each in value] if isinstance(value, list) else value


def _number(text: str) -> float:
    """Return an integer or a float; no figure is NaN, or too large for 64 bits."""
    value = float(text)
    if not abs(value) < 1e18:
        raise ValueError(f"{text[:40]} is no figure of a report")
    return int(text) if text.lstrip("-").isdigit() else value


def _fitting(report: Report) -> Report:
    """Return the report if its samples are its own: those of an earlier run may lie beside a newer report."""
    document = report.document
    frames, measured = report.kept, document.frames.measured
    problem = None
    if report.samples and (frames > measured or (report.exact and frames < measured)):
        problem = f"{frames} frames, where the report measured {measured}"
    elif frames:
        problem = _other_maxima(report.samples, document.latency.stages, complete=report.complete)
    if problem is not None:
        raise InputError(
            f"{report.path}: got samples of another run beside it ({problem}), expected those of this one; "
            "move them away, or measure again with --samples"
        )
    return report


def _other_maxima(samples: Sequence[CameraSamples], stages: Mapping[str, StageEntry], *, complete: bool) -> str | None:
    for stage in STAGES:
        said = stages.get(stage.name)
        if said is None:
            continue
        start, end = POINTS.index(stage.start), POINTS.index(stage.end)
        found = max(int((each.samples.rows[:, end] - each.samples.rows[:, start]).max(initial=0)) for each in samples)
        if found > _ns(said.max_ms) or (complete and found != _ns(said.max_ms)):
            return f"{stage.title}: at most {found / 1e6:.6f} ms, where the report has {said.max_ms:.6f} ms"
    return None
