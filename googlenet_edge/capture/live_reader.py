"""The thread that opens, reads and releases a live source, and opens it again when it was lost."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from googlenet_edge.capture.options import longest_wait_ms
from googlenet_edge.capture.reconnect import NEVER, Reconnect
from googlenet_edge.capture.recovery import Recovery
from googlenet_edge.errors import SourceError
from googlenet_edge.types import Frame

__all__ = ["Grabber", "Handover", "LiveConfig", "OpenGrabber", "Reader"]

_logger = logging.getLogger(__name__)

BUFFERED_FRAMES = 8
"""Frames that wait in memory with ``every_frame``: 50 MB at 1080p, a third of a second at 25 frames/s."""
RELEASE_S = 2.0
"""Longest wait for a grabber to free its camera or connection."""


class Grabber(Protocol):
    """An open camera or connection. Used by one thread only.

    It is opened, and waits for frames, only as long as its timeouts allow, and ends either soon after the stop event
    that it was given is set.
    """

    @property
    def live(self) -> bool:
        """Frames arrive whether or not they are taken."""

    @property
    def fps(self) -> float | None:
        """Frames per second that it says it delivers, at most 1000; None where it says none."""

    def grab(self, sequence: int) -> Frame | None:
        """Block until the next frame and return it, stamped, with this number; None at the end of a finite source.

        The number is higher where the grabber itself left out frames for a newer one: those count as dropped.

        Raises :class:`~googlenet_edge.errors.SourceLostError` where the source stops without having ended.
        """

    def release(self) -> None:
        """Free the camera or the connection."""


OpenGrabber: TypeAlias = Callable[[threading.Event], Grabber]
"""Opens the source, or raises :class:`~googlenet_edge.errors.SourceError`; gives up when the event is set."""


@dataclass(frozen=True)
class LiveConfig:
    """How a live source is read."""

    open_ms: float
    """How long opening may take."""
    read_ms: float
    """How long the next frame may take; at a rate below one frame in that time, it is two frame periods."""
    more_read_ms: float = 0
    """How much more time the grabber needs to say what was wrong."""
    every_frame: bool = False
    """Hand out all frames in order, instead of the newest one."""
    reconnect: Reconnect = NEVER
    fps: float | None = None
    """Frames per second that it is expected to deliver, as long as it does not say itself; None where not known."""
    name: str | None = None
    """What its user calls it."""


class Handover:
    """What the reader thread and the caller's thread share. All of it is guarded by ``changed``."""

    def __init__(self, config: LiveConfig, recovery: Recovery) -> None:
        self.config = config
        self.recovery = recovery
        self.fps = config.fps
        """Frames per second that it delivers, as far as is known; None where it is not."""
        self.changed = threading.Condition()
        self.frames: deque[Frame] = deque()
        self.dropped = 0
        self.next_sequence = 0
        """How many frames the source has captured so far, dropped ones included."""
        self.live: bool | None = None
        """None until the source was open for the first time."""
        self.ended = False
        self.error: BaseException | None = None

    @property
    def read_ms(self) -> float:
        """How long the next frame may take at this rate."""
        return longest_wait_ms(self.config.read_ms, self.fps) + self.config.more_read_ms

    def lose(self, error: SourceError) -> tuple[float, str | None]:
        """Note a loss, and return the seconds until the source is opened again and what to log. Call it with the lock.

        Raises the error that ends the source, where it does: a recording stops for good, and so does, by default, a
        source that was never there.
        """
        delay_s, message = self.recovery.lost(error, frames=self.next_sequence)
        self.changed.notify_all()
        if self.live is False or (self.live is None and self.config.reconnect.attempts is not None):
            self.recovery.end()
            raise error
        return delay_s, message

    def end(self, error: BaseException | None) -> None:
        """Note that there will be no further frame. Call it with the lock."""
        self.ended = True
        self.error = self.error or error
        if error is not None:
            self.recovery.end()
        self.changed.notify_all()


class Reader:
    """One thread that owns one grabber at a time. With ``delay_s``, it waits so long before it opens the first.

    Once its ``stop`` is set, nothing that it still does reaches the handover: an abandoned reader may come back late.
    """

    def __init__(
        self, handover: Handover, open_grabber: OpenGrabber, *, description: str, delay_s: float | None = None
    ) -> None:
        self._handover = handover
        self._open_grabber = open_grabber
        self.delay_s = delay_s
        """How long to wait before the next opening; None while there is no need for one."""
        self.final: SourceError | None = None
        """What ends the source, once it is known: what it held is freed before that is told."""
        self.stop = threading.Event()
        self.doing = "opening"
        self.due: float | None = None
        """By when what it is doing must be over, by ``time.monotonic``; None while it waits for us."""
        self.thread = threading.Thread(target=self._run, name=f"capture {description}", daemon=True)
        with handover.changed:
            self._allow("opening")
        self.thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        handover = self._handover
        try:
            goes_on = True
            while goes_on and not self.stop.is_set():
                if self.delay_s is not None:
                    with handover.changed:
                        self.due = None
                    if self.stop.wait(self.delay_s):
                        break
                    with handover.changed:
                        handover.recovery.attempt()
                self.delay_s = None
                goes_on = self._read()
        except BaseException as caught:  # noqa: BLE001 - whatever it is, the caller's thread raises it
            error = caught
        with handover.changed:
            # What fails once nobody listens any more (a connection cut by closing, say) is no news.
            if not self.stop.is_set():
                self.due = None
                handover.end(error)

    def _read(self) -> bool:
        """Open the source and read it to its end (False) or until it is lost (True)."""
        try:
            with self._handover.changed:
                self._allow("opening")
            grabber = self._open_grabber(self.stop)
        except SourceError as error:
            return self._lose(error)
        try:
            if not self._opened(grabber):
                return False
            wanted = True
            while wanted:
                frame = grabber.grab(self._handover.next_sequence)
                wanted = frame is not None and self._put(frame)
        except SourceError as error:
            return self._lose(error)
        else:
            return False
        finally:
            with self._handover.changed:
                self._allow("releasing")
            grabber.release()

    def _allow(self, what: str) -> None:
        """Note what is being done from now on, and by when it must be over. Call it with the lock."""
        handover = self._handover
        limits_ms = {"opening": handover.config.open_ms, "reading": handover.read_ms, "releasing": 1000 * RELEASE_S}
        self.doing, self.due = what, time.monotonic() + limits_ms[what] / 1000
        handover.changed.notify_all()

    def _opened(self, grabber: Grabber) -> bool:
        with self._handover.changed:
            if self.stop.is_set():
                return False
            self._handover.live = grabber.live
            self._handover.fps = grabber.fps or self._handover.config.fps
            self._allow("reading")
            return True

    def _lose(self, error: SourceError) -> bool:
        with self._handover.changed:
            if self.stop.is_set():
                return False
            try:
                self.delay_s, message = self._handover.lose(error)
            except SourceError as final:
                self.final = final
                raise
        if message is not None:
            _logger.warning(message)
        return True

    def _put(self, frame: Frame) -> bool:
        """Hand a frame over; False where nobody wants it any more."""
        handover = self._handover
        with handover.changed:
            if self.stop.is_set():
                return False
            if handover.config.every_frame or not handover.live:
                self.due = None
                handover.changed.wait_for(lambda: len(handover.frames) < BUFFERED_FRAMES or self.stop.is_set())
                if self.stop.is_set():
                    return False
            elif handover.frames:
                handover.frames.clear()
                handover.dropped += 1
            handover.dropped += frame.sequence - handover.next_sequence  # the grabber left them out
            message = handover.recovery.delivered()
            handover.frames.append(frame)
            handover.next_sequence = frame.sequence + 1
            self._allow("reading")
        if message is not None:
            _logger.warning(message)
        return True
