"""What is kept of the measured frames or queries of a scenario: in memory and, where asked for, on disk meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from googlenet_edge.latency.recorder import LatencyRecorder, Samples
from googlenet_edge.latency.summary import LatencySummary, WarmUp

if TYPE_CHECKING:
    from googlenet_edge.scenarios.rig import Rig
    from googlenet_edge.types import FrameTrace

__all__ = ["NO_WARM_UP", "Recording"]

NO_WARM_UP: Final = WarmUp(frames=0, duration_ns=0, first_frame_ns=0)


class Recording:
    """Records traces. Opens the rig's file of raw samples, which takes a moment, before anything is measured.

    ``part`` names what is measured, where a scenario measures several things one after the other. The file belongs to
    whoever gave it to the rig.
    """

    def __init__(self, rig: Rig, warmup: WarmUp = NO_WARM_UP, *, part: str | None = None) -> None:
        self._warmup = warmup
        self._file = rig.open_samples(warmup, part)
        self._recorder = LatencyRecorder(started_ns=0, warmup_frames=0)

    def begin(self, started_ns: int) -> None:
        """Say from when times are counted, before the first trace."""
        self._recorder = LatencyRecorder(started_ns=started_ns, warmup_frames=0)
        if self._file is not None:
            self._file.begin(started_ns)

    def record(self, trace: FrameTrace) -> None:
        """Add a frame or query that is done."""
        self._recorder.record(trace)
        if self._file is not None:
            self._file.keep(trace)

    def summary(self, *, dropped: int = 0) -> LatencySummary:
        """Return the statistics so far, with the warm-up that came before."""
        return replace(self._recorder.summarize(dropped=dropped), warmup=self._warmup)

    def samples(self) -> Samples:
        """Return the raw samples so far."""
        return self._recorder.samples()
