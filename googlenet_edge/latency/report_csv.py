"""The report as CSV: one line a figure, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from googlenet_edge.atomic import atomic_file
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.scenario_format import CameraScenario, OfflineScenario, QueryScenario
from googlenet_edge.latency.summary import PERCENTILES

__all__ = ["COLUMNS", "report_csv", "write_csv"]

COLUMNS = ("camera", "stage", "statistic", "value", "unit", "reliable", "count")
"""``camera`` is empty for the whole run, ``reliable`` for what is no percentile; ``count``: what it rests on."""

_Line: TypeAlias = "tuple[str, str, str, str, str, str, int]"


def report_csv(document: ReportDocument) -> str:
    """Return the text: a heading, the stages of the whole run, those of each camera of several, counts and rates.

    Statistics of a stage are p50, p90, p95, p99, max and mean, in milliseconds as ``report.json`` has them. A scenario
    adds its own figures, each under the name that it has in ``report.json``.
    """
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(_stages("", document.all_stages))
    if len(document.cameras) > 1:
        for camera in document.cameras:
            lines.writerows(_stages(camera.name or "", camera.stages))
            lines.writerows(_counts(camera.name or "", camera.measured, camera.dropped, camera.frames))
    if document.scenario is None:
        frames = document.frames
        lines.writerows(_counts("", frames.measured, frames.dropped, frames.measured + frames.warmup))
    lines.writerows(_scenario(document))
    return text.getvalue()


def write_csv(path: Path, document: ReportDocument) -> None:
    """Write the text as UTF-8, whole or not at all. Raises :class:`OutputError`."""
    data = report_csv(document).encode("utf-8", "replace")
    with atomic_file(path, what="CSV file") as file:
        file.write(data)


def _stages(camera: str, stages: Mapping[str, StageEntry]) -> Iterator[_Line]:
    for name, stage in stages.items():
        for percent in PERCENTILES:
            value = stage.percentile_ms(percent)
            if value is not None:
                yield camera, name, f"p{percent}", repr(value), "ms", _yes(stage.reliable(percent)), stage.count
        yield camera, name, "max", repr(stage.max_ms), "ms", "", stage.count
        yield camera, name, "mean", repr(stage.mean_ms), "ms", "", stage.count


def _counts(camera: str, measured: int, dropped: int, results: int) -> Iterator[_Line]:
    """Return how many frames were measured and dropped, of all that came in the run, its warm-up included."""
    for statistic, value in (("measured", measured), ("dropped", dropped)):
        yield camera, "", statistic, repr(value), "frames", "", results + dropped


def _scenario(document: ReportDocument) -> Iterator[_Line]:
    scenario, rate = document.scenario, document.frames_per_second
    name = "" if scenario is None else scenario.title
    if rate is not None:
        yield "", name, "frames_per_second", repr(rate), "frames/s", "", document.frames.measured
    if isinstance(scenario, QueryScenario):
        value, estimate = scenario.latency_ms, scenario.estimate
        if value is not None:
            yield "", name, "latency_ms", repr(value), "ms", _yes(scenario.reliable), scenario.queries
        if estimate.latency_ms is not None:
            yield "", name, "estimate", repr(estimate.latency_ms), "ms", _yes(True), estimate.queries
    if isinstance(scenario, OfflineScenario):
        for one in scenario.sizes:
            yield "", f"batch {one.batch}", "frames_per_second", repr(one.frames_per_second), "frames/s", "", one.frames
    if isinstance(scenario, CameraScenario):
        for key in ("results", "dropped", "late", "missed"):
            yield "", name, key, repr(getattr(scenario, key)), "frames", "", scenario.offered
        if scenario.sustained is not None and scenario.sustained.fps is not None:
            shown = scenario.sustained.confirmed
            frames = 0 if shown is None else shown.offered
            yield "", name, "sustained", repr(scenario.sustained.fps), "frames/s", "", frames


def _yes(reliable: bool) -> str:  # noqa: FBT001
    return "true" if reliable else "false"
