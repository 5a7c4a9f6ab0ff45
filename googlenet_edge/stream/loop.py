"""The loop itself: what comes out of the feed goes to the sinks and into the report."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from googlenet_edge.errors import GoogLeNetEdgeError, OutputError, SourceError, SourceLostError
from googlenet_edge.latency.recorder import LatencyRecorder, Samples
from googlenet_edge.latency.stages import capture_definition
from googlenet_edge.latency.summary import LatencySummary
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.stream.accuracy import Accuracy, AccuracyCounter
from googlenet_edge.stream.config import StreamConfig
from googlenet_edge.stream.feed import Feed, FrameClassifier, Serial
from googlenet_edge.stream.overlapped import Overlapped
from googlenet_edge.types import Clock, Frame, Prediction

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source

__all__ = ["EndReason", "StreamReport", "run_stream"]

_log = logging.getLogger(__name__)
_DEFAULT_CONFIG = StreamConfig()

EndReason: TypeAlias = Literal[
    "end of stream", "stopped", "frame limit", "time limit", "source lost", "output failed", "failed"
]
"""Why a run ended: "stopped" = the stop event was set (Ctrl-C, q in the window)."""


@dataclass(frozen=True)
class StreamReport:
    """What a run measured, and how it ended."""

    frames: int
    """Frames that went the whole way, warm-up included."""
    latency: LatencySummary
    accuracy: Accuracy
    samples: Samples
    captured: str
    """What "captured" means for this source."""
    ended: EndReason
    error: GoogLeNetEdgeError | None = None
    """What ended the run before its time. The measurements up to there are good; whoever has shown or saved them should
    raise it.
    """


def run_stream(
    source: Source,
    classifier: FrameClassifier,
    sinks: Sequence[Sink] = (),
    config: StreamConfig = _DEFAULT_CONFIG,
    *,
    clock: Clock = time.monotonic_ns,
    stop: threading.Event | None = None,
) -> StreamReport:
    """Label frames until the source ends, a limit is reached, ``stop`` is set or something fails; then report.

    Source, classifier and sinks belong to the caller, who closes them. ``clock`` must be the one by which the source
    and the classifier stamp. ``stop`` is looked at between frames: a source that waits for a frame delays it by at most
    its read timeout. An error of ours (a lost source, a full disk) ends the run and is returned in the report, beside
    what was measured until then; any other exception is a defect and is raised.

    With a classifier of two or more slots, a thread takes the frames up and prepares them while others are computed;
    the sinks stay on the caller's thread. That thread ends with the run: if the source delivers nothing for 5 s then,
    it is closed. Frames that were under way at the end are in no figure.
    """
    started_ns = clock()
    recorder = LatencyRecorder(started_ns=started_ns, warmup_frames=config.warmup_frames)
    accuracy = AccuracyCounter(source.labels, classifier.labels)
    frames = 0
    dropped_in_warmup = 0
    device_stamps = False
    ended: EndReason
    error: GoogLeNetEdgeError | None = None
    feed: Feed = (Overlapped if classifier.slots > 1 else Serial)(source, classifier, config)
    with feed:
        try:
            while True:
                limit = _reached(config, frames, clock() - started_ns, stop)
                if limit is not None:
                    ended = limit
                    break
                labelled = feed.next()
                if labelled is None:
                    # Whoever sets stop may close the source too, so as not to wait for its next frame.
                    ended = "stopped" if stop is not None and stop.is_set() else "end of stream"
                    break
                frame, prediction = labelled
                _emit(sinks, frame, prediction)
                in_warmup = recorder.in_warmup
                recorder.record(replace(prediction.trace, emitted_ns=clock()))
                accuracy.add(frame.truth, prediction)
                frames += 1
                device_stamps = frame.stamp_source == "device"
                if in_warmup:
                    dropped_in_warmup = source.dropped + feed.replaced
        except GoogLeNetEdgeError as failure:
            error = failure
            if isinstance(failure, SourceLostError):
                ended = "source lost"
            else:
                ended = "output failed" if isinstance(failure, OutputError) else "failed"
            _log.info("the run ended early after %d frames: %s", frames, failure)
    if ended == "end of stream" and frames == 0:
        error = SourceError(f"{source.description}: ended without a single frame; expected at least one")
    return StreamReport(
        frames=frames,
        latency=recorder.summarize(dropped=source.dropped + feed.replaced, dropped_in_warmup=dropped_in_warmup),
        accuracy=accuracy.result(),
        samples=recorder.samples(),
        captured=capture_definition(live=source.live, device_stamps=device_stamps),
        ended=ended,
        error=error,
    )


def _reached(config: StreamConfig, frames: int, elapsed_ns: int, stop: threading.Event | None) -> EndReason | None:
    if stop is not None and stop.is_set():
        return "stopped"
    if config.max_frames is not None and frames >= config.max_frames:
        return "frame limit"
    if config.max_duration_s is not None and elapsed_ns >= config.max_duration_s * 1e9:
        return "time limit"
    return None


def _emit(sinks: Sequence[Sink], frame: Frame, prediction: Prediction) -> None:
    for sink in sinks:
        try:
            sink.emit(frame, prediction)
        except GoogLeNetEdgeError:
            raise
        except OSError as error:
            raise OutputError(f"{type(sink).__name__}: cannot write the result: {error}") from error
