"""Makes a live source of another one: the frames of a file or of the demo scene at their pace, as from a camera."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.types import Clock, Frame

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source

__all__ = ["PacedGrabber"]


class PacedGrabber:
    """A :class:`~googlenet_edge.capture.live.Grabber` over another source.

    Frames are delivered and stamped when they are due. ``step_ns`` is called after each frame is read, and says how
    long after the one before it is due; without it, the source keeps its own pace and its stamps.
    """

    live = True
    fps: float | None = None
    """It has been told to whoever reads it."""

    def __init__(
        self, source: Source, *, step_ns: Callable[[], int] | None, stop: threading.Event, clock: Clock
    ) -> None:
        self._source = source
        self._frames = iter(source)
        self._step_ns = step_ns
        self._stop = stop
        self._clock = clock
        self._due_ns: int | None = None  # of the latest frame

    def grab(self, sequence: int) -> Frame | None:
        """Return the next frame of the source when it is due, or None at its end."""
        frame = next(self._frames, None)
        if frame is None or self._step_ns is None:
            return frame
        now_ns = self._clock()
        step_ns = self._step_ns()
        due_ns = now_ns if self._due_ns is None else self._due_ns + step_ns
        # A source that cannot keep up delivers late; it does not catch up in a burst, which no camera does.
        self._due_ns = due_ns if now_ns - due_ns <= step_ns else now_ns
        if self._due_ns > now_ns:
            if self._stop.wait((self._due_ns - now_ns) / 1e9):
                return None
            now_ns = self._clock()
        return replace(frame, sequence=sequence, captured_ns=now_ns)

    def release(self) -> None:
        """Close the source."""
        self._source.close()
