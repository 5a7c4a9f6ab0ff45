"""What is counted and timed of one camera during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.latency.stages import capture_definition
from googlenet_edge.stream.accuracy import AccuracyCounter
from googlenet_edge.stream.cameras import Camera, CameraStatus
from googlenet_edge.stream.decide import Decider
from googlenet_edge.stream.report import CameraReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.errors import GoogLeNetEdgeError
    from googlenet_edge.stream.config import StreamConfig
    from googlenet_edge.stream.feed import Feed
    from googlenet_edge.stream.report import EndReason
    from googlenet_edge.types import Frame, FrameTrace, Prediction, StampSource

__all__ = ["Tally"]

_MOST_ABSENCES: Final = 1000
"""A camera that comes and goes for days is lost more often; ``outages`` counts all."""


class Tally:
    """One camera of a run: its results are decided on, counted and timed here."""

    def __init__(
        self,
        index: int,
        camera: Camera,
        *,
        labels: Sequence[str],
        config: StreamConfig,
        started_ns: int,
    ) -> None:
        source = camera.source
        self.index, self.name, self.source = index, camera.name, source
        self.frames = 0
        """Frames that went the whole way, warm-up included."""
        self.ended: EndReason | None = None
        """Why it ended; None while it goes on."""
        self.error: GoogLeNetEdgeError | None = None
        self._started_ns = started_ns
        self._recorder = LatencyRecorder(started_ns=started_ns, warmup_frames=config.warmup_frames)
        self._samples = camera.samples
        if self._samples is not None:
            self._samples.begin(started_ns)
        self._accuracy = AccuracyCounter(source.labels, labels)
        self._decider = Decider(config)
        self._dropped = self._dropped_in_warmup = 0
        self._measured = False
        self._stamp_source: StampSource = "host"
        self._last_emitted_ns: int | None = None
        self._losses = source.outages.lost
        self._away = not source.connected
        """It is known to be away: whoever had to be told was."""
        self._lost_ns: int | None = started_ns if self._away else None
        """Since when there is no result, because it was lost."""
        self._absences_ns: list[tuple[int, int]] = []

    def decide(self, prediction: Prediction) -> Prediction:
        """Return what the sinks get: smoothed over time, and marked where it is unsure, as configured."""
        return self._decider.decide(prediction)

    def add(self, frame: Frame, prediction: Prediction, emitted_ns: int, feed: Feed) -> tuple[FrameTrace, bool]:
        """Count a frame that has gone to all sinks; return its trace, and whether it was a warm-up frame."""
        trace = prediction.trace.with_emitted(emitted_ns)
        in_warmup = self._recorder.in_warmup
        self._recorder.record(trace)
        self._accuracy.add(frame.truth, prediction)
        self.frames += 1
        self._stamp_source = frame.stamp_source
        self._came_back(trace.captured_ns)
        self._last_emitted_ns = emitted_ns
        self._dropped = feed.count(self.index).up_to(frame) - self.frames
        if in_warmup or not self._measured:
            self._dropped_in_warmup = self._dropped  # as far as is known: those before the first measured frame
        self._measured = not in_warmup
        return trace, in_warmup

    def keep(self, trace: FrameTrace, *, warmup: bool) -> None:
        """Keep the time points of a frame on disk, if they are wanted. Raises :class:`OutputError`."""
        if self._samples is not None:
            self._samples.keep(trace, warmup=warmup)

    def flush(self) -> None:
        """Bring what is known of the frames so far to the disk, while no frame comes. Raises :class:`OutputError`."""
        if self._samples is not None:
            self._samples.flush()

    def went_away(self, feed: Feed) -> bool:
        """Say, once for each time, that the camera has been lost and no frame from before that is left to come."""
        losses, connected = self.source.outages.lost, self.source.connected  # in this order: see below
        if connected:
            # It may have come and gone since the last look. A loss that was counted before, and whose connection is
            # still up after that, is over.
            missed = not self._away and losses != self._losses
            self._away, self._losses = False, losses
            return missed and self._forget()
        return not self._away and feed.idle(self.index) and self._leave(losses)

    def end(self, reason: EndReason, error: GoogLeNetEdgeError | None) -> bool:
        """Note that nothing more will come; say whether it is thereby lost, and nobody has been told so."""
        self.ended, self.error = reason, error
        if reason == "end of stream" and not self.frames:
            self.error = SourceError(f"{self.source.description}: ended without a single frame; expected at least one")
        return isinstance(error, SourceLostError) and not self._away and self._leave(self._losses)

    def status(self) -> CameraStatus:
        """Say how the camera is doing."""
        connected = self.ended is None and self.source.connected
        return CameraStatus(self.name, self.frames, connected, self._last_emitted_ns)

    def report(self, feed: Feed, ended: EndReason, now_ns: int) -> CameraReport:
        """Return what was measured; ``ended``: what ended the run, where the camera had not ended before."""
        source = self.source
        self._came_back(now_ns)
        return CameraReport(
            name=self.name,
            description=source.description,
            live=source.live,
            frames=self.frames,
            latency=self._recorder.summarize(dropped=self._dropped, dropped_in_warmup=self._dropped_in_warmup),
            accuracy=self._accuracy.result(),
            samples=self._recorder.samples(),
            captured=capture_definition(live=source.live, stamp_source=self._stamp_source),
            dropped=self._dropped,
            unfinished=feed.count(self.index).captured - self._dropped - self.frames,
            outages=source.outages,
            ended=self.ended or ended,
            error=self.error,
            absences_ns=tuple(self._absences_ns),
        )

    def _leave(self, losses: int) -> bool:
        self._away, self._losses = True, losses
        return self._forget()

    def _forget(self) -> bool:
        self._decider.reset()
        if self._lost_ns is None:
            self._lost_ns = self._started_ns if self._last_emitted_ns is None else self._last_emitted_ns
        return True

    def _came_back(self, at_ns: int) -> None:
        """Note how long it was away, if it was."""
        if self._lost_ns is not None and len(self._absences_ns) < _MOST_ABSENCES:
            start_ns = self._started_ns
            self._absences_ns.append((self._lost_ns - start_ns, max(self._lost_ns, at_ns) - start_ns))
        self._lost_ns = None
