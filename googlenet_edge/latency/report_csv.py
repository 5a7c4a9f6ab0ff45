"""The report as CSV: one line a figure, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from googlenet_edge.atomic import atomic_file
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.summary import PERCENTILES

__all__ = ["COLUMNS", "report_csv", "write_csv"]

COLUMNS = ("camera", "stage", "statistic", "value_ms", "reliable", "count")
"""``camera`` is empty for the whole run; ``reliable`` is empty where it is no percentile; ``count``: frames."""


def report_csv(document: ReportDocument) -> str:
    """Return the text: a heading, the stages of the whole run, then, of a run of several, those of each camera.

    Statistics are p50, p90, p95, p99, max and mean, in milliseconds as ``report.json`` has them.
    """
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(_lines("", document.latency.stages))
    if len(document.cameras) > 1:
        for camera in document.cameras:
            lines.writerows(_lines(camera.name or "", camera.stages))
    return text.getvalue()


def write_csv(path: Path, document: ReportDocument) -> None:
    """Write the text as UTF-8, whole or not at all. Raises :class:`OutputError`."""
    data = report_csv(document).encode("utf-8", "replace")
    with atomic_file(path, what="CSV file") as file:
        file.write(data)


def _lines(camera: str, stages: Mapping[str, StageEntry]) -> Iterator[tuple[str, str, str, str, str, int]]:
    for name, stage in stages.items():
        for percent in PERCENTILES:
            value = stage.percentile_ms(percent)
            if value is not None:
                reliable = "true" if stage.reliable(percent) else "false"
                yield camera, name, f"p{percent}", repr(value), reliable, stage.count
        yield camera, name, "max", repr(stage.max_ms), "", stage.count
        yield camera, name, "mean", repr(stage.mean_ms), "", stage.count
