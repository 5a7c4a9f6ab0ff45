"""Frames under way: a thread prepares the next one while the device computes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from googlenet_edge.errors import GoogLeNetEdgeError

if TYPE_CHECKING:
    from types import TracebackType

    from googlenet_edge.capture.source import Source
    from googlenet_edge.stream.config import StreamConfig
    from googlenet_edge.stream.feed import FrameClassifier, Labelled, PendingFrame
    from googlenet_edge.types import Frame

__all__ = ["Overlapped"]

_log = logging.getLogger(__name__)

JOIN_S: Final = 5.0
"""Longest wait for a source's next frame at the end of a run, before the source is closed to end that wait."""


class Overlapped:
    """A :class:`~googlenet_edge.stream.feed.Feed` with a thread that has the next frame ready when the device is.

    Of a live source, the newest frame wins: when one arrives, those before it give way to it, except for what the
    device is computing and what the caller has asked for. So a frame never gets older by waiting behind another one, or
    behind a slow sink. Of any other source, every frame is computed, and the thread waits while all slots are taken.
    """

    def __init__(self, source: Source, classifier: FrameClassifier, config: StreamConfig) -> None:
        self._source, self._classifier, self._config = source, classifier, config
        self._newest_wins = source.live and not config.every_frame
        self._stop = threading.Event()
        self._changed = threading.Condition()  # guards all that follows
        self._pending: deque[tuple[Frame, PendingFrame]] = deque()
        self._awaited = 0  # 1 while the caller waits for a frame that it took out of _pending
        self._delivered = 0
        self._replaced = 0
        self._ended = False  # the thread is over but for its return; Thread.is_alive is wrong after a Ctrl-C in join
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"feed {source.description}", daemon=True)

    @property
    def replaced(self) -> int:
        """Frames that gave way to a newer one, so far."""
        with self._changed:
            return self._replaced

    def __enter__(self) -> Overlapped:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    # On the caller's thread.

    def next(self) -> Labelled | None:
        """Wait for the oldest frame under way; see :class:`~googlenet_edge.stream.feed.Feed`."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._ended)
            if not self._pending:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                return None
            frame, pending = self._pending.popleft()
            self._awaited = 1
        try:
            prediction = pending.result()
        finally:
            with self._changed:
                self._awaited = 0
                self._delivered += 1
                self._changed.notify_all()
        return frame, prediction

    def _close(self) -> None:
        """End the thread, and take back or wait for what is under way: the next user finds all slots free."""
        with self._changed:
            self._stop.set()
            self._changed.notify_all()
        if not self._wait_for_end():
            _log.warning("%s: no frame for %g s at the end of the run; closing it", self._source.description, JOIN_S)
            self._source.close()
            if not self._wait_for_end():
                _log.warning("%s: still blocked after closing; its thread is left behind", self._source.description)
        with self._changed:
            left, self._pending = self._pending, deque()
            error = self._error
        for _, pending in left:
            try:
                if not pending.withdraw():
                    pending.result()
            except GoogLeNetEdgeError as failure:
                _log.debug("a frame after the end of the run failed: %s", failure)
        if error is not None:
            _log.warning("%s: failed after the end of the run: %s", self._source.description, error)

    def _wait_for_end(self) -> bool:
        with self._changed:
            ended = self._changed.wait_for(lambda: self._ended, JOIN_S)
        if ended:
            self._thread.join(JOIN_S)
        return ended

    # On the feeding thread.

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            frames = iter(self._source)
            while self._may_take() and (frame := next(frames, None)) is not None and self._make_room():
                pending = self._classifier.submit(
                    frame, top_k=self._config.top_k, region=self._config.region, hold=self._newest_wins
                )
                with self._changed:
                    self._pending.append((frame, pending))
                    self._changed.notify_all()
        except BaseException as caught:  # noqa: BLE001 - whatever it is, the caller's thread raises it
            error = caught
        finally:
            with self._changed:
                self._ended, self._error = True, error
                self._changed.notify_all()

    def _may_take(self) -> bool:
        """Wait until another frame is wanted, and return False when none will be."""
        most = self._config.max_frames

        def wanted() -> bool:
            return (most is None or self._delivered + self._under_way < most) and (self._newest_wins or self._has_room)

        return self._wait_until(wanted)

    def _make_room(self) -> bool:
        """Let the frames that can give way to a newer one, and wait for a slot; return False when stopped."""
        finished: list[PendingFrame] = []
        if self._newest_wins:
            with self._changed:
                kept: deque[tuple[Frame, PendingFrame]] = deque()
                for frame, pending in self._pending:
                    if pending.withdraw():
                        self._replaced += 1
                    elif pending.done():
                        self._replaced += 1
                        finished.append(pending)
                    else:
                        kept.append((frame, pending))
                self._pending = kept
        for pending in finished:
            pending.result()  # gives its slot back, and says if the device has failed
        return self._wait_until(lambda: self._has_room)

    def _wait_until(self, condition: Callable[[], bool]) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stop.is_set() or condition())
            return not self._stop.is_set()

    @property
    def _under_way(self) -> int:
        return len(self._pending) + self._awaited

    @property
    def _has_room(self) -> bool:
        return self._under_way < self._classifier.slots
