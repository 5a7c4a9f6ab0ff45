"""Live sources: one reader thread takes frames as they come, and the caller gets the newest one.

The thread owns the camera or connection: it opens it, reads it and releases it, and nobody else touches it. All that
the caller waits for has a limit, so a read that blocks for ever costs at most one thread, never the program's end.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame

__all__ = ["Grabber", "LiveSource", "Timeouts"]

_logger = logging.getLogger(__name__)

BUFFERED_FRAMES = 8
"""Frames that wait in memory with ``every_frame``: 50 MB at 1080p, a third of a second at 25 frames/s."""
GRACE_S = 0.5
"""How much longer than the library below we wait, so that its own timeout, with its clearer message, comes first."""
JOIN_S = 2.0
"""Longest wait for the reader thread in :meth:`LiveSource.close`."""


class Grabber(Protocol):
    """An open camera or connection. Used by one thread only."""

    @property
    def live(self) -> bool:
        """Frames arrive whether or not they are taken."""

    def grab(self, sequence: int) -> Frame | None:
        """Block until the next frame and return it, stamped, with this number; None at the end of a finite source.

        Raises :class:`SourceLostError` where the source stops without having ended.
        """

    def release(self) -> None:
        """Free the camera or the connection."""


@dataclass(frozen=True)
class Timeouts:
    """The limits of a live source."""

    open_ms: float
    read_ms: float


class LiveSource:
    """A source that is read by its own thread; see :class:`~googlenet_edge.capture.source.Source`.

    ``open_grabber`` runs on that thread and is given the stop event; ``interrupt``, where there is one, is called by
    ``close`` to end a read. Raises what ``open_grabber`` raises, or :class:`SourceError` when that takes longer than
    ``timeouts.open_ms``.
    """

    labels: tuple[str, ...] | None

    def __init__(
        self,
        open_grabber: Callable[[threading.Event], Grabber],
        *,
        description: str,
        timeouts: Timeouts,
        every_frame: bool,
        clock: Clock,
        labels: tuple[str, ...] | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self.description = description
        self.labels = labels
        self._open_grabber = open_grabber
        self._timeouts = timeouts
        self._interrupt = interrupt
        self._clock = clock
        self._keep_all = every_frame
        self._changed = threading.Condition()  # guards all that follows
        self._stop = threading.Event()
        self._live: bool | None = None  # None until the grabber is open
        self._ended = False
        self._error: BaseException | None = None
        self._frames: deque[Frame] = deque()
        self._dropped = 0
        self._thread = threading.Thread(target=self._read, name=f"capture {description}", daemon=True)
        self._thread.start()
        try:
            self._wait_until_open()
        except BaseException:
            self._stop.set()
            raise

    @property
    def live(self) -> bool:
        """Frames arrive whether or not they are taken."""
        return bool(self._live)

    @property
    def dropped(self) -> int:
        """Frames that gave way to a newer one before they were taken, so far."""
        with self._changed:
            return self._dropped

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._take()) is not None:
            yield frame

    def __enter__(self) -> LiveSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the reader thread and whoever waits for a frame. Idempotent; takes at most about two seconds."""
        with self._changed:
            self._stop.set()
            self._frames.clear()
            self._changed.notify_all()
        if self._interrupt is not None:
            self._interrupt()
        if self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                _logger.warning(
                    "%s: still blocked in a read after closing; its thread is left behind", self.description
                )

    # On the caller's thread.

    def _wait_until_open(self) -> None:
        with self._changed:
            answered = self._changed.wait_for(
                lambda: self._live is not None or self._ended, self._timeouts.open_ms / 1000 + GRACE_S
            )
            if not answered:
                raise SourceError(
                    f"{self.description}: not open after {self._timeouts.open_ms:g} ms; check that it is switched on "
                    f"and reachable, or allow more time with a longer open timeout"
                )
            if self._live is None and self._error is not None:
                raise self._error

    def _take(self) -> Frame | None:
        with self._changed:
            answered = self._changed.wait_for(
                lambda: self._frames or self._ended or self._stop.is_set(), self._timeouts.read_ms / 1000 + GRACE_S
            )
            if self._frames:
                frame = self._frames.popleft()
                self._changed.notify_all()  # the reader may be waiting for room
                # A finite source was read ahead: its frame is as old as its place in the pipeline, not in our buffer.
                return frame if self._live else replace(frame, captured_ns=self._clock())
            if self._stop.is_set() and self._error is None:
                return None
            if not answered:
                self._stop.set()
                self._error = SourceLostError(
                    f"{self.description}: no frame for {self._timeouts.read_ms:g} ms; "
                    f"check the camera and its cable or network, or allow more time with a longer read timeout"
                )
            if self._error is not None:
                raise self._error
            return None

    # On the reader thread.

    def _read(self) -> None:
        grabber: Grabber | None = None
        error: BaseException | None = None
        try:
            grabber = self._open_grabber(self._stop)
            with self._changed:
                self._live = grabber.live
                self._keep_all = self._keep_all or not grabber.live
                self._changed.notify_all()
            sequence = 0
            while not self._stop.is_set() and (frame := grabber.grab(sequence)) is not None:
                self._put(frame)
                sequence += 1
        except BaseException as caught:  # noqa: BLE001 - whatever it is, the caller's thread raises it
            # What fails once nobody listens any more (a connection cut by closing, say) is no news.
            error = None if self._stop.is_set() else caught
        finally:
            if grabber is not None:
                grabber.release()
            with self._changed:
                self._ended = True
                self._error = self._error or error
                self._changed.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            if self._keep_all:
                self._changed.wait_for(lambda: len(self._frames) < BUFFERED_FRAMES or self._stop.is_set())
            elif self._frames:
                self._frames.clear()
                self._dropped += 1
            if not self._stop.is_set():
                self._frames.append(frame)
                self._changed.notify_all()
