"""Capture, inference and emission at the same time: a thread for each camera, one that computes, and the caller's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from googlenet_edge.capture.options import titled
from googlenet_edge.errors import GoogLeNetEdgeError, InputError
from googlenet_edge.stream.decide import asked_top_k
from googlenet_edge.stream.traffic import Traffic

if TYPE_CHECKING:
    from types import TracebackType

    from googlenet_edge.capture.source import Source
    from googlenet_edge.stream.config import StreamConfig
    from googlenet_edge.stream.counting import CaptureCount
    from googlenet_edge.stream.feed import Event, FrameClassifier
    from googlenet_edge.stream.lanes import Entry, Lane
    from googlenet_edge.types import Clock

__all__ = ["Overlapped"]

_log = logging.getLogger(__name__)

PATIENCE_S: Final = 0.3
"""Longest wait for the next frame of a source at the end of a run, before the source is closed to end that wait."""
TICK_S: Final = 0.02
"""How often, meanwhile, it is looked whether a source has been silent for that long already."""
CLOSE_S: Final = 0.6
"""Longest wait for sources that are closed then."""
INFERENCE_S: Final = 5.0
"""An inference that takes longer is stuck."""


class Overlapped:
    """A :class:`~googlenet_edge.stream.feed.Feed` in which frames arrive, are computed and come out at the same time.

    One thread for each camera, the taker, takes its frames up; one, the feeder, brings them to the classifier, those
    that wait together as one batch. With a classifier of one slot, computing is done on that thread; with more, on the
    device, and the next frames are ready when it is.

    Where the newest frame wins, a frame gives way to a newer one of its camera until it is being computed, and again as
    a result that nobody has taken. So none gets old by waiting behind another one, or behind a slow sink.
    """

    def __init__(
        self,
        cameras: Sequence[tuple[str | None, Source]],
        classifier: FrameClassifier,
        config: StreamConfig,
        *,
        clock: Clock,
    ) -> None:
        self._names = [name for name, _ in cameras]
        self._classifier, self._region, self._clock = classifier, config.region, clock
        self._top_k = asked_top_k(config, len(classifier.labels))
        sources = [source for _, source in cameras]
        self._traffic = Traffic(sources, config, slots=classifier.slots, max_batch=classifier.max_batch)
        self._takers = [
            threading.Thread(target=self._take, args=(lane,), name=f"feed {lane.source.description}", daemon=True)
            for lane in self._traffic.lanes
        ]
        self._feeder = threading.Thread(target=self._compute, name="feed the classifier", daemon=True)
        self._began_s: float | None = None

    @property
    def stuck(self) -> bool:
        """An inference has been under way for longer than any should take."""
        began_s = self._began_s
        return began_s is not None and time.monotonic() - began_s > INFERENCE_S

    @property
    def batches(self) -> dict[int, int]:
        """How many batches of each size were computed."""
        return self._traffic.batches

    def count(self, camera: int) -> CaptureCount:
        """Return the frames of this camera, so far."""
        return self._traffic.lanes[camera].count

    def idle(self, camera: int) -> bool:
        """Say whether no frame of this camera is under way."""
        return self._traffic.idle(camera)

    def next(self, timeout_s: float) -> Event | None:
        """See :meth:`~googlenet_edge.stream.feed.Feed.next`."""
        return self._traffic.next(timeout_s)

    def __enter__(self) -> Overlapped:
        try:
            for thread in (*self._takers, self._feeder):
                thread.start()
        except BaseException:
            self._traffic.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the threads, and take back or wait for what is under way: the next user finds all slots free."""
        self._traffic.stop()
        blocked = self._wait_for_takers()
        if blocked:
            self._close(blocked)
        if not self._traffic.wait_for_feeder(INFERENCE_S):
            _log.warning("the classifier has not come back for %g s; its thread is left behind", INFERENCE_S)
            return
        for batch in self._traffic.left():
            try:
                if not batch.pending.withdraw():
                    batch.pending.result()
            except GoogLeNetEdgeError as failure:
                _log.debug("frames after the end of the run failed: %s", failure)
        for lane, thread in zip(self._traffic.lanes, self._takers, strict=True):
            if lane.taker_ended:
                thread.join(CLOSE_S)  # it has nothing left to do but to return
        self._feeder.join(CLOSE_S)

    def _wait_for_takers(self) -> list[Lane]:
        """Return the cameras whose takers still wait, each for as long as a frame may take to come, or longer."""
        until_s = time.monotonic() + PATIENCE_S
        while blocked := self._traffic.wait_for_takers(TICK_S):
            now_s = time.monotonic()
            if now_s >= until_s or all(now_s - lane.waiting_since_s >= PATIENCE_S for lane in blocked):
                break
        return blocked

    def _close(self, lanes: Sequence[Lane]) -> None:
        """Close sources whose takers wait for a frame, all at once."""
        for lane in lanes:
            _log.info("%s: no frame for %g s at the end of the run; closing it", self._title(lane), PATIENCE_S)
        closers = [threading.Thread(target=lane.source.close, name="feed close", daemon=True) for lane in lanes]
        for closer in closers:
            closer.start()
        until_s = time.monotonic() + CLOSE_S
        for lane in self._traffic.wait_for_takers(CLOSE_S):
            _log.warning("%s: still blocked after closing; its thread is left behind", self._title(lane))
        for closer in closers:
            closer.join(max(0, until_s - time.monotonic()))

    def _title(self, lane: Lane) -> str:
        return titled(self._names[lane.index], lane.source.description)

    # On the takers' threads.

    def _take(self, lane: Lane) -> None:
        error: BaseException | None = None
        name = self._names[lane.index]
        try:
            frames = iter(lane.source)
            while self._traffic.may_take(lane) and (frame := next(frames, None)) is not None:
                self._traffic.arrived(lane, frame if name is None else replace(frame, camera=name))
        except BaseException as caught:  # noqa: BLE001 - whatever it is, the caller's thread raises it
            error = caught
        finally:
            self._traffic.source_ended(lane, error)

    # On the feeder's thread.

    def _compute(self) -> None:
        error: BaseException | None = None
        try:
            while (entries := self._traffic.next_entries()) is not None:
                self._submit(entries)
        except BaseException as caught:  # noqa: BLE001 - whatever it is, the caller's thread raises it
            error = caught
        finally:
            self._traffic.feeder_ended(error)

    def _submit(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if not entry.lane.live:
                # It was read ahead: it is as old as its place in the pipeline, not in the buffer.
                entry.frame = replace(entry.frame, captured_ns=self._clock())
        hold = any(entry.lane.newest for entry in entries)
        frames = [entry.frame for entry in entries]
        self._began_s = time.monotonic()
        try:
            pending = self._classifier.submit_batch(frames, top_k=self._top_k, region=self._region, hold=hold)
            predictions = pending.result() if self._classifier.slots == 1 else None
        except InputError as error:
            self._traffic.refused(entries, error)
            return
        finally:
            self._began_s = None
        if predictions is None:
            self._traffic.submitted(entries, pending, hold=hold)
        else:
            self._traffic.computed(entries, predictions)
