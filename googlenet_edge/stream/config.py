"""How a run is made."""

from __future__ import annotations

from dataclasses import dataclass

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
    every_frame: bool = False
    """Never let a newer frame of a live source take the place of one that waits for the device: for a source that was
    opened with ``every_frame``."""

    def __post_init__(self) -> None:
        if self.warmup_frames < 0:
            raise InputError(f"stream: got warmup_frames={self.warmup_frames}, expected 0 or more")
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"stream: got max_frames={self.max_frames}, expected 1 or more, or None")
        if self.max_duration_s is not None and not self.max_duration_s > 0:
            raise InputError(f"stream: got max_duration_s={self.max_duration_s}, expected more than 0, or None")
        if self.top_k < 1:
            raise InputError(f"stream: got top_k={self.top_k}, expected 1 or more")
