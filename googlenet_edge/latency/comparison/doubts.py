"""What makes the figures of a run doubtful, though both sides may have been measured alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from googlenet_edge.latency.comparison.read import Run
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.scenario_format import CameraScenario

__all__ = ["doubts"]


def doubts(runs: Sequence[Run]) -> list[str]:
    """Return a sentence for each, with the reports that it is about: what the machine was like, and throttling."""
    about: dict[str, list[str]] = {}
    for run in runs:
        for doubt in _of(run):
            about.setdefault(doubt, []).append(str(run.path))
    found = [
        f"{'all reports' if len(paths) == len(runs) > 1 else ', '.join(paths)}: {doubt}"
        for doubt, paths in about.items()
    ]
    silent = [str(run.path) for run in runs if run.state is None]
    if silent and len(silent) < len(runs):
        found.append(f"{', '.join(silent)}: nothing is known of the machine's state, as it was not watched")
    return found


def _of(run: Run) -> Iterator[str]:
    yield from _without_a_result(run.document)
    state, watch = run.document.state, run.document.watch
    if state is not None:
        yield from state.concerns
    if watch is None:
        return
    seconds: dict[str, float] = {}
    for episode in watch.throttled:
        seconds[episode.cause] = seconds.get(episode.cause, 0.0) + episode.to_s - episode.from_s
    for cause, time_s in seconds.items():
        yield f"the machine was slowed down during the run ({cause}, for {time_s:.1f} of {watch.seconds:.1f} s)"
    if watch.error:
        yield f"the machine was not watched to the end ({watch.error})"


def _without_a_result(document: ReportDocument) -> Iterator[str]:
    """Latencies are of the frames that have a result: whoever drops more of them may well have the lower ones."""
    scenario, frames = document.scenario, document.frames
    if isinstance(scenario, CameraScenario):
        without, came = scenario.missed, scenario.offered
        what = "were missed (late or dropped)"
    else:
        without, came = frames.dropped, frames.measured + frames.warmup + frames.dropped
        what = "were dropped"
    if without:
        yield f"{without} of {came} frames ({100 * without / came:.1f} %) {what}, which no verdict is about"
