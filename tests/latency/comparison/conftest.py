"""Real reports with known latencies, written by what `googlenet-edge run` writes them with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.latency.cameras import CameraFigures, camera_document
from googlenet_edge.latency.machine import MachineInfo
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.report import RunFacts, samples_path, write_report, write_samples
from googlenet_edge.latency.stages import capture_definition
from googlenet_edge.types import FrameTrace, Outages

ReportWriter = Callable[..., Path]
MACHINE = MachineInfo("Linux-6.1", "3.11.7", "Some CPU", 4)


@pytest.fixture
def write_run(tmp_path: Path) -> ReportWriter:
    """Return a function that writes NAME.json, and NAME-samples.csv, of a run with these inference times.

    ``more``: further keys of the report.
    """

    def write(
        name: str,
        inference_ns: npt.ArrayLike,
        *,
        samples: bool = True,
        capacity: int = 100_000,
        live: bool = False,
        classifier: Mapping[str, object] | None = None,
        machine: Mapping[str, Any] | None = None,
        cameras: tuple[str, ...] = (),
        **more: object,
    ) -> Path:
        path = tmp_path / f"{name}.json"
        names = cameras or (None,)
        whole = LatencyRecorder(started_ns=0, warmup_frames=0, capacity=capacity)
        parts = [LatencyRecorder(started_ns=0, warmup_frames=0, capacity=capacity) for _ in names]
        now = 1000
        for i, duration in enumerate(np.asarray(inference_ns, dtype=np.int64).tolist()):
            trace = FrameTrace(i, now, now + 20_000, now + 520_000, now + 520_000 + duration, now + 620_000 + duration)
            now = now + 620_000 + duration
            for recorder in (whole, parts[i % len(parts)]):
                recorder.record(trace)
        facts = RunFacts(
            machine=replace(MACHINE, **(machine or {})),
            source={"description": "film.mp4", "live": live},
            captured=capture_definition(live=live),
            classifier=classifier or {"model": "tiny", "precision": "fp32", "graph_sha256": "ab", "threads": "1"},
            run={"version": "0.1.0", "top_k": 5},
            cameras=[
                camera_document(CameraFigures(name, "film.mp4", live, "", 0, 0, part.summarize(), Outages(), "end"))
                for name, part in zip(cameras, parts, strict=False)
            ],
        )
        write_report(path, whole.summarize(), facts)
        path.write_text(json.dumps({**json.loads(path.read_text()), **more}), encoding="utf-8")
        if samples:
            for camera, recorder in zip(names, parts, strict=True):
                write_samples(samples_path(path, camera), recorder.samples())
        return path

    return write


@pytest.fixture
def steady() -> Callable[..., npt.NDArray[np.int64]]:
    """Return a function that makes latencies around 10 ms, 2 % apart."""

    def make(seed: int, frames: int = 800, *, factor: float = 1.0) -> npt.NDArray[np.int64]:
        spread = 0.02 * np.random.default_rng(seed).standard_normal(frames)
        return np.rint(factor * 10e6 * np.exp(spread)).astype(np.int64)

    return make
