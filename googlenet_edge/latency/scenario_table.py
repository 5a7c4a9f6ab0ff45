"""A scenario's figures for the terminal, from its report: a headline, a table, and what each figure contains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rich.table import Table

from googlenet_edge.errors import InputError
from googlenet_edge.latency.duration_format import StageEntry
from googlenet_edge.latency.early_stopping import minimum_samples
from googlenet_edge.latency.report import ALL_FRAMES
from googlenet_edge.latency.report_file import latency_summary, stage_statistics_of
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.scenario_format import CameraScenario, OfflineScenario, QueryScenario, SustainedEntry
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX
from googlenet_edge.latency.subject import subject_of
from googlenet_edge.latency.table import latency_table
from googlenet_edge.plain import counted, escaped

__all__ = ["OFFICIAL_S", "Shown", "scenario_shown"]

OFFICIAL_S = 600
"""The minimum time of an official MLPerf run, seconds."""
LATENCY = "capture_to_emitted"

Shown = list["str | Table"]
"""Lines of plain text, which may be anything, and tables, from top to bottom."""


def scenario_shown(document: ReportDocument) -> Shown:
    """Return what to show of a scenario. Raises :class:`InputError` for the report of a run, which is of none."""
    scenario = document.scenario
    if scenario is None:
        raise InputError("report: got one of `run`, expected one of `bench --scenario`")
    if isinstance(scenario, OfflineScenario):
        return _offline(scenario, document)
    if not document.frames.measured or LATENCY not in document.latency.stages:
        return [f"{scenario.title}: {document.run.ended} before anything was measured", *_warm_up(document)]
    if isinstance(scenario, QueryScenario):
        return _queries(scenario, document)
    return _camera(scenario, document)


def _queries(scenario: QueryScenario, document: ReportDocument) -> Shown:
    estimate, mark = scenario.estimate, "" if scenario.reliable else "?"
    sure = f"{100 * estimate.confidence:g} % confidence"
    lines: Shown = [f"{scenario.title}: p{scenario.percent} of the query latency {_ms(scenario.latency_ms)}{mark} ms"]
    if estimate.latency_ms is not None:
        but = f", but for the {estimate.discarded} longest" if estimate.discarded else ""
        lines.append(
            f"with {sure} at most {_ms(estimate.latency_ms)} ms: the longest of {estimate.queries} queries{but} "
            "(early stopping, as MLPerf reports it)"
        )
    else:
        made = counted(estimate.queries, "query", "queries")
        lines.append(f"no estimate with {sure}: {made}, and it takes {estimate.min_queries}")
    fps, several = scenario.frames_per_second, scenario.samples_per_query
    rate = "" if fps is None else f", {fps:.1f} frames/s"
    asked, frames = counted(scenario.queries, "query", "queries"), f" of {several} frames" if several > 1 else ""
    lines.append(f"{asked}{frames} in {scenario.duration_s:.1f} s{rate}; {document.run.ended}")
    if scenario.duration_s < OFFICIAL_S:
        lines.append(f"no MLPerf result: official runs take {OFFICIAL_S} s or more (--min-duration {OFFICIAL_S})")
    lines += [*_table(document), *_warm_up(document)]
    if scenario.loadgen is not None:
        lines.append(_loadgen(scenario))
    return lines


def _loadgen(scenario: QueryScenario) -> str:
    driver = scenario.loadgen
    if driver is None or driver.summary is None:
        version = "" if driver is None else f" {driver.version}"
        return f"LoadGen{version} was stopped: it has no figures, and its logs were removed"
    said = driver.summary
    estimate = "none" if said.estimate_ms is None else f"{_ms(said.estimate_ms)} ms"
    return (
        f"LoadGen {driver.version} says of the same queries: p{said.percent:g} {_ms(said.latency_ms)} ms, "
        f"early-stopping estimate {estimate}, {'valid' if said.valid else 'not valid'}; its logs: {driver.logs}"
    )


def _camera(scenario: CameraScenario, document: ReportDocument) -> Shown:
    age, offered = document.latency.stages[LATENCY], scenario.offered
    lines: Shown = [
        f"camera at {scenario.fps:g} frames/s for {scenario.duration_s:.1f} s: {counted(offered, 'frame')} came, "
        f"{counted(scenario.results, 'result')}, {_share(scenario.dropped, offered)} dropped"
        + (f" (at most {scenario.most_dropped_in_a_row} in a row)" if scenario.dropped else ""),
        f"p99 of the age at result: {_percentile(age, 99)} ms",
        f"deadline {scenario.deadline_ms:.4g} ms: {_share(scenario.missed, offered)} missed"
        + (f", {scenario.late} late and {scenario.dropped} dropped" if scenario.missed else ""),
    ]
    lines += _table(document)
    lines += [f"{name} = {document.definitions.get(name, '-')}" for name in ("dropped", "late", "missed")]
    lines += _warm_up(document)
    return lines if scenario.sustained is None else [*lines, "", *_rate(scenario.sustained)]


def _rate(sustained: SustainedEntry) -> list[str]:
    rule, shown = f"sustained = {sustained.rule}", sustained.confirmed
    if shown is None:
        return [f"highest sustained rate: none ({sustained.ended})", rule]
    how = f"{sustained.found}; {len(sustained.trials)} trials"
    few = "" if shown.offered >= minimum_samples(sustained.percent) else " (? too few frames to rely on)"
    held = f"{shown.offered} frames, none dropped, p{sustained.percent} {_ms(shown.latency_ms)} ms{few}"
    return [
        f"highest sustained rate: {shown.fps:.4g} frames/s ({how})",
        f"{rule}; shown over {shown.duration_s:.0f} s: {held}, deadline {shown.deadline_ms:.4g} ms",
    ]


def _offline(scenario: OfflineScenario, document: ReportDocument) -> Shown:
    best = scenario.best
    near = next((one for one in scenario.sizes if one.batch == scenario.smallest_near_best), None)
    if best is None:
        return [f"offline: {document.run.ended} before a batch size was measured to its end"]
    share = 0.0 if near is None else 100 * near.frames_per_second / best.frames_per_second
    also = "" if near is None or near is best else f"; {near.batch} at a time has {share:.0f} % of that"
    table = Table(title="batch sizes; times of a batch in ms", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("batch", "frames/s", "p50", "p99", "max", "frames", "memory MiB", "warm-up"):
        table.add_column(heading, justify="right", no_wrap=True)
    measured = [(one, one.stages[LATENCY]) for one in scenario.sizes if LATENCY in one.stages]
    for one, latency in measured:
        table.add_row(
            f"{one.batch}{' best' if one is best else ''}",
            f"{one.frames_per_second:.1f}",
            _percentile(latency, 50),
            _percentile(latency, 99),
            _ms(latency.max_ms),
            str(one.frames),
            "-" if one.memory_mib is None else f"{one.memory_mib:.0f}",
            f"{one.warmup.batches}{'' if one.warmup.steady else ', not steady'}",
        )
    definitions = document.definitions
    lines: Shown = [f"offline: {best.frames_per_second:.1f} frames/s with {best.batch} at a time{also}", table]
    lines += [f"batch size {one.batch} left out: {one.reason}" for one in scenario.left_out]
    lines += [
        f"frames/s = {definitions.get('throughput', '-')}",
        f"p50, p99, max = {definitions.get(LATENCY, '-')}",
        f"memory = {definitions.get('memory', '-')}",
        "warm-up = batches of that size before the measured ones, one after the other, until their times were steady",
    ]
    return [*lines, *_unreliable([latency for _, latency in measured], (50, 99))]


def _table(document: ReportDocument) -> Shown:
    """Return the scenario's own durations and the device's, and a line for each."""
    stages, subject = document.all_stages, subject_of(document)
    device = [name for name in stages if name.startswith(DEVICE_STAGE_PREFIX)]
    entries = {name: stages[name] for name in (*subject.own, *device) if name in stages}
    rows = tuple(stage_statistics_of(escaped(subject.name_of(name)), entry) for name, entry in entries.items())
    own = "measured by the device's own clock, within inference"
    lines = [
        f"{subject.name_of(name)} = {own if name in device else document.definitions.get(name, '-')}"
        for name in entries
    ]
    table = latency_table(replace(latency_summary(document), stages=rows))
    said = document.latency.percentiles_from
    source = [] if said == ALL_FRAMES else [f"percentiles from {said}"]
    return [table, *lines, *_unreliable(entries.values(), (50, 90, 95, 99)), *source]


def _unreliable(stages: Iterable[StageEntry], percents: tuple[int, ...]) -> list[str]:
    found = list(stages)
    marked = [percent for percent in percents if not all(stage.reliable(percent) for stage in found)]
    if not marked:
        return []
    needed = ", ".join(f"p{percent} {minimum_samples(percent)}" for percent in marked)
    return [f"? = from too few samples to rely on; at 99 % confidence it takes: {needed}"]


def _warm_up(document: ReportDocument) -> list[str]:
    warmup, scenario = document.warmup, document.scenario
    if scenario is None or scenario.warmup is None:
        return []
    took = f"{warmup.frames} queries in {warmup.duration_ms / 1e3:.2f} s, the first in {_ms(warmup.first_frame_ms)} ms"
    return [f"warm-up, not measured: {took}; {scenario.warmup.note}"]


def _percentile(stage: StageEntry, percent: int) -> str:
    return _ms(stage.percentile_ms(percent)) + ("" if stage.reliable(percent) else "?")


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f} %)" if part else "0"


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.2f}"
