"""A scenario's figures for the terminal: a headline, a table, and under it what each figure contains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.table import Table

from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX
from googlenet_edge.latency.summary import LatencySummary, StageStatistics, minimum_samples
from googlenet_edge.latency.table import latency_table
from googlenet_edge.scenarios.queries import OFFICIAL_NS

if TYPE_CHECKING:
    from googlenet_edge.scenarios.camera import CameraResult
    from googlenet_edge.scenarios.loadgen import LoadGenResult
    from googlenet_edge.scenarios.offline import OfflineResult
    from googlenet_edge.scenarios.queries import QueryResult
    from googlenet_edge.scenarios.rig import WarmedUp
    from googlenet_edge.scenarios.sustained import SustainedRate

__all__ = ["Shown", "camera_shown", "loadgen_shown", "offline_shown", "query_shown"]

Shown = list["str | Table"]
"""Lines and tables, from top to bottom."""


def query_shown(name: str, result: QueryResult, definitions: Mapping[str, str]) -> Shown:
    """Return what to show of single-stream or multi-stream."""
    config, summary, estimate = result.config, result.summary, result.estimate
    percentile_ns = result.percentile_ns
    if percentile_ns is None:
        return [f"{name}: {result.ended} before anything was measured", *_warm_up(result.warmed_up)]
    mark = "" if estimate.reliable else "?"
    lines: Shown = [f"{name}: p{config.percent} of the query latency {_ms(percentile_ns)}{mark} ms"]
    if estimate.value_ns is not None:
        but = f", but for the {estimate.discarded} longest" if estimate.discarded else ""
        lines.append(
            f"with {100 * estimate.confidence:g} % confidence at most {_ms(estimate.value_ns)} ms: the longest of "
            f"{estimate.samples} queries{but} (early stopping, as MLPerf reports it)"
        )
    else:
        lines.append(
            f"no estimate with {100 * estimate.confidence:g} % confidence: {estimate.samples} queries, and it takes "
            f"{estimate.minimum_samples}"
        )
    rate = "" if summary.fps is None else f", {summary.fps * config.samples_per_query:.1f} frames/s"
    frames = f" of {config.samples_per_query} frames" if config.samples_per_query > 1 else ""
    lines.append(f"{summary.count} queries{frames} in {result.duration_ns / 1e9:.1f} s{rate}; {result.ended}")
    if result.duration_ns < OFFICIAL_NS:
        lines.append(f"no MLPerf result: official runs take {OFFICIAL_NS / 1e9:g} s or more (--min-duration 600)")
    titles = {"capture_to_emitted": "query latency", "preprocess": "", "inference": "", "emit": "labels"}
    return [*lines, *_table(summary, titles, (), definitions), *_warm_up(result.warmed_up)]


def loadgen_shown(name: str, driven: LoadGenResult, definitions: Mapping[str, str]) -> Shown:
    """Return what to show of single-stream or multi-stream that LoadGen drove."""
    summary = driven.summary
    if summary is None:
        said = f"LoadGen {driven.version} was stopped: it has no figures, and its logs were removed"
    else:
        estimate = "none" if summary.estimate_ns is None else f"{_ms(summary.estimate_ns)} ms"
        said = (
            f"LoadGen {driven.version} says of the same queries: p{summary.percent:g} {_ms(summary.percentile_ns)} ms, "
            f"early-stopping estimate {estimate}, {'valid' if summary.valid else 'not valid'}; its logs: {driven.logs}"
        )
    return [*query_shown(name, driven.queries, definitions), said]


def camera_shown(
    result: CameraResult, warmed_up: WarmedUp, sustained: SustainedRate | None, definitions: Mapping[str, str]
) -> Shown:
    """Return what to show of a camera."""
    config, offered = result.config, result.offered
    if not result.summary.count:
        return [f"camera: {result.ended} before anything was measured", *_warm_up(warmed_up)]
    lines: Shown = [
        f"camera at {config.fps:g} frames/s for {result.duration_ns / 1e9:.1f} s: {offered} frames came, "
        f"{result.summary.count} results, {_share(result.dropped, offered)} dropped"
        + (f" (at most {result.most_dropped} in a row)" if result.dropped else ""),
        f"p{config.percent} of the age at result: {_ms(result.latency_ns or 0)}"
        + ("" if result.summary.count >= minimum_samples(config.percent) else "?")
        + " ms",
        f"deadline {config.deadline / 1e6:.4g} ms: {_share(result.missed, offered)} missed"
        + (f", {result.late} late and {result.dropped} dropped" if result.missed else ""),
    ]
    titles = {
        "capture_to_emitted": "age at result",
        "queue": "",
        "preprocess": "",
        "inference": "",
        "emit": "labels",
        "result_interval": "result interval",
        "peak_age": "peak age",
    }
    more = [stage for stage in (result.interval, result.peak_age) if stage is not None]
    lines += _table(result.summary, titles, more, definitions)
    lines += [f"{name} = {definitions[name]}" for name in ("dropped", "late", "missed")]
    lines += _warm_up(warmed_up)
    return lines if sustained is None else [*lines, "", *_rate_lines(sustained)]


def offline_shown(result: OfflineResult, definitions: Mapping[str, str]) -> Shown:
    """Return what to show of offline."""
    best, near = result.best, result.smallest_near_best
    if best is None or near is None:
        return [f"offline: {result.ended} before anything was measured"]
    also = "" if near is best else f"; {near.batch} at a time has {100 * near.fps / best.fps:.0f} % of that"
    table = Table(title="batch sizes; times of a batch in ms", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("batch", "frames/s", "p50", "p99", "max", "frames", "memory MiB", "warm-up"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in result.sizes:
        latency = one.summary.stage("capture_to_emitted")
        table.add_row(
            f"{one.batch}{' best' if one is best else ''}",
            f"{one.fps:.1f}",
            _percentile(latency, 50),
            _percentile(latency, 99),
            _ms(latency.maximum.duration_ns),
            str(one.frames),
            "-" if one.used_bytes is None else str(one.used_bytes >> 20),
            f"{one.warmed_up.warmup.frames}{'' if one.warmed_up.steady else ', not steady'}",
        )
    lines: Shown = [f"offline: {best.fps:.1f} frames/s with {best.batch} at a time{also}", table]
    lines += [f"batch size {batch} left out: {reason}" for batch, reason in result.left_out]
    lines += [
        f"frames/s = {definitions['throughput']}",
        f"p50, p99, max = {definitions['capture_to_emitted']}",
        f"memory = {definitions['memory']}",
        "warm-up = batches of that size before the measured ones, one after the other, until their times were steady",
    ]
    return [*lines, *_unreliable([one.summary.stage("capture_to_emitted") for one in result.sizes], (50, 99))]


def _table(
    summary: LatencySummary, titles: Mapping[str, str], more: Iterable[StageStatistics], definitions: Mapping[str, str]
) -> Shown:
    """Return the stages of ``titles`` (name to title, "" for the name itself) and the device's, and a line for each."""
    found = {stage.name: stage for stage in (*summary.stages, *more)}
    device = [name for name in found if name.startswith(DEVICE_STAGE_PREFIX)]
    shown: list[StageStatistics] = []
    lines: Shown = []
    for name in [name for name in titles if name in found] + device:
        title = titles.get(name) or name
        shown.append(replace(found[name], name=title))
        text = "measured by the device's own clock, within inference" if name in device else definitions.get(name)
        lines.append(f"{title} = {text}")
    return [latency_table(replace(summary, stages=tuple(shown))), *lines, *_unreliable(shown, (50, 90, 95, 99))]


def _unreliable(stages: Iterable[StageStatistics], percents: tuple[int, ...]) -> list[str]:
    marked = {p.percent for stage in stages for p in stage.percentiles if not p.reliable} & set(percents)
    if not marked:
        return []
    needed = ", ".join(f"p{percent} {minimum_samples(percent)}" for percent in sorted(marked))
    return [f"? = from too few samples to rely on; at 99 % confidence it takes: {needed}"]


def _warm_up(warmed_up: WarmedUp) -> list[str]:
    warmup = warmed_up.warmup
    took = f"{warmup.frames} queries in {warmup.duration_ns / 1e9:.2f} s, the first in {_ms(warmup.first_frame_ns)} ms"
    return [f"warm-up, not measured: {took}; {warmed_up.note}"]


def _rate_lines(sustained: SustainedRate) -> list[str]:
    rule = f"sustained = {sustained.config.rule}"
    confirmed = sustained.confirmed
    if confirmed is None:
        return [f"highest sustained rate: none ({sustained.ended})", rule]
    result = confirmed.result
    how = f"to {100 * sustained.config.resolution:g} %; {sustained.ended}; {len(sustained.trials)} trials"
    few = "" if result.offered >= minimum_samples(result.config.percent) else " (? too few frames to rely on)"
    shown = (
        f"{result.duration_ns / 1e9:.0f} s: {confirmed.finding}{few}, deadline {result.config.deadline / 1e6:.4g} ms"
    )
    return [f"highest sustained rate: {confirmed.fps:.4g} frames/s ({how})", f"{rule}; shown over {shown}"]


def _percentile(stage: StageStatistics, percent: int) -> str:
    percentile = stage.percentile(percent)
    return _ms(percentile.duration_ns) + ("" if percentile.reliable else "?")


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.1f} %)" if part else "0"


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:.2f}"
