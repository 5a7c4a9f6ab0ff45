"""The running loop: frames from a source through the classifier to the sinks, with the time of every step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from googlenet_edge.errors import GoogLeNetEdgeError, InputError, OutputError, SourceError, SourceLostError
from googlenet_edge.latency.recorder import LatencyRecorder, Samples
from googlenet_edge.latency.stages import capture_definition
from googlenet_edge.latency.summary import LatencySummary
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.types import Clock, Frame, Prediction, Region

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source

__all__ = ["Accuracy", "AccuracyCounter", "EndReason", "FrameClassifier", "StreamConfig", "StreamReport", "run_stream"]

_log = logging.getLogger(__name__)

EndReason: TypeAlias = Literal[
    "end of stream", "stopped", "frame limit", "time limit", "source lost", "output failed", "failed"
]
"""Why a run ended: "stopped" = the stop event was set (Ctrl-C, q in the window)."""


class FrameClassifier(Protocol):
    """What the loop needs of a :class:`~googlenet_edge.runtime.classifier.Classifier`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each class id."""

    def classify(self, image: Frame, *, top_k: int = 5, region: Region | None = None) -> Prediction:
        """Label one frame; the trace is filled up to ``inferred_ns``."""


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

    def __post_init__(self) -> None:
        if self.warmup_frames < 0:
            raise InputError(f"stream: got warmup_frames={self.warmup_frames}, expected 0 or more")
        if self.max_frames is not None and self.max_frames < 1:
            raise InputError(f"stream: got max_frames={self.max_frames}, expected 1 or more, or None")
        if self.max_duration_s is not None and not self.max_duration_s > 0:
            raise InputError(f"stream: got max_duration_s={self.max_duration_s}, expected more than 0, or None")
        if self.top_k < 1:
            raise InputError(f"stream: got top_k={self.top_k}, expected 1 or more")


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy over the frames whose truth the source knows, warm-up included."""

    frames_with_truth: int
    correct: int
    compared_by: Literal["label", "class id"]
    """"label" where the source has labels of its own; "class id" where it has none, or the classifier's."""
    unavailable: str | None = None
    """Why there is no accuracy although the source knows the truth; None where nothing is wrong."""

    @property
    def top1(self) -> float | None:
        """Share of right frames, 0 to 1; None where it was not measured."""
        return self.correct / self.frames_with_truth if self.frames_with_truth and self.unavailable is None else None


class AccuracyCounter:
    """Counts right answers, comparing labels by name where the source has names."""

    def __init__(self, source_labels: Sequence[str] | None, classifier_labels: Sequence[str]) -> None:
        # Equal labels mean equal class ids, which also tells apart classes that share a label (ImageNet's two cranes).
        same = source_labels is not None and tuple(source_labels) == tuple(classifier_labels)
        self._source_labels = None if source_labels is None or same else tuple(source_labels)
        self._classes = len(classifier_labels)
        self._frames = 0
        self._correct = 0
        self._unavailable: str | None = None
        known, named = set(classifier_labels), set(self._source_labels or ())
        unknown = sorted(named - known)
        if unknown:
            self._unavailable = (
                f"the classifier does not know {len(unknown)} of the source's {len(named)} labels, for example "
                f"{unknown[0]!r}; use a bundle that was made for these labels"
            )

    def add(self, truth: int | None, prediction: Prediction) -> None:
        """Count one frame; a frame without truth is none."""
        if truth is None:
            return
        self._frames += 1
        count = self._classes if self._source_labels is None else len(self._source_labels)
        if not 0 <= truth < count:
            self._unavailable = self._unavailable or f"the source gave class id {truth}, expected 0 to {count - 1}"
        elif self._source_labels is None:
            self._correct += truth == prediction.class_id
        else:
            self._correct += self._source_labels[truth] == prediction.label

    def result(self) -> Accuracy:
        """Return what was counted so far."""
        return Accuracy(
            frames_with_truth=self._frames,
            correct=self._correct,
            compared_by="class id" if self._source_labels is None else "label",
            unavailable=self._unavailable if self._frames else None,
        )


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
    config: StreamConfig = StreamConfig(),
    *,
    clock: Clock = time.monotonic_ns,
    stop: threading.Event | None = None,
) -> StreamReport:
    """Label frames until the source ends, a limit is reached, ``stop`` is set or something fails; then report.

    Source, classifier and sinks belong to the caller, who closes them. ``clock`` must be the one by which the source
    and the classifier stamp. ``stop`` is looked at between frames: a source that waits for a frame delays it by at most
    its read timeout. An error of ours (a lost source, a full disk) ends the run and is returned in the report, beside
    what was measured until then; any other exception is a defect and is raised.
    """
    started_ns = clock()
    recorder = LatencyRecorder(started_ns=started_ns, warmup_frames=config.warmup_frames)
    accuracy = AccuracyCounter(source.labels, classifier.labels)
    frames = 0
    dropped_in_warmup = 0
    device_stamps = False
    ended: EndReason
    error: GoogLeNetEdgeError | None = None
    iterator = iter(source)
    try:
        while True:
            limit = _reached(config, frames, clock() - started_ns, stop)
            if limit is not None:
                ended = limit
                break
            frame = next(iterator, None)
            if frame is None:
                # Whoever sets stop may close the source too, so as not to wait for its next frame.
                ended = "stopped" if stop is not None and stop.is_set() else "end of stream"
                break
            prediction = classifier.classify(frame, top_k=config.top_k, region=config.region)
            _emit(sinks, frame, prediction)
            in_warmup = recorder.in_warmup
            recorder.record(replace(prediction.trace, emitted_ns=clock()))
            accuracy.add(frame.truth, prediction)
            frames += 1
            device_stamps = frame.stamp_source == "device"
            if in_warmup:
                dropped_in_warmup = source.dropped
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
        latency=recorder.summarize(dropped=source.dropped, dropped_in_warmup=dropped_in_warmup),
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
