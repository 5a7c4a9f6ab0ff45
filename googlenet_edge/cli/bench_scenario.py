"""``googlenet-edge bench --scenario``: opens what is measured, runs one scenario, prints and writes its figures."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.cli.run_signals import StopSignals

if TYPE_CHECKING:
    import argparse
    import threading

    from googlenet_edge.latency.machine import MachineInfo
    from googlenet_edge.latency.recorder import Samples
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.scenarios.definitions import ScenarioFacts
    from googlenet_edge.scenarios.display import Shown
    from googlenet_edge.scenarios.frames import FrameSet
    from googlenet_edge.scenarios.rig import Rig

__all__ = ["run_scenario"]

_log = logging.getLogger(__name__)
_STOPPING = b"\nending with what was measured so far; Ctrl-C again ends at once\n"
_QUERY_FRAMES = {"single-stream": 1, "multi-stream": 8}


@dataclass(frozen=True)
class _Measured:
    """A scenario's figures in all forms."""

    shown: Shown
    document: dict[str, object]
    samples: Samples | None
    complete: bool
    """False: it was stopped."""


def run_scenario(arguments: argparse.Namespace) -> int:
    """Run the scenario that the arguments name; return 0, or 1 where it was stopped before its end."""
    with StopSignals(first_message=_STOPPING, hangup_reopens=False) as signals:
        from googlenet_edge.atomic import check_writable
        from googlenet_edge.bundle import Bundle
        from googlenet_edge.cli.backend_arguments import open_from_arguments
        from googlenet_edge.latency.machine import machine_info
        from googlenet_edge.runtime.classifier import Classifier

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
        machine = machine_info()  # before the run adds to the load
        bundle = Bundle.open(arguments.bundle)
        frames = _frames(arguments)
        if arguments.max_batch is None and _QUERY_FRAMES.get(arguments.scenario, 1) > 1:
            arguments.max_batch = _QUERY_FRAMES[arguments.scenario]
        opened = open_from_arguments(arguments, bundle)
        with Classifier(bundle, backend=opened.backend) as classifier, signals.in_good_order() as stop:
            rig, facts = _prepared(arguments, classifier, frames, machine, stop)
            measured = _measure(arguments, rig, facts)
        _write(arguments, measured)
        _print([opened.line, f"frames: {frames.description}", *measured.shown, *_busy(machine)])
        return 0 if measured.complete else 1


def _frames(arguments: argparse.Namespace) -> FrameSet:
    from googlenet_edge.scenarios.frames import DEFAULT_FRAMES, demo_frames, image_frames

    count = DEFAULT_FRAMES if arguments.frame_count is None else arguments.frame_count
    if arguments.images is not None:
        return image_frames(arguments.images, count, seed=arguments.seed or 0)
    return demo_frames(count, size_px=arguments.size or (1280, 720), seed=arguments.seed or 0)


def _prepared(
    arguments: argparse.Namespace,
    classifier: Classifier,
    frames: FrameSet,
    machine: MachineInfo,
    stop: threading.Event,
) -> tuple[Rig, ScenarioFacts]:
    from googlenet_edge import __version__
    from googlenet_edge.scenarios.definitions import ScenarioFacts
    from googlenet_edge.scenarios.rig import Rig
    from googlenet_edge.scenarios.work import ClassifierWork, PreparedWork, Work, crops_of

    include = arguments.include_preprocess is not False
    work: Work
    if include:
        work = ClassifierWork(classifier, frames.images, max_batch=arguments.max_batch)
    else:
        crops = crops_of(frames.images, classifier.bundle.crop)
        work = PreparedWork(classifier, crops, max_batch=arguments.max_batch)
    facts = ScenarioFacts(
        machine=machine,
        classifier=classifier.describe(),
        frames=frames.description,
        frame_count=len(frames.images),
        contains=work.contains,
        include_preprocess=include,
        version=__version__,
    )
    return Rig(work, stop=stop, on_phase=_say_phase), facts


def _measure(arguments: argparse.Namespace, rig: Rig, facts: ScenarioFacts) -> _Measured:
    if arguments.scenario == "offline":
        return _offline(arguments, rig, facts)
    if arguments.scenario == "camera":
        return _camera(arguments, rig, facts)
    return _queries(arguments, rig, facts)


def _queries(arguments: argparse.Namespace, rig: Rig, facts: ScenarioFacts) -> _Measured:
    from googlenet_edge.scenarios.definitions import query_definitions
    from googlenet_edge.scenarios.display import loadgen_shown, query_shown
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
    definitions = query_definitions(config, facts)
    if arguments.driver == "loadgen":
        from googlenet_edge.scenarios.loadgen import run_loadgen

        driven = run_loadgen(rig, config, arguments.logs)
        document = loadgen_report(name, driven, _ended(facts))
        complete = driven.queries.ended != "stopped"
        return _Measured(loadgen_shown(name, driven, definitions), document, driven.queries.samples, complete)
    result = run_queries(rig, config)
    shown = query_shown(name, result, definitions)
    return _Measured(shown, query_report(name, result, _ended(facts)), result.samples, result.ended != "stopped")


def _camera(arguments: argparse.Namespace, rig: Rig, facts: ScenarioFacts) -> _Measured:
    from googlenet_edge.scenarios.camera import CameraConfig, run_camera
    from googlenet_edge.scenarios.definitions import camera_definitions
    from googlenet_edge.scenarios.display import camera_shown
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
    warmed_up = warm_up(rig, WarmUpConfig(), seed=config.seed + 1)
    rig.on_phase(f"measuring: {config.frames} frames at {config.fps:g} frames/s")
    result = run_camera(rig, config)
    result = replace(result, summary=replace(result.summary, warmup=warmed_up.warmup))
    sustained = None
    if arguments.search is not False and result.ended != "stopped":
        sustained = find_sustained_rate(rig, 1e9 / max(1, warmed_up.median_ns), config)
    shown = camera_shown(result, warmed_up, sustained, camera_definitions(config, facts))
    document = camera_report(result, warmed_up, sustained, _ended(facts))
    return _Measured(shown, document, result.samples, not rig.stop.is_set())


def _offline(arguments: argparse.Namespace, rig: Rig, facts: ScenarioFacts) -> _Measured:
    from googlenet_edge.scenarios.definitions import offline_definitions
    from googlenet_edge.scenarios.display import offline_shown
    from googlenet_edge.scenarios.document import offline_report
    from googlenet_edge.scenarios.offline import OfflineConfig, run_offline

    config = OfflineConfig(max_batch=arguments.max_batch, seed=arguments.seed or 0)
    if arguments.min_duration is not None:
        config = replace(config, min_duration_ns=round(arguments.min_duration * 1e9))
    result = run_offline(rig, config)
    shown = offline_shown(result, offline_definitions(facts))
    samples = None if result.best is None else result.best.samples
    return _Measured(shown, offline_report(result, _ended(facts)), samples, result.ended != "stopped")


def _ended(facts: ScenarioFacts) -> ScenarioFacts:
    from datetime import datetime, timezone

    return replace(facts, ended_at=datetime.now(timezone.utc).isoformat(timespec="seconds"))


def _write(arguments: argparse.Namespace, measured: _Measured) -> None:
    from googlenet_edge.latency.report import samples_path, write_samples
    from googlenet_edge.scenarios.document import write_document

    if arguments.report is None:
        return
    write_document(arguments.report, measured.document)
    if arguments.samples and measured.samples is not None:
        write_samples(samples_path(arguments.report), measured.samples)


def _print(shown: Shown) -> None:
    from rich.console import Console

    from googlenet_edge.cli.plain import printable

    console = Console(highlight=False, soft_wrap=True)
    for part in shown:
        if isinstance(part, str):
            console.print(printable(part), markup=False)
        else:
            console.print(part)


def _busy(machine: MachineInfo) -> list[str]:
    load = machine.load_average[0] if machine.load_average else 0.0
    if load <= machine.usable_cores:
        return []
    busy = f"load {load:.1f} on {machine.usable_cores} cores"
    return [f"the machine was busy before the run ({busy}), so it can do better than these figures"]


def _say_phase(text: str) -> None:
    _log.info("%s", text)
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)
