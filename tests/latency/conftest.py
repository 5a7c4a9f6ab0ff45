"""Traces with known durations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from googlenet_edge.types import FrameTrace

MS = 1_000_000


@pytest.fixture
def make_trace() -> Callable[..., FrameTrace]:
    """Return a function that makes the trace of frame i of a 100 Hz camera: 1 + 2 + 4 + 1 ms, and more where asked."""

    def make(i: int, *, inference_ms: int = 4, device: tuple[tuple[str, int], ...] = ()) -> FrameTrace:
        captured = 1_000 * MS + i * 10 * MS
        inferred = captured + 3 * MS + inference_ms * MS
        return FrameTrace(i, captured, captured + MS, captured + 3 * MS, inferred, inferred + MS, device)

    return make
