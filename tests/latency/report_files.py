"""Reports of runs with known latencies, written by what writes those of real runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from googlenet_edge.latency.cameras import FAIRNESS_DEFINITION, CameraFigures, camera_document
from googlenet_edge.latency.machine import MachineInfo
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.report import RunFacts, samples_path, write_report, write_samples
from googlenet_edge.latency.stages import capture_definition
from googlenet_edge.types import FrameTrace, Outages

MS = 1_000_000
MACHINE = MachineInfo("Linux-6.1", "3.11.7", cpu="Some CPU", cores=8, board="Test Board")


@dataclass(frozen=True)
class FrameTimes:
    """One frame: when it was captured, and how long each step took, milliseconds."""

    captured_ms: float
    queue_ms: float = 1.0
    preprocess_ms: float = 2.0
    inference_ms: float = 4.0
    emit_ms: float = 1.0

    def trace(self, sequence: int, device: tuple[tuple[str, int], ...] = ()) -> FrameTrace:
        at = [self.captured_ms]
        for step in (self.queue_ms, self.preprocess_ms, self.inference_ms, self.emit_ms):
            at.append(at[-1] + step)
        captured, dequeued, preprocessed, inferred, emitted = (round(each * MS) for each in at)
        return FrameTrace(sequence, captured, dequeued, preprocessed, inferred, emitted, device)


def steady(frames: int, *, every_ms: float = 10.0, slow: Mapping[int, float] | None = None) -> list[FrameTimes]:
    """Return frames whose inference takes 4.0 to 4.9 ms; ``slow``: other inference times, by the frame."""
    more = slow or {}
    return [FrameTimes(i * every_ms, inference_ms=more.get(i, 4.0 + i % 10 / 10)) for i in range(frames)]


@dataclass(frozen=True)
class Run:
    """What a run shall have been."""

    cameras: Mapping[str | None, Sequence[FrameTimes]]
    warmup: int = 2
    capacity: int = 200_000
    samples: bool = True
    description: str = "rtsp://door"
    sequences: Callable[[int], int] = lambda i: i
    device: tuple[tuple[str, int], ...] = ()
    outages: Outages = field(default_factory=Outages)
    dropped: int = 0


def write_run(path: Path, run: Run, **more: Any) -> Path:
    """Write ``report.json`` and its samples; ``more``: further keys of the report. Return the report's path."""
    recorders = {
        name: LatencyRecorder(started_ns=0, warmup_frames=run.warmup, capacity=run.capacity) for name in run.cameras
    }
    overall = LatencyRecorder(started_ns=0, warmup_frames=run.warmup, capacity=run.capacity)
    traces = [
        (name, times.trace(run.sequences(i), run.device))
        for name, all_times in run.cameras.items()
        for i, times in enumerate(all_times)
    ]
    for name, trace in sorted(traces, key=lambda each: each[1].emitted_ns or 0):
        in_warmup = recorders[name].in_warmup
        recorders[name].record(trace)
        overall.record(trace, warmup=in_warmup)
    several = len(run.cameras) > 1
    figures = [
        CameraFigures(
            name=name,
            description=run.description,
            live=True,
            captured=capture_definition(live=True),
            frames=len(run.cameras[name]),
            unfinished=0,
            summary=recorder.summarize(dropped=run.dropped),
            outages=run.outages,
            ended="frame limit",
            more={"accuracy": {"frames_with_truth": 0}, "skipped": 0},
        )
        for name, recorder in recorders.items()
    ]
    facts = RunFacts(
        machine=MACHINE,
        source={"description": run.description, "live": True, "dropped": run.dropped, "skipped": 0},
        captured=capture_definition(live=True),
        classifier={"model": "signs", "precision": "int8", "backend": "onnxruntime", "graph_sha256": "ab" * 32},
        accuracy={"frames_with_truth": 100, "correct": 98, "top1_percent": 98.0, "compared_by": "label"},
        run={"version": "0.1", "ended_at": "2026-01-02T03:04:05+00:00", "ended": "frame limit", "frames": len(traces)},
        cameras=[camera_document(figure) for figure in figures],
        fairness={"jain_index": 0.98, "definition": FAIRNESS_DEFINITION} if several else None,
    )  # fmt: skip
    write_report(path, (overall if several else recorders[next(iter(recorders))]).summarize(dropped=run.dropped), facts)
    if more:
        path.write_text(json.dumps({**json.loads(path.read_text()), **more}), encoding="utf-8")
    if run.samples:
        for name, recorder in recorders.items():
            write_samples(samples_path(path, name), recorder.samples())
    return path
