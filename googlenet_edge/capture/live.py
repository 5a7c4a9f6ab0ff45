"""Live sources: one reader thread takes frames as they come, and the caller gets the newest one.

The thread owns the camera or connection: it opens it, reads it and releases it, and nobody else touches it. All that
the caller waits for has a limit, so a read that blocks for ever costs at most a thread, never the program's end. A
source that is lost is opened again, where that is wanted, and the caller sees only that the next frame takes longer.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType

from googlenet_edge.capture.live_reader import Grabber, Handover, LiveConfig, OpenGrabber, Reader
from googlenet_edge.capture.options import titled
from googlenet_edge.capture.recovery import Recovery
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame, Outages

__all__ = ["Grabber", "LiveConfig", "LiveSource"]

_logger = logging.getLogger(__name__)

GRACE_S = 0.5
"""How much longer than the grabber we wait, so that its own timeout, with its clearer message, comes first."""
JOIN_S = 0.9
"""Longest wait for the reader thread in :meth:`LiveSource.close`."""
LOOK_S = 0.05
"""How often the stop event is looked at while a source is opened."""
MOST_BLOCKED = 3
"""Threads that may be blocked in a read at once; after that, opening the source again would only add more."""


class LiveSource:
    """A source that is read by its own thread; see :class:`~googlenet_edge.capture.source.Source`.

    ``open_grabber`` runs on that thread and is given the stop event; ``interrupt``, where there is one, is called by
    ``close`` to end a read. ``stop``, where there is one, is looked at while the source is opened at first.

    Raises what ``open_grabber`` raises, or :class:`SourceError` when that takes longer than ``config.open_ms`` or is
    stopped. With ``config.reconnect.attempts=None``, a source that is not there yet is no error: it is opened later.
    """

    labels: tuple[str, ...] | None

    def __init__(
        self,
        open_grabber: OpenGrabber,
        config: LiveConfig,
        *,
        description: str,
        clock: Clock,
        labels: tuple[str, ...] | None = None,
        interrupt: Callable[[], None] | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.description = description
        self.labels = labels
        self._open_grabber = open_grabber
        self._interrupt = interrupt
        self._clock = clock
        self._title = titled(config.name, description)
        recovery = Recovery(config.reconnect, description=description, clock=clock, name=config.name)
        self._shared = Handover(config, recovery)
        self._closed = False  # this and the next two are guarded by the handover's lock
        self._blocked: list[Reader] = []
        if stop is not None and stop.is_set():
            raise SourceError(f"{description}: stopped before it was opened")
        self._reader = Reader(self._shared, open_grabber, description=description)
        try:
            self._wait_until_open(stop)
        except BaseException:
            self.close()
            raise

    @property
    def live(self) -> bool:
        """Frames arrive whether or not they are taken; also as long as a source was not there yet."""
        return self._shared.live is not False

    @property
    def fps(self) -> float | None:
        """Frames per second that it says it delivers, or else that it was asked for; None where neither is known."""
        with self._shared.changed:
            return self._shared.fps

    @property
    def dropped(self) -> int:
        """Frames that gave way to a newer one before they were taken, so far."""
        with self._shared.changed:
            return self._shared.dropped

    @property
    def connected(self) -> bool:
        """False from the moment when it is lost, or was not there at first, until its next frame."""
        with self._shared.changed:
            return not self._shared.recovery.down

    @property
    def outages(self) -> Outages:
        """How often it was lost and came back, so far."""
        with self._shared.changed:
            return self._shared.recovery.outages

    @property
    def blocked(self) -> int:
        """Threads that are blocked in a library far beyond its time limit, and were given up, at present."""
        with self._shared.changed:
            return sum(reader.thread.is_alive() for reader in self._blocked)

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
        """End the reader thread and whoever waits for a frame. Idempotent; takes at most about a second."""
        shared = self._shared
        limit = time.monotonic() + JOIN_S
        with shared.changed:
            self._closed = True
            reader = self._reader
            reader.stop.set()
            shared.frames.clear()
            shared.recovery.end()
            shared.changed.notify_all()
        if self._interrupt is not None:
            self._interrupt()
        if reader.thread is not threading.current_thread():
            reader.thread.join(max(0.0, limit - time.monotonic()))
            if reader.thread.is_alive():
                _logger.warning(
                    "%s: still blocked in %s after closing; its thread is left behind", self._title, reader.doing
                )

    # On the caller's thread.

    def _wait_until_open(self, stop: threading.Event | None) -> None:
        shared = self._shared
        may_be_absent = shared.config.reconnect.attempts is None

        def settled() -> bool:
            stopped = stop is not None and stop.is_set()
            return shared.live is not None or (may_be_absent and shared.recovery.down) or stopped

        self._wait(settled, look_s=math.inf if stop is None else LOOK_S)
        with shared.changed:
            if stop is not None and stop.is_set():
                raise SourceError(f"{self.description}: stopped while it was being opened")
            if shared.live is None and shared.error is not None:
                raise shared.error

    def _take(self) -> Frame | None:
        shared = self._shared
        while True:
            self._wait(lambda: bool(shared.frames))
            with shared.changed:
                if shared.frames:
                    frame = shared.frames.popleft()
                    shared.changed.notify_all()  # the reader may be waiting for room
                    # A finite source was read ahead: its frame is as old as its place in the pipeline, not in our
                    # buffer.
                    if shared.live:
                        return frame
                    return replace(frame, captured_ns=self._clock(), stamp_source="host")
                if shared.error is not None:
                    raise shared.error
                if self._closed or shared.ended:
                    return None

    def _wait(self, condition: Callable[[], bool], *, look_s: float = math.inf) -> None:
        """Wait until the condition holds or the source has ended, and see to it that no reader blocks for ever.

        The condition is looked at when the reader has news, and every ``look_s``.
        """
        shared = self._shared

        def settled() -> bool:
            return condition() or shared.ended or self._closed

        while True:
            with shared.changed:
                if settled():
                    return
                messages = self._abandon(self._reader) if self._is_overdue(settled, look_s) else []
            for message in messages:  # without the lock, because writing a log may block
                _logger.warning(message)

    def _is_overdue(self, settled: Callable[[], bool], look_s: float) -> bool:
        """Wait for news, or until the reader should have come back; say whether it did not. Call it with the lock."""
        reader, due = self._reader, self._reader.due
        left_s = look_s if due is None else min(due - time.monotonic(), look_s)
        if left_s > 0:
            self._shared.changed.wait(None if left_s == math.inf else left_s)
            return False
        # The whole process may have been stopped for a while: the reader gets its chance too.
        return not self._shared.changed.wait_for(lambda: settled() or reader.due != due, GRACE_S)

    def _abandon(self, reader: Reader) -> list[str]:
        """Go on without a reader whose grabber does not come back; return what to log. Call it with the lock."""
        shared, error = self._shared, self._overdue(reader)
        reader.stop.set()
        self._blocked = [r for r in (*self._blocked, reader) if r.thread.is_alive()]
        number = len(self._blocked)
        left = f"{self._title}: still blocked in {reader.doing}; its thread is left behind, {number} so far"
        # Where it blocks in freeing what it lost, the loss is noted already; if that was final, or the end, it is over.
        message, delay_s = None, reader.delay_s
        if reader.doing == "releasing" and delay_s is None:
            shared.end(reader.final)
            return [left]
        try:
            if delay_s is None:
                delay_s, message = shared.lose(error)
            if number > MOST_BLOCKED:
                raise SourceLostError(
                    f"{self.description}: {number} threads are blocked in it beyond every time limit, so it is not "
                    f"opened again; check the camera and its driver, and start the program again ({error})"
                )
        except SourceError as final:
            shared.end(final)
            return [left]
        self._reader = Reader(
            shared, self._open_grabber, description=f"{self.description} ({number} blocked)", delay_s=delay_s
        )
        return [left] if message is None else [left, message]

    def _overdue(self, reader: Reader) -> SourceError:
        config = self._shared.config
        if reader.doing == "opening":
            return SourceError(
                f"{self.description}: not open after {config.open_ms:g} ms; check that it is switched on "
                f"and reachable, or allow more time with a longer open timeout"
            )
        return SourceLostError(
            f"{self.description}: no frame for {self._shared.read_ms:g} ms; "
            f"check the camera and its cable or network, or allow more time with a longer read timeout"
        )
