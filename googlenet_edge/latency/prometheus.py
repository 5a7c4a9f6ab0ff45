"""The report in Prometheus' text format, for the text-file collector of its node exporter.

The format is version 0.0.4 of "Exposition formats" in Prometheus' documentation: HELP and TYPE before the samples of a
metric, all of which stand together; in label values backslash, double quote and line feed are escaped, in HELP
backslash and line feed. Base units: seconds, hertz, watts, joules, and ratios from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from googlenet_edge.atomic import atomic_file
from googlenet_edge.latency.prometheus_machine import machine_gauges
from googlenet_edge.latency.prometheus_scenario import scenario_gauges
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.summary import PERCENTILES

__all__ = ["prometheus_text", "write_prometheus"]

_PREFIX = "googlenet_edge_"
_INFO = ("model", "precision", "backend", "graph_sha256")

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""Suffix of the metric's name, labels, value."""


def prometheus_text(document: ReportDocument) -> str:
    """Return the text. The label ``camera`` is empty for the whole run, and is there for each camera of several."""
    whole: tuple[Labels, Mapping[str, StageEntry]] = ({"camera": ""}, document.all_stages)
    several = document.cameras if len(document.cameras) > 1 else ()
    groups = [whole, *(({"camera": camera.name or ""}, camera.stages) for camera in several)]
    frames = document.frames
    parts = [
        _metric("run_info", "gauge", "What the last run computed with; always 1.", [("", _info(document), 1)]),
        _metric(
            "stage_latency_seconds",
            "summary",
            "Time of a stage in the last run; quantiles are nearest rank.",
            [sample for labels, stages in groups for name, stage in stages.items()
             for sample in _summary({**labels, "stage": name}, stage)],
        ),
        _metric(
            "stage_latency_max_seconds",
            "gauge",
            "Longest time of a stage in the last run.",
            [("", {**labels, "stage": name}, stage.max_ms / 1e3)
             for labels, stages in groups for name, stage in stages.items()],
        ),
        _metric(
            "stage_latency_quantile_reliable",
            "gauge",
            "1 where there were frames enough for the quantile, at 99 % confidence, else 0.",
            [("", {**labels, "stage": name, "quantile": f"{percent / 100:g}"}, float(stage.reliable(percent)))
             for labels, stages in groups for name, stage in stages.items()
             for percent in PERCENTILES if stage.percentile_ms(percent) is not None],
        ),
        _metric(
            "frames_measured",
            "gauge",
            "Frames of the last run after its warm-up; of a scenario, queries or batches.",
            [("", {"camera": ""}, frames.measured), *(("", _camera(c.name), c.measured) for c in several)],
        ),
        _metric(
            "frames_dropped",
            "gauge",
            "Frames of the last run that gave way to newer ones.",
            [("", {"camera": ""}, frames.dropped), *(("", _camera(c.name), c.dropped) for c in several)],
        ),
        _metric(
            "frames_per_second",
            "gauge",
            "Measured frames per second of the last run.",
            [("", labels, rate) for labels, rate in
             [({"camera": ""}, document.frames_per_second), *((_camera(c.name), c.fps) for c in several)]
             if rate is not None],
        ),
        _metric(
            "camera_outages",
            "gauge",
            "How often the camera was lost in the last run.",
            [("", _camera(c.name), c.outages.lost) for c in document.cameras],
        ),
        _metric(
            "camera_outage_seconds",
            "gauge",
            "Time of the last run without the camera.",
            [("", _camera(c.name), c.outages.down_s) for c in document.cameras],
        ),
        _metric("accuracy_ratio", "gauge", "Top-1 accuracy of the last run, 0 to 1.", _accuracy(document)),
        *(_metric(name, "gauge", text, samples)
          for name, text, samples in (*scenario_gauges(document), *machine_gauges(document))),
        _metric("run_end_timestamp_seconds", "gauge", "When the last run ended, Unix time.", _ended(document)),
    ]  # fmt: skip
    return "".join(parts)


def write_prometheus(path: Path, document: ReportDocument) -> None:
    """Write the text as UTF-8, whole or not at all: no collector meets half a file. Raises :class:`OutputError`."""
    data = prometheus_text(document).encode("utf-8", "replace")
    with atomic_file(path, what="Prometheus file") as file:
        file.write(data)


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    """Return a metric with its samples; nothing without any."""
    name = _PREFIX + name
    lines = [f"{name}{suffix}{_labels(labels)} {_number(value)}\n" for suffix, labels, value in samples]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(lines)}" if lines else ""


def _summary(labels: Labels, stage: StageEntry) -> Iterator[Sample]:
    for percent in PERCENTILES:
        value = stage.percentile_ms(percent)
        if value is not None:
            yield "", {**labels, "quantile": f"{percent / 100:g}"}, value / 1e3
    yield "_sum", labels, stage.mean_ms * stage.count / 1e3
    yield "_count", labels, stage.count


def _info(document: ReportDocument) -> Labels:
    known = {name: str(document.classifier[name]) for name in _INFO if document.classifier.get(name) is not None}
    if document.scenario is not None:
        known["scenario"] = document.scenario.title
    return {**known, "source": document.source.description, "version": document.run.version or ""}


def _camera(name: str | None) -> Labels:
    return {"camera": name or ""}


def _accuracy(document: ReportDocument) -> list[Sample]:
    percent = document.accuracy.top1_percent
    return [] if percent is None else [("", {}, percent / 100)]


def _ended(document: ReportDocument) -> list[Sample]:
    try:
        return [("", {}, datetime.fromisoformat(document.run.ended_at or "").timestamp())]
    except ValueError:
        return []


def _labels(labels: Labels) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return repr(value) if isinstance(value, int) else repr(float(f"{value:.12g}"))
