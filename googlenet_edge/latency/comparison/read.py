"""A report and its raw samples as the figures that are compared.

Of a benchmark scenario these are its own: frames a second count frames, also where a query or a batch has several;
offline has the throughput of each batch size; a camera has the time between results, how old the newest result became,
and the highest rate that the machine sustains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import FPS, SUSTAINED, Figure, batch_rate
from googlenet_edge.latency.duration_format import StageEntry
from googlenet_edge.latency.report_file import Report, read_report, sample_files
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.sample_format import MISSING
from googlenet_edge.latency.scenario_format import CameraScenario, OfflineScenario, QueryScenario
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, POSTPROCESS, STAGES, WAIT
from googlenet_edge.latency.summary import PERCENTILES

if TYPE_CHECKING:
    from googlenet_edge.latency.watch.state import MachineState

__all__ = ["Run", "read_run"]

_INTERVAL, _PEAK_AGE = "result_interval", "peak_age"
Columns = Mapping[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Run:
    """A report, and the raw samples where there are any."""

    report: Report
    values: Mapping[Figure, float]
    """Each figure as the report has it: nanoseconds, or frames per second."""
    samples_ns: Mapping[Figure, npt.NDArray[np.int64]]
    """Per figure, in the order of emission: durations, or for a rate the time per frame, from one result to the next
    (the first is filled up with their mean); int64 (N,), N alike for all. Empty without samples."""
    lacking: str | None
    """Why there are no samples, None where there are."""

    @property
    def path(self) -> Path:
        """Of the report."""
        return self.report.path

    @property
    def document(self) -> ReportDocument:
        """What is in the report."""
        return self.report.document

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section of the report as it is in the file, JSON values; empty where there is none."""
        found = self.report.raw.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def state(self) -> MachineState | None:
        """The machine before the run; None where the report does not say, or not as this version does."""
        from googlenet_edge.latency.watch.state import MachineState

        entry = self.document.state
        try:
            return None if entry is None else MachineState.from_dict(entry.before)
        except InputError:
            return None

    @property
    def durations(self) -> Mapping[str, StageEntry]:
        """All durations of the report by name: its stages, and what else its scenario has."""
        return self.document.all_stages

    def reliable(self, figure: Figure) -> bool:
        """Whether the report calls it so."""
        return figure.percent is None or self.durations[figure.stage].reliable(figure.percent)


def read_run(path: Path) -> Run:
    """Read a report and its samples.

    Raises :class:`InputError` as :func:`~googlenet_edge.latency.report_file.read_report` does, and for a report without
    a measured frame.
    """
    report = read_report(path)
    document = report.document
    if document.frames.measured < 1 or not document.latency.stages:
        raise InputError(
            f"{path}: got a report without a measured frame, expected some; measure longer than the warm-up"
        )
    values = _values(document)
    if not report.kept:
        names = ", ".join(file.name for file in sample_files(path, document))
        return Run(report, values, {}, f"{path}: no raw samples beside it ({names})")
    columns = _merged(report)
    rate = _rate_figure(document)
    samples = {
        figure: taken
        for figure in values
        if (taken := _samples(figure, columns, rate, _frames_each(document))) is not None
    }
    if not report.complete:  # there are gaps, and no interval between two frames is known
        samples = {figure: taken for figure, taken in samples.items() if not _between_results(figure)}
    return Run(report, values, samples, None)


def _values(document: ReportDocument) -> dict[Figure, float]:
    values = {
        Figure(name, percent): value * 1e6
        for name, entry in document.all_stages.items()
        for percent in PERCENTILES
        if (value := entry.percentile_ms(percent)) is not None
    }
    scenario = document.scenario
    if isinstance(scenario, OfflineScenario):
        return {**values, **{batch_rate(one.batch): one.frames_per_second for one in scenario.sizes}}
    if document.frames_per_second is not None:
        values[FPS] = document.frames_per_second
    if isinstance(scenario, CameraScenario) and scenario.sustained is not None and scenario.sustained.fps is not None:
        values[SUSTAINED] = scenario.sustained.fps
    return values


def _rate_figure(document: ReportDocument) -> Figure:
    """Return which rate the raw samples are of."""
    scenario = document.scenario
    best = scenario.best_batch if isinstance(scenario, OfflineScenario) else None
    return FPS if best is None else batch_rate(best)


def _frames_each(document: ReportDocument) -> int:
    """Return how many frames each raw sample stands for."""
    scenario = document.scenario
    if isinstance(scenario, QueryScenario):
        return scenario.samples_per_query
    return scenario.best_batch or 1 if isinstance(scenario, OfflineScenario) else 1


def _merged(report: Report) -> Columns:
    """Put the frames of several cameras into one row, in the order of emission; keep the columns that all have."""
    parts = [{name: each.samples.rows[:, i] for i, name in enumerate(each.samples.columns)} for each in report.samples]
    names = [name for name in parts[0] if all(name in part for part in parts)]
    order = np.argsort(np.concatenate([part["emitted_ns"] for part in parts]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in names}


def _between_results(figure: Figure) -> bool:
    return figure.percent is None or figure.stage in (_INTERVAL, _PEAK_AGE)


def _samples(figure: Figure, columns: Columns, rate: Figure, frames_each: int) -> npt.NDArray[np.int64] | None:
    """Return the samples of a figure, None where there are none, or not of every frame."""
    if _between_results(figure):
        if figure not in (rate, *(Figure(name, figure.percent) for name in (_INTERVAL, _PEAK_AGE))):
            return None
        since = columns["captured_ns" if figure.stage == _PEAK_AGE else "emitted_ns"]
        spans = columns["emitted_ns"][1:] - since[:-1]
        if not len(spans):
            return None
        if figure == rate:
            spans = np.rint(spans / frames_each).astype(np.int64)
            return np.concatenate([[round(spans.mean())], spans])
        return np.concatenate([np.sort(spans)[[(len(spans) - 1) // 2]], spans])
    if figure.stage == WAIT:
        return None
    if figure.stage == POSTPROCESS or figure.stage.startswith(DEVICE_STAGE_PREFIX):
        apart = columns.get(f"{figure.stage}_ns")
        return None if apart is None or (apart == MISSING).any() else apart
    for stage in STAGES:
        if stage.name == figure.stage:
            return columns[stage.end] - columns[stage.start]
    return None
