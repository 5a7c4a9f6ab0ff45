"""``googlenet-edge bench --scenario``: opens what is measured, runs one scenario, prints and writes its figures."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.cli.bench_rig import frames_from_arguments, work_from_arguments
from googlenet_edge.cli.machine_watch import end_watch, new_watch
from googlenet_edge.cli.output import print_shown
from googlenet_edge.cli.run_signals import StopSignals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from googlenet_edge.latency.recorder import Samples
    from googlenet_edge.latency.scenario_table import Shown
    from googlenet_edge.latency.summary import LatencySummary
    from googlenet_edge.scenarios.definitions import ScenarioFacts
    from googlenet_edge.scenarios.rig import Rig

__all__ = ["run_scenario"]

_log = logging.getLogger(__name__)
_STOPPING = b"\nending with what was measured so far; Ctrl-C again ends at once\n"
_QUERY_FRAMES = {"single-stream": 1, "multi-stream": 8}
_Keeping: TypeAlias = "Callable[[Mapping[str, str]], Rig]"
"""Gives the rig, which keeps raw samples where that is wanted; takes what the figures mean."""


@dataclass(frozen=True)
class _Measured:
    """A scenario's figures."""

    document: dict[str, object]
    samples: Samples | None
    summary: LatencySummary
    frames_each: int
    """Frames in each of its results."""
    complete: bool
    """False: it was stopped."""


def run_scenario(arguments: argparse.Namespace) -> int:
    """Run the scenario that the arguments name; return 0, or 1 where it was stopped before its end."""
    with StopSignals(first_message=_STOPPING, hangup_reopens=False) as signals:
        from googlenet_edge.atomic import check_writable
        from googlenet_edge.bundle import Bundle
        from googlenet_edge.cli.backend_arguments import open_from_arguments
        from googlenet_edge.cli.raw_samples import RawSamples
        from googlenet_edge.runtime.classifier import Classifier
        from googlenet_edge.scenarios.document import begun_report
        from googlenet_edge.scenarios.rig import Rig

        check_outside(
            arguments.bundle, {"--report": arguments.report, "--cache": arguments.cache, "--logs": arguments.logs}
        )
        if arguments.logs is not None:
            from googlenet_edge.scenarios.loadgen import loadgen_version
            from googlenet_edge.scenarios.loadgen_logs import check_logs

            loadgen_version()
            check_logs(arguments.logs)
        if arguments.report is not None:
            check_writable(arguments.report, what="report")
        bundle = Bundle.open(arguments.bundle)
        if arguments.idle_power is not None:
            _say_phase(f"measuring the idle machine's power for {arguments.idle_power:g} s")
        with RawSamples(arguments.report if arguments.samples else None, tolerant=True) as raw:
            with ExitStack() as stack:
                watch = stack.enter_context(new_watch(arguments))  # looks now, before the run adds to load and heat
                frames = frames_from_arguments(arguments)
                if arguments.max_batch is None and _QUERY_FRAMES.get(arguments.scenario, 1) > 1:
                    arguments.max_batch = _QUERY_FRAMES[arguments.scenario]
                opened = open_from_arguments(arguments, bundle)
                classifier = stack.enter_context(Classifier(bundle, backend=opened.backend))
                stop = stack.enter_context(signals.in_good_order())
                work, facts = work_from_arguments(arguments, classifier, frames, watch.machine)
                rig = Rig(work, stop=stop, on_phase=_say_phase)

                def keeping(definitions: Mapping[str, str]) -> Rig:
                    return raw.keeping(rig, {**begun_report(arguments.scenario, facts, definitions), **watch.begun()})

                watch.start()
                measured = _measure(arguments, keeping, facts)
                watched = end_watch(watch, measured.summary, frames_each=measured.frames_each)
            raw.close()
            measured.document.update(watched.document)
            try:
                _write(arguments, measured)
                raw.discard()
            finally:  # what was measured is shown, also where it could not be written
                print_shown([opened.line, f"frames: {frames.description}", *_shown(measured.document), *watched.lines])
        return 0 if measured.complete else 1


def _measure(arguments: argparse.Namespace, keeping: _Keeping, facts: ScenarioFacts) -> _Measured:
    if arguments.scenario == "offline":
        return _offline(arguments, keeping, facts)
    if arguments.scenario == "camera":
        return _camera(arguments, keeping, facts)
    return _queries(arguments, keeping, facts)


def _queries(arguments: argparse.Namespace, keeping: _Keeping, facts: ScenarioFacts) -> _Measured:
    from googlenet_edge.scenarios.definitions import query_definitions
    from googlenet_edge.scenarios.document import loadgen_report, query_report
    from googlenet_edge.scenarios.queries import MULTI_STREAM, SINGLE_STREAM, run_queries

    name = arguments.scenario
    default = SINGLE_STREAM if name == "single-stream" else MULTI_STREAM
    most_ns = None if arguments.max_duration is None else round(arguments.max_duration * 1e9)
    least_ns = default.min_duration_ns if arguments.min_duration is None else round(arguments.min_duration * 1e9)
    config = replace(
        default,
        min_duration_ns=least_ns if most_ns is None else min(least_ns, most_ns),
        max_duration_ns=most_ns,
        min_queries=arguments.min_queries,
        seed=arguments.seed or 0,
    )
    rig = keeping(query_definitions(config, facts))
    if arguments.driver == "loadgen":
        from googlenet_edge.scenarios.loadgen import run_loadgen

        driven = run_loadgen(rig, config, arguments.logs)
        document = loadgen_report(name, driven, _ended(facts))
        result = driven.queries
    else:
        result = run_queries(rig, config)
        document = query_report(name, result, _ended(facts))
    each, complete = config.samples_per_query, result.ended != "stopped"
    return _Measured(document, result.samples, result.summary, each, complete)


def _camera(arguments: argparse.Namespace, keeping: _Keeping, facts: ScenarioFacts) -> _Measured:
    from googlenet_edge.scenarios.camera import CameraConfig, run_camera
    from googlenet_edge.scenarios.definitions import camera_definitions
    from googlenet_edge.scenarios.document import camera_report
    from googlenet_edge.scenarios.rig import WarmUpConfig, warm_up
    from googlenet_edge.scenarios.sustained import find_sustained_rate

    default = CameraConfig()
    config = replace(
        default,
        fps=arguments.fps or default.fps,
        duration_ns=default.duration_ns if arguments.min_duration is None else round(arguments.min_duration * 1e9),
        deadline_ns=None if arguments.deadline is None else round(arguments.deadline * 1e6),
        seed=arguments.seed or 0,
    )
    rig = keeping(camera_definitions(config, facts))
    warmed_up = warm_up(rig, WarmUpConfig(), seed=config.seed + 1)
    rig.on_phase(f"measuring: {config.frames} frames at {config.fps:g} frames/s")
    result = run_camera(rig, config, warmed_up.warmup)
    sustained = None
    if arguments.search is not False and result.ended != "stopped":
        sustained = find_sustained_rate(rig, 1e9 / max(1, warmed_up.median_ns), config)
    document = camera_report(result, warmed_up, sustained, _ended(facts))
    return _Measured(document, result.samples, result.summary, 1, not rig.stop.is_set())


def _offline(arguments: argparse.Namespace, keeping: _Keeping, facts: ScenarioFacts) -> _Measured:
    from googlenet_edge.latency.summary import NOTHING_MEASURED
    from googlenet_edge.scenarios.definitions import offline_definitions
    from googlenet_edge.scenarios.document import offline_report
    from googlenet_edge.scenarios.offline import OfflineConfig, run_offline

    config = OfflineConfig(max_batch=arguments.max_batch, seed=arguments.seed or 0)
    if arguments.min_duration is not None:
        config = replace(config, min_duration_ns=round(arguments.min_duration * 1e9))
    result = run_offline(keeping(offline_definitions(facts)), config)
    document, best, complete = offline_report(result, _ended(facts)), result.best, result.ended != "stopped"
    if best is None:
        return _Measured(document, None, NOTHING_MEASURED, 1, complete)
    return _Measured(document, best.samples, best.summary, best.batch, complete)


def _ended(facts: ScenarioFacts) -> ScenarioFacts:
    from datetime import datetime, timezone

    return replace(facts, ended_at=datetime.now(timezone.utc).isoformat(timespec="seconds"))


def _write(arguments: argparse.Namespace, measured: _Measured) -> None:
    from googlenet_edge.latency.report import samples_path, write_document, write_samples

    if arguments.report is None:
        return
    write_document(arguments.report, measured.document)
    if arguments.samples and measured.samples is not None:
        write_samples(samples_path(arguments.report), measured.samples)


def _shown(document: dict[str, object]) -> Shown:
    """Return what `googlenet-edge report` shows of the same file."""
    import msgspec

    from googlenet_edge.latency.report_format import ReportDocument
    from googlenet_edge.latency.scenario_table import scenario_shown

    return scenario_shown(msgspec.convert(document, ReportDocument))


def _say_phase(text: str) -> None:
    _log.info("%s", text)
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
