"""What the report says of a benchmark scenario, as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from googlenet_edge.latency.prometheus_machine import Gauge
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.scenario_format import CameraScenario, OfflineScenario, QueryScenario

__all__ = ["scenario_gauges"]


def scenario_gauges(document: ReportDocument) -> Iterator[Gauge]:
    """Return the gauges in base units: seconds, frames, frames per second."""
    scenario = document.scenario
    if isinstance(scenario, QueryScenario):
        yield from _queries(scenario)
    elif isinstance(scenario, OfflineScenario):
        yield (
            "batch_frames_per_second",
            "Throughput of a batch size in the last run.",
            [("", {"batch": str(one.batch)}, one.frames_per_second) for one in scenario.sizes],
        )
        best = scenario.best_batch
        yield (
            "best_batch_frames",
            "Batch size with the highest throughput.",
            [] if best is None else [("", {}, float(best))],
        )
    elif isinstance(scenario, CameraScenario):
        yield from _camera(scenario)


def _queries(scenario: QueryScenario) -> Iterator[Gauge]:
    quantile = f"{scenario.percent / 100:g}"
    value, most = scenario.latency_ms, scenario.estimate.latency_ms
    yield (
        "query_latency_seconds",
        "The percentile of the query latency that is the figure of the scenario.",
        [] if value is None else [("", {"quantile": quantile}, value / 1e3)],
    )
    labels = {"quantile": quantile, "confidence": f"{scenario.estimate.confidence:g}"}
    yield (
        "query_latency_bound_seconds",
        "What it is at most, with that confidence: the early-stopping estimate of MLPerf Inference.",
        [] if most is None else [("", labels, most / 1e3)],
    )


def _camera(scenario: CameraScenario) -> Iterator[Gauge]:
    yield ("deadline_seconds", "Later than this after its arrival a result is late.",
           [("", {}, scenario.deadline_ms / 1e3)])  # fmt: skip
    yield "frames_offered", "Frames that arrived.", [("", {}, float(scenario.offered))]
    yield "frames_late", "Results that were out after the deadline.", [("", {}, float(scenario.late))]
    yield (
        "frames_missed",
        "Frames without a result by the deadline: late and dropped.",
        [("", {}, float(scenario.missed))],
    )
    found = None if scenario.sustained is None else scenario.sustained.fps
    yield (
        "sustained_frames_per_second",
        "The highest rate of frames that the machine sustains.",
        [] if found is None else [("", {}, found)],
    )
