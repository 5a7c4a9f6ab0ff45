"""What a benchmark scenario asked, and what it found, beyond the latencies that any report has."""

from __future__ import annotations

from collections.abc import Iterator

from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.throughput import throughput
from googlenet_edge.latency.page.trials import trials
from googlenet_edge.latency.page.words import count, milliseconds, share
from googlenet_edge.latency.report_format import ReportDocument, StageEntry, WarmUpEntry
from googlenet_edge.latency.scenario_format import (
    AnyScenario,
    CameraScenario,
    LoadGenEntry,
    OfflineScenario,
    QueryScenario,
)
from googlenet_edge.latency.scenario_table import OFFICIAL_S
from googlenet_edge.latency.summary import PERCENTILES

__all__ = ["scenario_parts", "scenario_title"]

_TITLES = {
    "single-stream": "Single-stream: one frame after the other",
    "multi-stream": "Multi-stream: queries of several frames",
    "offline": "Offline: throughput by batch size",
    "camera": "Camera: does it keep up?",
}


def scenario_title(scenario: AnyScenario) -> str:
    """Return the heading."""
    return _TITLES[scenario.title]


def scenario_parts(document: ReportDocument) -> list[Html | None]:
    """Return what belongs under the heading; nothing for a run."""
    scenario = document.scenario
    if scenario is None:
        return []
    if isinstance(scenario, OfflineScenario):
        plot, facts = throughput(scenario), _offline(scenario)
    elif isinstance(scenario, CameraScenario):
        plot = None if scenario.sustained is None else trials(scenario.sustained)
        facts = _camera(scenario)
    else:
        plot, facts = None, _queries(scenario)
    pairs = [*facts, *_common(scenario, document.warmup)]
    parts: list[Html | None] = [_list(pairs)]
    if isinstance(scenario, CameraScenario):
        parts.append(_between(scenario))
        if plot is not None:
            parts.append(element("h3", "Highest sustained rate"))
    if isinstance(scenario, QueryScenario) and scenario.loadgen is not None:
        parts.append(_loadgen(scenario, scenario.loadgen))
    return [plot, *parts] if isinstance(scenario, OfflineScenario) else [*parts, plot]


def _queries(scenario: QueryScenario) -> Iterator[tuple[str, str]]:
    several = scenario.samples_per_query
    each = "one frame" if several == 1 else f"{several} frames, done when all of them are"
    yield "query", f"{each}; the next begins as soon as the one before is done, as MLPerf Inference defines it"
    met = "both met" if scenario.minimums_met else "not met"
    yield "minimums", f"{scenario.min_duration_s:g} s and {count(scenario.min_queries)} queries: {met}"
    estimate = scenario.estimate
    sure = f"{100 * estimate.confidence:g} % confidence"
    if estimate.latency_ms is None:
        text = f"none with {sure}: {count(estimate.queries)} queries, and it takes {count(estimate.min_queries)}"
    else:
        but = f" but for {count(estimate.discarded)}" if estimate.discarded else ""
        text = (
            f"with {sure} the true p{scenario.percent} is at most {milliseconds(estimate.latency_ms)} ms: the longest "
            f"of {count(estimate.queries)} queries{but}; holds for queries that do not depend on each other"
        )
    yield "early-stopping estimate", text
    if scenario.duration_s < OFFICIAL_S:
        yield "MLPerf", f"no MLPerf result: official runs take {OFFICIAL_S} s or more, and are reviewed"


def _offline(scenario: OfflineScenario) -> Iterator[tuple[str, str]]:
    yield "each size", f"measured for {scenario.min_duration_s:g} s and {count(scenario.min_batches)} batches at least"
    best, near = scenario.best, scenario.smallest_near_best
    if best is not None and near not in (None, best.batch):
        yield "smallest as good", f"batches of {near} have 98 % of the best throughput or more"


def _camera(scenario: CameraScenario) -> Iterator[tuple[str, str]]:
    offered, deadline = scenario.offered, milliseconds(scenario.deadline_ms)
    came = f"{count(offered)} came at {scenario.fps:g} frames/s for {scenario.duration_s:.1f} s"
    yield "frames", f"{came}, whether or not the machine kept up; {count(scenario.results)} results"
    row = f", at most {count(scenario.most_dropped_in_a_row)} in a row" if scenario.dropped else ""
    yield "dropped", f"{count(scenario.dropped)} ({share(scenario.dropped, offered)}){row}: gave way to newer ones"
    yield "late", f"{count(scenario.late)} results were out later than {deadline} ms after arrival"
    yield "missed", f"{count(scenario.missed)} ({share(scenario.missed, offered)}): late + dropped"
    yield "kept up", "yes" if scenario.kept_up else "no"


def _common(scenario: AnyScenario, warmup: WarmUpEntry) -> Iterator[tuple[str, str]]:
    if scenario.warmup is not None:
        what = "batches" if isinstance(scenario, OfflineScenario) else "queries"
        took = f"{count(warmup.frames)} {what} in {warmup.duration_ms / 1e3:.2f} s"
        first = f"the first in {milliseconds(warmup.first_frame_ms)} ms"
        yield "warm-up, in no figure", f"{took}, {first}; {scenario.warmup.note}"
    yield "latency contains", scenario.contains
    frames = scenario.frame_set
    yield "worked on", f"{frames.description}; drawn with seed {scenario.seed}"


def _between(scenario: CameraScenario) -> Html | None:
    entries = (("result interval", scenario.result_interval), ("peak age", scenario.peak_age))
    rows = [(name, *_percentiles(entry)) for name, entry in entries if entry is not None]
    headings = ["ms", *(f"p{percent}" for percent in PERCENTILES), "max", "mean"]
    return table(headings, rows, caption="Between results") if rows else None


def _percentiles(entry: StageEntry) -> list[str]:
    cells = [milliseconds(entry.percentile_ms(p)) + ("" if entry.reliable(p) else "\u202f?") for p in PERCENTILES]
    return [*cells, milliseconds(entry.max_ms), milliseconds(entry.mean_ms)]


def _loadgen(scenario: QueryScenario, driver: LoadGenEntry) -> Html:
    said = driver.summary
    if said is None:
        return element("p", f"MLPerf LoadGen {driver.version} was stopped: it has no figures.")
    estimate = scenario.estimate.latency_ms
    rows = [
        (f"p{scenario.percent}, ms", milliseconds(scenario.latency_ms), milliseconds(said.latency_ms)),
        ("early-stopping estimate, ms", milliseconds(estimate), milliseconds(said.estimate_ms)),
        ("queries", count(scenario.queries), count(said.queries)),
    ]
    verdict = "valid" if said.valid else "not valid"
    caption = f"Driven by MLPerf LoadGen {driver.version}, which calls the run {verdict}. Its logs: {driver.logs}"
    return table(["the same queries", "this report", "LoadGen"], rows, caption=caption)


def _list(pairs: list[tuple[str, str]]) -> Html:
    items = [joined([element("dt", name), element("dd", text)]) for name, text in pairs]
    return element("dl", *items, class_="definitions")
