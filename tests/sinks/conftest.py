"""Frames with results, at a rate that the test chooses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from googlenet_edge.types import Frame, FrameTrace, Prediction

MS = 1_000_000


@pytest.fixture
def make_result() -> Callable[..., tuple[Frame, Prediction]]:
    """Return a function that makes frame i of a source, plain grey, with its result."""

    def make(
        i: int,
        label: str = "stop",
        *,
        fps: float = 25.0,
        size_px: tuple[int, int] = (64, 48),
        truth: int | None = None,
        name: str | None = None,
        camera: str | None = None,
        unsure: bool = False,
    ) -> tuple[Frame, Prediction]:
        captured = 5_000 * MS + round(i * 1e9 / fps)
        image = np.full((size_px[1], size_px[0], 3), 128, dtype=np.uint8)
        trace = FrameTrace(i, captured, captured + 2 * MS, captured + 3 * MS, captured + 24 * MS)
        prediction = Prediction((label, "yield"), (4, 7), (0.75, 0.125), trace, unsure=unsure)
        return Frame(image, i, captured, truth=truth, name=name, camera=camera), prediction

    return make
