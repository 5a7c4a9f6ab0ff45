"""How a run is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from googlenet_edge.errors import InputError
from googlenet_edge.types import Region

__all__ = ["StreamConfig"]


@dataclass(frozen=True)
class StreamConfig:
    """How a run is made."""

    warmup_frames: int = 10
    """The first frames, which go the whole way but stay out of the latency statistics."""
    max_frames: int | None = None
    """End after this many frames, warm-up included."""
    max_duration_s: float | None = None
    """End with the first frame that is done after this time, warm-up included."""
    top_k: int = 5
    region: Region | None = None
    """Classify this part of the frame instead of the whole."""
    delivery: Literal["auto", "newest", "every"] = "auto"
    """"newest": a newer frame takes the place of one that waits, so that none gets old; "every": each frame is
    computed, and the source waits for us; "auto": newest for live sources, every for files. A live source drops frames
    of its own unless it was opened with ``every_frame``."""
    max_batch: int | None = None
    """The most frames, one of each camera, that are computed together; None for what the backend takes."""
    batch_wait_ms: float = 2.0
    """How long a frame may wait for those of other cameras, so as to be computed together with them."""
    smoothing_ms: float | None = None
    """Half-life of the exponential average of the probabilities over time, by capture times; None: each frame's own."""
    min_probability: float | None = None
    """A best label below this probability, 0 to 1, is marked unsure."""
    overlap: bool = True
    """Threads take frames up and compute while the caller's thread emits; False: one step after the other, on the
    caller's thread, one source only."""

    def __post_init__(self) -> None:
        if self.warmup_frames < 0:
            raise InputError(f"stream: got warmup_frames={self.warmup_frames}, expected 0 or more")
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"stream: got max_frames={self.max_frames}, expected 1 or more, or None")
        if self.max_duration_s is not None and not self.max_duration_s > 0:
            raise InputError(f"stream: got max_duration_s={self.max_duration_s}, expected more than 0, or None")
        if self.top_k < 1:
            raise InputError(f"stream: got top_k={self.top_k}, expected 1 or more")
        if self.delivery not in ("auto", "newest", "every"):
            raise InputError(f"stream: got delivery={self.delivery!r}, expected 'auto', 'newest' or 'every'")
        if self.max_batch is not None and self.max_batch < 1:
            raise InputError(f"stream: got max_batch={self.max_batch}, expected 1 or more, or None")
        if not 0 <= self.batch_wait_ms <= 1000:
            raise InputError(f"stream: got batch_wait_ms={self.batch_wait_ms}, expected 0 to 1000")
        if self.smoothing_ms is not None and not 0 < self.smoothing_ms < math.inf:
            raise InputError(f"stream: got smoothing_ms={self.smoothing_ms}, expected more than 0, or None")
        if self.min_probability is not None and not 0 < self.min_probability <= 1:
            raise InputError(
                f"stream: got min_probability={self.min_probability}, expected above 0, at most 1, or None"
            )
