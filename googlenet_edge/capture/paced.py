"""Makes a live source of another one: the frames of a file or of the demo scene at a steady rate, as from a camera."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.types import Clock, Frame

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source

__all__ = ["PacedGrabber"]


class PacedGrabber:
    """A :class:`~googlenet_edge.capture.live.Grabber` over another source.

    Frames are delivered and stamped when they are due; without ``fps``, the source keeps its own pace and its stamps.
    """

    live = True

    def __init__(self, source: Source, *, fps: float | None, stop: threading.Event, clock: Clock) -> None:
        self._source = source
        self._frames = iter(source)
        self._interval_ns = None if fps is None else round(1e9 / fps)
        self._stop = stop
        self._clock = clock
        self._due_ns: int | None = None

    def grab(self, sequence: int) -> Frame | None:
        """Return the next frame of the source when it is due, or None at its end."""
        frame = next(self._frames, None)
        if frame is None or self._interval_ns is None:
            return frame
        now_ns = self._clock()
        due_ns = now_ns if self._due_ns is None else self._due_ns
        if due_ns > now_ns:
            if self._stop.wait((due_ns - now_ns) / 1e9):
                return None
            now_ns = self._clock()
        # A source that cannot keep up delivers late; it does not catch up in a burst, which no camera does.
        self._due_ns = max(due_ns + self._interval_ns, now_ns)
        return replace(frame, sequence=sequence, captured_ns=now_ns)

    def release(self) -> None:
        """Close the source."""
        self._source.close()
