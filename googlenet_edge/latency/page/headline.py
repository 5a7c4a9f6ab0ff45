"""The figures that one looks for first, as tiles: those of a run, or of its scenario."""

from __future__ import annotations

from googlenet_edge.latency.page.markup import Html, element
from googlenet_edge.latency.page.words import count, milliseconds, quantity, share
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.scenario_format import CameraScenario, OfflineScenario, QueryScenario
from googlenet_edge.latency.subject import subject_of
from googlenet_edge.latency.summary import minimum_samples

__all__ = ["headline"]

_AGE = "capture_to_emitted"


def headline(document: ReportDocument) -> Html:
    """Return the tiles."""
    scenario = document.scenario
    if isinstance(scenario, QueryScenario):
        tiles = _queries(scenario, document)
    elif isinstance(scenario, OfflineScenario):
        tiles = _offline(scenario, document)
    elif isinstance(scenario, CameraScenario):
        tiles = _camera(scenario, document)
    else:
        tiles = _run(document)
    return element("dl", *tiles, *_energy(document), *_accuracy(document), class_="tiles")


def _run(document: ReportDocument) -> list[Html]:
    frames, stages = document.frames, document.latency.stages
    main, age = stages.get(subject_of(document).stage), stages.get(_AGE)
    tiles = [] if main is None else [_median(main, "capture to result"), _p99(main, "frames"), _slowest(main, "frame")]
    rate = "-" if frames.fps is None else f"{frames.fps:.1f}"
    tiles.append(_tile("frame rate", rate, "frames/s", f"{count(frames.measured)} frames measured", key="fps"))
    offered = frames.measured + frames.warmup + frames.dropped
    tiles.append(
        _tile("dropped", count(frames.dropped), "", f"{share(frames.dropped, offered)} of the frames", key="dropped")
    )
    if age is not None:
        note = f"p99, until all sinks had it; median {milliseconds(age.p50_ms)}"
        tiles.append(_tile("frame age", milliseconds(age.p99_ms), "ms", note, key="age"))
    return tiles


def _queries(scenario: QueryScenario, document: ReportDocument) -> list[Html]:
    estimate, main = scenario.estimate, document.latency.stages.get(_AGE)
    few = "" if scenario.reliable else f", not reliable: needs {estimate.min_queries}"
    bound = f"{100 * estimate.confidence:g} % sure"
    if estimate.latency_ms is None:
        note = f"no early-stopping estimate: {count(estimate.queries)} queries, needs {estimate.min_queries}"
    else:
        but = f" but for the {estimate.discarded} longest" if estimate.discarded else ""
        note = f"early-stopping estimate: longest of {count(estimate.queries)}{but}"
    tiles = [
        _tile(
            f"p{scenario.percent} of the query latency",
            milliseconds(scenario.latency_ms),
            "ms",
            f"of {count(scenario.queries)} queries{few}",
            key="figure",
        ),
        _tile(f"p{scenario.percent} at most, {bound}", milliseconds(estimate.latency_ms), "ms", note, key="estimate"),
    ]
    if main is not None:
        tiles += [_median(main, "query latency"), _slowest(main, "query")]
    rate = "-" if scenario.frames_per_second is None else f"{scenario.frames_per_second:.1f}"
    note = f"{count(scenario.frames)} frames in {scenario.duration_s:.1f} s"
    return [*tiles, _tile("rate", rate, "frames/s", note, key="rate")]


def _offline(scenario: OfflineScenario, document: ReportDocument) -> list[Html]:
    best, main = scenario.best, document.latency.stages.get(_AGE)
    if best is None:
        return []
    note = f"in batches of {best.batch}, {count(best.frames)} frames in {best.duration_s:.1f} s"
    tiles = [
        _tile("best throughput", f"{best.frames_per_second:.1f}", "frames/s", note, key="throughput"),
        _tile(
            "best batch size", str(best.batch), _frames(best.batch), f"of {len(scenario.sizes)} measured", key="batch"
        ),
    ]
    near = scenario.smallest_near_best
    if near is not None and near != best.batch:
        note = "98 % of the best throughput or more, with less wait and memory"
        tiles.append(_tile("smallest as good", str(near), _frames(near), note, key="near"))
    if main is not None:
        tiles += [_median(main, f"a batch of {best.batch}"), _p99(main, "batches")]
    return tiles


def _camera(scenario: CameraScenario, document: ReportDocument) -> list[Html]:
    age, offered, peak = document.latency.stages.get(_AGE), scenario.offered, scenario.peak_age
    note = f"{share(scenario.missed, offered)} of {count(offered)}: {count(scenario.late)} late, "
    note += f"{count(scenario.dropped)} dropped; deadline {milliseconds(scenario.deadline_ms)} ms"
    tiles = [_tile("missed", count(scenario.missed), "frames", note, key="missed")]
    if age is not None:
        few = "" if age.reliable(99) else f"; not reliable: needs {minimum_samples(99)} frames"
        note = f"p99; median {milliseconds(age.p50_ms)}{few}"
        tiles.append(_tile("age at result", milliseconds(age.p99_ms), "ms", note, key="age"))
    if peak is not None:
        note = f"of the newest result, just before the next; median {milliseconds(peak.p50_ms)}"
        tiles.append(_tile("age at most", milliseconds(peak.max_ms), "ms", note, key="peak"))
    if scenario.sustained is not None:
        found = scenario.sustained.fps
        title, value = "highest sustained rate", "none" if found is None else f"{found:.4g}"
        note = scenario.sustained.ended if found is None else "none dropped, and p99 in time"
        tiles.append(_tile(title, value, "" if found is None else "frames/s", note, key="sustained"))
    rate = f"{scenario.fps:g}"
    return [*tiles, _tile("frames came", rate, "frames/s", f"for {scenario.duration_s:.1f} s", key="offered")]


def _frames(number: int) -> str:
    return "frame" if number == 1 else "frames"


def _energy(document: ReportDocument) -> list[Html]:
    energy = document.energy
    if energy is None or energy.joules_per_frame is None:
        return []
    note = f"{quantity(energy.watts)} W, of {', '.join(energy.included)}"
    return [_tile("energy", quantity(energy.joules_per_frame), "J/frame", note, key="energy")]


def _accuracy(document: ReportDocument) -> list[Html]:
    accuracy = document.accuracy
    if accuracy.top1_percent is None:
        return []
    note = f"{count(accuracy.correct)} of {count(accuracy.frames_with_truth)} frames"
    return [_tile("top-1 accuracy", f"{accuracy.top1_percent:.1f}", "%", note, key="accuracy")]


def _median(stage: StageEntry, of: str) -> Html:
    return _tile("median", milliseconds(stage.p50_ms), "ms", of, key="p50")


def _p99(stage: StageEntry, many: str) -> Html:
    if stage.p99_ms is None:
        note = "no samples"
    elif stage.reliable(99):
        note = f"p99, from {count(stage.count)} {many}"
    else:
        note = f"p99, not reliable: {count(stage.count)} {many}, needs {minimum_samples(99)}"
    return _tile("99 of 100 within", milliseconds(stage.p99_ms), "ms", note, key="p99")


def _slowest(stage: StageEntry, one: str) -> Html:
    note = f"{one} {stage.max_sequence}, at {stage.max_at_s:.1f} s"
    return _tile("slowest", milliseconds(stage.max_ms), "ms", note, key="max")


def _tile(title: str, value: str, unit: str, note: str, *, key: str) -> Html:
    return element(
        "div",
        element("dt", title),
        element("dd", element("b", value, data_figure=key), element("i", unit) if unit else None),
        element("dd", note, class_="note"),
        class_="tile",
    )
