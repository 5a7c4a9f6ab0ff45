"""What a run measured, and how it ended: over all cameras, and of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.summary import LatencySummary
from googlenet_edge.stream.accuracy import Accuracy
from googlenet_edge.types import Outages

__all__ = ["CameraReport", "EndReason", "StreamReport"]

EndReason: TypeAlias = Literal[
    "end of stream", "stopped", "frame limit", "time limit", "source lost", "output failed", "failed"
]
"""Why a run, or its share of one camera, ended: "stopped" = the stop event was set (Ctrl-C, q in the window)."""


@dataclass(frozen=True)
class CameraReport:
    """What a run measured of one camera.

    Each frame up to the last one that the loop took is accounted for: it was emitted, dropped or left unfinished. They
    are told apart by their sequence numbers.
    """

    name: str | None
    """None in a run of one source."""
    description: str
    live: bool
    frames: int
    """Frames that went the whole way, warm-up included."""
    latency: LatencySummary
    accuracy: Accuracy
    samples: Samples
    captured: str
    """What "captured" means for this source."""
    dropped: int
    """Frames before the last one that was emitted, which were not: they gave way to newer ones, in the source or in the
    loop. Of a source that was never read before, those since it was opened."""
    unfinished: int
    """Frames after the last one that was emitted: under way when the run ended, or given way to those that were."""
    outages: Outages
    ended: EndReason
    """Why it ended; what ended the run, if the camera was still there then."""
    error: GoogLeNetEdgeError | None = None
    """What ended this camera alone."""
    absences_ns: tuple[tuple[int, int], ...] = ()
    """When it was lost: from its last result before, or the start, to the capture of the first frame after, or its end;
    nanoseconds from the start of the run. The first thousand of them."""

    @property
    def offered(self) -> int:
        """Frames up to the last one that the loop took: emitted, dropped and unfinished ones."""
        return self.frames + self.dropped + self.unfinished


@dataclass(frozen=True)
class StreamReport:
    """What a run measured over all its cameras, and how it ended."""

    frames: int
    """Frames that went the whole way, warm-up included."""
    latency: LatencySummary
    """Of all cameras together. Each has a warm-up of its own, and only frames after it are measured."""
    accuracy: Accuracy
    samples: Samples
    captured: str
    """What "captured" means for these sources."""
    ended: EndReason
    error: GoogLeNetEdgeError | None = None
    """What ended the run, or a camera, before its time: the first such error. The measurements up to there are good;
    whoever has shown or saved them should raise it.
    """
    cameras: tuple[CameraReport, ...] = ()
    """In the order in which they were given."""
    batches: tuple[tuple[int, int], ...] = ()
    """How many batches of each size were computed, as (frames, batches), the smallest size first."""
