"""The loop itself: what comes out of the feed goes to the sinks and into the report."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from googlenet_edge.errors import GoogLeNetEdgeError, InputError, OutputError, SourceLostError
from googlenet_edge.latency.recorder import LatencyRecorder
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.stream.accuracy import combined
from googlenet_edge.stream.cameras import Camera, Monitor
from googlenet_edge.stream.config import StreamConfig
from googlenet_edge.stream.feed import Ended, Feed, FrameClassifier, Result
from googlenet_edge.stream.overlapped import Overlapped
from googlenet_edge.stream.report import CameraReport, EndReason, StreamReport
from googlenet_edge.stream.serial import Serial
from googlenet_edge.stream.tally import Tally
from googlenet_edge.types import Clock

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source

__all__ = ["run_stream", "run_streams"]

_log = logging.getLogger(__name__)
_DEFAULT_CONFIG = StreamConfig()

TICK_S: Final = 0.1
"""How often the loop looks up while nothing comes: at ``stop``, the time limit, lost cameras."""


def run_stream(
    source: Source,
    classifier: FrameClassifier,
    sinks: Sequence[Sink] = (),
    config: StreamConfig = _DEFAULT_CONFIG,
    *,
    clock: Clock = time.monotonic_ns,
    stop: threading.Event | None = None,
    monitor: Monitor | None = None,
) -> StreamReport:
    """Label the frames of one source: :func:`run_streams` of one, whose frames have no camera's name."""
    return _Run([Camera(None, source)], classifier, sinks, config, clock=clock).run(stop or threading.Event(), monitor)


def run_streams(
    cameras: Sequence[Camera],
    classifier: FrameClassifier,
    sinks: Sequence[Sink] = (),
    config: StreamConfig = _DEFAULT_CONFIG,
    *,
    clock: Clock = time.monotonic_ns,
    stop: threading.Event | None = None,
    monitor: Monitor | None = None,
) -> StreamReport:
    """Label frames until all sources end, a limit is reached, ``stop`` is set or something fails; then report.

    Sources, classifier and sinks belong to the caller, who closes them; the sinks get the results of all cameras, on
    the caller's thread, each camera's in the order of capture. ``clock`` must be the one by which the sources and the
    classifier stamp; waiting is done by the machine's own.

    Capture, inference and emission overlap, on threads that end with the run: within a second, if no inference takes
    longer. Until then a source that delivers nothing is waited for; after 0.3 s it is closed. One that still delivers
    stays open, and may be used again. (With ``config.overlap`` off there are no threads, and ``stop`` is looked at
    between frames.)

    A camera that is lost, or of which a frame cannot be classified, ends alone; the others go on. A classifier or sink
    that fails ends the run. Such errors are ours: they are returned in the report, beside what was measured. Any other
    exception is a defect and is raised.

    Raises :class:`InputError` for no camera, for two of one name, for one of several that has none, and for more than
    one without ``config.overlap``.
    """
    names = [camera.name for camera in cameras]
    if not names or len(set(names)) != len(names) or (not all(names) and names != [None]):
        raise InputError(f"cameras: got the names {names}, expected at least one, and each only once; rename them")
    return _Run(cameras, classifier, sinks, config, clock=clock).run(stop or threading.Event(), monitor)


class _Run:
    def __init__(
        self,
        cameras: Sequence[Camera],
        classifier: FrameClassifier,
        sinks: Sequence[Sink],
        config: StreamConfig,
        *,
        clock: Clock,
    ) -> None:
        self._sinks, self._config, self._clock = sinks, config, clock
        self._started_ns = clock()
        self._tallies = [
            Tally(i, camera, labels=classifier.labels, config=config, started_ns=self._started_ns)
            for i, camera in enumerate(cameras)
        ]
        # Of a single camera, what was measured of it is what was measured over all.
        self._overall = LatencyRecorder(started_ns=self._started_ns) if len(cameras) > 1 else None
        self._feed: Feed
        if config.overlap:
            named = [(camera.name, camera.source) for camera in cameras]
            self._feed = Overlapped(named, classifier, config, clock=clock)
        elif len(cameras) == 1:
            self._feed = Serial(cameras[0].source, cameras[0].name, classifier, config)
        else:
            raise InputError(f"stream: got {len(cameras)} cameras and overlap=False, expected one; leave overlap on")
        self._error: GoogLeNetEdgeError | None = None
        self._first_lost: Tally | None = None

    def run(self, stop: threading.Event, monitor: Monitor | None) -> StreamReport:
        with self._feed:
            try:
                ended = self._loop(stop, monitor)
            except GoogLeNetEdgeError as failure:
                self._error = failure
                ended = "output failed" if isinstance(failure, OutputError) else "failed"
                _log.info("the run ended early after %d frames: %s", self._frames, failure)
        return self._report(ended)

    @property
    def _frames(self) -> int:
        return sum(tally.frames for tally in self._tallies)

    def _loop(self, stop: threading.Event, monitor: Monitor | None) -> EndReason:
        while not all(tally.ended for tally in self._tallies):
            limit = self._limit(stop)
            if limit is not None:
                return limit
            for tally in self._tallies:
                if tally.ended is None and tally.went_away(self._feed):
                    self._tell_lost(tally)
            event = self._feed.next(TICK_S)
            if isinstance(event, Result):
                self._emit(self._tallies[event.camera], event)
            elif isinstance(event, Ended):
                self._end(self._tallies[event.camera], event.error, stopped=stop.is_set())
            else:
                for tally in self._tallies:
                    tally.flush()
            if monitor is not None and not self._feed.stuck:
                monitor.tick([tally.status() for tally in self._tallies])
        reasons = [tally.ended for tally in self._tallies if tally.ended is not None]
        if self._first_lost is not None and self._first_lost.ended is not None:
            return self._first_lost.ended
        return "stopped" if "stopped" in reasons else "end of stream"

    def _limit(self, stop: threading.Event) -> EndReason | None:
        config = self._config
        if stop.is_set():
            return "stopped"
        if config.max_frames is not None and self._frames >= config.max_frames:
            return "frame limit"
        if config.max_duration_s is not None and self._clock() - self._started_ns >= config.max_duration_s * 1e9:
            return "time limit"
        return None

    def _emit(self, tally: Tally, result: Result) -> None:
        shown = tally.decide(result.prediction)
        for sink in self._sinks:
            _guarded(sink, partial(sink.emit, result.frame, shown))
        trace, in_warmup = tally.add(result.frame, result.prediction, self._clock(), self._feed)
        if self._overall is not None:
            self._overall.record(trace, warmup=in_warmup)
        tally.keep(trace, warmup=in_warmup)  # the last: where it fails, the frame has been counted everywhere

    def _tell_lost(self, tally: Tally) -> None:
        for sink in self._sinks:
            _guarded(sink, partial(sink.lost, tally.name))

    def _end(self, tally: Tally, error: GoogLeNetEdgeError | None, *, stopped: bool) -> None:
        if stopped:
            # Whoever set stop may close the source too, so as not to wait for its next frame.
            tally.end("stopped", None)
            return
        reason: EndReason = "end of stream"
        if error is not None:
            reason = "source lost" if isinstance(error, SourceLostError) else "failed"
            # Of an only camera, the report says it at once.
            level = logging.INFO if len(self._tallies) == 1 else logging.WARNING
            _log.log(level, "camera %s has ended after %d frames: %s", tally.name, tally.frames, error)
        if tally.end(reason, error):
            self._tell_lost(tally)
        if tally.error is not None and self._first_lost is None:
            self._first_lost = tally

    def _report(self, ended: EndReason) -> StreamReport:
        now_ns = self._clock()
        cameras = tuple(tally.report(self._feed, ended, now_ns) for tally in self._tallies)
        error = self._error
        if error is None and self._first_lost is not None:
            error = self._first_lost.error
        first = cameras[0]
        latency, samples = first.latency, first.samples
        if self._overall is not None:
            latency = self._overall.summarize(
                dropped=sum(camera.dropped for camera in cameras),
                dropped_in_warmup=sum(camera.latency.dropped_in_warmup for camera in cameras),
            )
            samples = self._overall.samples()
        return StreamReport(
            frames=self._frames,
            latency=latency,
            accuracy=combined([camera.accuracy for camera in cameras]),
            samples=samples,
            captured=_captured(cameras),
            ended=ended,
            error=error,
            cameras=cameras,
            batches=tuple(sorted(self._feed.batches.items())),
        )


def _guarded(sink: Sink, action: Callable[[], None]) -> None:
    try:
        action()
    except GoogLeNetEdgeError:
        raise
    except OSError as error:
        raise OutputError(f"{type(sink).__name__}: cannot write the result: {error}") from error


def _captured(cameras: Sequence[CameraReport]) -> str:
    if len({camera.captured for camera in cameras}) == 1:
        return cameras[0].captured
    return "; ".join(f"{camera.name}: {camera.captured}" for camera in cameras)
