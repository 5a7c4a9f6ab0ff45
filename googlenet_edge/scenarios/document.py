"""A scenario's ``report.json``: the report of any run, and all about the scenario under the key ``scenario``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.latency.report import RunFacts, report_document, stage_document, stages_document
from googlenet_edge.latency.summary import NOTHING_MEASURED, LatencySummary
from googlenet_edge.scenarios.definitions import (
    ScenarioFacts,
    camera_definitions,
    offline_definitions,
    query_definitions,
)

if TYPE_CHECKING:
    from googlenet_edge.scenarios.camera import CameraResult
    from googlenet_edge.scenarios.loadgen import LoadGenResult
    from googlenet_edge.scenarios.offline import BatchResult, OfflineResult
    from googlenet_edge.scenarios.queries import QueryResult
    from googlenet_edge.scenarios.rig import WarmedUp
    from googlenet_edge.scenarios.sustained import SustainedRate, Trial

__all__ = ["begun_report", "camera_report", "loadgen_report", "offline_report", "query_report"]


def query_report(name: str, result: QueryResult, facts: ScenarioFacts) -> dict[str, object]:
    """Return the report of single-stream or multi-stream, as JSON values."""
    config, estimate = result.config, result.estimate
    percentile_ns = result.percentile_ns
    scenario = {
        **_common(name, facts, config.seed, result.warmed_up),
        "samples_per_query": config.samples_per_query,
        "queries": result.summary.count,
        "frames": result.frames,
        "frames_per_second": _rate(result.summary.fps, config.samples_per_query),
        "duration_s": _seconds(result.duration_ns),
        "min_duration_s": _seconds(config.min_duration_ns),
        "min_queries": config.least_queries,
        "minimums_met": result.ended == "minimums met",
        "percent": config.percent,
        "latency_ms": None if percentile_ns is None else _ms(percentile_ns),
        "reliable": estimate.reliable,
        "estimate": {
            "latency_ms": None if estimate.value_ns is None else _ms(estimate.value_ns),
            "confidence": estimate.confidence,
            "queries": estimate.samples,
            "min_queries": estimate.minimum_samples,
            "discarded": estimate.discarded,
        },
    }
    return _document(result.summary, facts, scenario, query_definitions(config, facts), result.ended)


def loadgen_report(name: str, driven: LoadGenResult, facts: ScenarioFacts) -> dict[str, object]:
    """Return the report of single-stream or multi-stream that LoadGen drove: ours, and LoadGen's own figures in it."""
    document = query_report(name, driven.queries, facts)
    summary = driven.summary
    said = None
    if summary is not None:
        said = {
            "valid": summary.valid,
            "queries": summary.queries,
            "percent": summary.percent,
            "latency_ms": _ms(summary.percentile_ns),
            "estimate_ms": None if summary.estimate_ns is None else _ms(summary.estimate_ns),
            "mean_ms": _ms(summary.mean_ns),
            "max_ms": _ms(summary.max_ns),
        }
    scenario = document["scenario"]
    loadgen = {"version": driven.version, "logs": None if driven.logs is None else str(driven.logs), "summary": said}
    document["scenario"] = {**(scenario if isinstance(scenario, dict) else {}), "loadgen": loadgen}
    return document


def camera_report(
    result: CameraResult, warmed_up: WarmedUp, sustained: SustainedRate | None, facts: ScenarioFacts
) -> dict[str, object]:
    """Return the report of a camera, as JSON values; ``sustained`` where it was searched for."""
    config = result.config
    scenario = {
        **_common("camera", facts, config.seed, warmed_up),
        "fps": config.fps,
        "duration_s": _seconds(result.duration_ns),
        "deadline_ms": _ms(config.deadline),
        "offered": result.offered,
        "results": result.summary.count,
        "dropped": result.dropped,
        "most_dropped_in_a_row": result.most_dropped,
        "late": result.late,
        "missed": result.missed,
        "kept_up": result.kept_up,
        "result_interval": None if result.interval is None else stage_document(result.interval),
        "peak_age": None if result.peak_age is None else stage_document(result.peak_age),
        "sustained": None if sustained is None else _sustained(sustained),
    }
    return _document(result.summary, facts, scenario, camera_definitions(config, facts), result.ended)


def offline_report(result: OfflineResult, facts: ScenarioFacts) -> dict[str, object]:
    """Return the report of offline, as JSON values. The report's own statistics are those of the best batch size."""
    best, near = result.best, result.smallest_near_best
    scenario = {
        **_common("offline", facts, result.config.seed, None if best is None else best.warmed_up),
        "best_batch": None if best is None else best.batch,
        "frames_per_second": None if best is None else _rate(best.fps, 1),
        "smallest_near_best": None if near is None else near.batch,
        "min_duration_s": _seconds(result.config.min_duration_ns),
        "min_batches": result.config.min_batches,
        "sizes": [_size(one) for one in result.sizes],
        "left_out": [{"batch": batch, "reason": reason} for batch, reason in result.left_out],
    }
    summary = NOTHING_MEASURED if best is None else best.summary
    return _document(summary, facts, scenario, offline_definitions(facts), result.ended)


def begun_report(name: str, facts: ScenarioFacts, definitions: Mapping[str, str]) -> dict[str, object]:
    """Return what the report says before anything is measured, for those who may have to make one of raw samples."""
    told = replace(facts, frames=f"{name} of {facts.frames}")
    return _document(NOTHING_MEASURED, told, None, definitions, "")


def _document(
    summary: LatencySummary,
    facts: ScenarioFacts,
    scenario: Mapping[str, object] | None,
    definitions: Mapping[str, str],
    ended: str,
) -> dict[str, object]:
    run_facts = RunFacts(
        machine=facts.machine,
        source={"description": facts.frames, "live": False, "dropped": summary.dropped, "skipped": 0},
        captured=definitions["captured"],
        classifier=facts.classifier,
        run={
            "version": facts.version,
            "ended_at": facts.ended_at,
            "ended": ended,
            "error": None,
            "frames": summary.count + summary.warmup.frames,
        },
    )
    document = report_document(summary, run_facts)
    known = document["definitions"]
    document["definitions"] = {**(known if isinstance(known, dict) else {}), **definitions}
    if scenario is not None:
        document["scenario"] = dict(scenario)
    return document


def _common(name: str, facts: ScenarioFacts, seed: int, warmed_up: WarmedUp | None) -> dict[str, object]:
    return {
        "name": name,
        "contains": facts.contains,
        "include_preprocess": facts.include_preprocess,
        "frame_set": {"description": facts.frames, "frames": facts.frame_count},
        "seed": seed,
        "warmup": None if warmed_up is None else {"steady": warmed_up.steady, "note": warmed_up.note},
    }


def _size(one: BatchResult) -> dict[str, object]:
    return {
        "batch": one.batch,
        "frames": one.frames,
        "frames_per_second": _rate(one.fps, 1),
        "duration_s": _seconds(one.duration_ns),
        "memory_mib": None if one.used_bytes is None else round(one.used_bytes / (1 << 20), 1),
        "warmup": {"batches": one.warmed_up.warmup.frames, "steady": one.warmed_up.steady, "note": one.warmed_up.note},
        "stages": stages_document(one.summary),
    }


def _sustained(sustained: SustainedRate) -> dict[str, object]:
    return {
        "fps": None if sustained.fps is None else round(sustained.fps, 3),
        "rule": sustained.config.rule,
        "percent": sustained.config.percent,
        "resolution": sustained.config.resolution,
        "ended": sustained.ended,
        "trials": [_trial(trial) for trial in sustained.trials],
    }


def _trial(trial: Trial) -> dict[str, object]:
    result = trial.result
    return {
        "fps": round(trial.fps, 3),
        "confirming": trial.confirming,
        "sustained": trial.sustained,
        "offered": result.offered,
        "dropped": result.dropped,
        "late": result.late,
        "duration_s": _seconds(result.duration_ns),
        "deadline_ms": _ms(result.config.deadline),
        "latency_ms": None if result.latency_ns is None else _ms(result.latency_ns),
    }


def _rate(per_second: float | None, times: int) -> float | None:
    return None if per_second is None else round(per_second * times, 3)


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)


def _seconds(duration_ns: int) -> float:
    return round(duration_ns / 1e9, 6)
