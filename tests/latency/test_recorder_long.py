"""Runs that are longer than what is kept of them."""

from __future__ import annotations

import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.latency.histogram import RELATIVE_ERROR
from googlenet_edge.latency.recorder import DEFAULT_CAPACITY, LatencyRecorder
from googlenet_edge.types import FrameTrace

MS = 1_000_000


def record(recorder: LatencyRecorder, frames: int, *, start: int = 0) -> None:
    """Record this many frames at 30 a second, with inference times about 8 ms, log-normal."""
    spent = np.random.default_rng([3, start]).lognormal(np.log(8 * MS), 0.5, frames).astype(np.int64).tolist()
    for i, duration in enumerate(spent, start):
        now = 33 * MS * i
        inferred = now + 3 * MS + duration
        device = (("compute", duration),) if i % 3 else ()
        recorder.record(FrameTrace(i, now, now + MS, now + 3 * MS, inferred, inferred + MS, device))


def grown_bytes(recorder: LatencyRecorder, frames: int) -> int:
    """Return how much more memory is in use after that many frames."""
    tracemalloc.start()
    try:
        record(recorder, frames)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_statistics_do_not_depend_on_what_is_kept_but_for_a_thousandth() -> None:
    few, whole = (LatencyRecorder(started_ns=0, warmup_frames=0, capacity=capacity) for capacity in (1, 10_000))
    for recorder in (few, whole):
        record(recorder, 700)
    for one, other in zip(few.summarize().stages, whole.summarize().stages, strict=True):
        assert (one.name, one.count, one.mean_ns) == (other.name, other.count, other.mean_ns)
        assert one.maximum == other.maximum
        for rough, exact in zip(one.percentiles, other.percentiles, strict=True):
            assert exact.duration_ns <= rough.duration_ns <= exact.duration_ns * (1 + RELATIVE_ERROR)
            assert rough.reliable == exact.reliable


def test_memory_does_not_grow_with_the_run() -> None:
    recorder = LatencyRecorder(started_ns=0, warmup_frames=0, capacity=1000)
    assert grown_bytes(recorder, 10_000) < 3_000_000
    assert grown_bytes(recorder, 30_000) < 100_000
    assert recorder.summarize().count == 40_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_a_day_at_30_frames_a_second_stays_small() -> None:
    recorder = LatencyRecorder(started_ns=0, warmup_frames=0)
    frames = 24 * 3600 * 30
    for start in range(0, frames, 50_000):
        record(recorder, min(50_000, frames - start), start=start)
        if start == 200_000:  # all that is kept has been there once
            before = resident_bytes()
    assert resident_bytes() - before < 5_000_000
    summary = recorder.summarize()
    assert (summary.count, summary.sampled) == (frames, DEFAULT_CAPACITY)
    assert summary.stage("inference").percentile(50).duration_ns == pytest.approx(8 * MS, rel=0.005)
