"""Counts the frames of a camera by their sequence numbers, so that each one is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source
    from googlenet_edge.types import Frame

__all__ = ["CaptureCount"]


class CaptureCount:
    """The frames that a source has captured during a run, up to the last one that it handed out.

    Counted by the frames' own numbers, in which dropped frames leave gaps. ``Source.dropped`` would not do: it goes on
    counting after the last frame.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._dropped_before = source.dropped
        self._origin: int | None = None
        self.taken = 0
        """Frames that were handed out."""
        self.captured = 0
        """Frames up to the last one of these: those that were handed out, and those that the source dropped."""

    def add(self, frame: Frame) -> None:
        """Count a frame that was just handed out."""
        if self._origin is None:
            dropped = self._source.dropped
            # Of a source that has handed out nothing before, those that it dropped since it was opened count.
            before = frame.sequence if dropped >= frame.sequence else dropped - self._dropped_before
            self._origin = frame.sequence - before
        self.taken += 1
        self.captured = self.up_to(frame)

    def up_to(self, frame: Frame) -> int:
        """Return the frames that were captured up to this one, itself included."""
        return frame.sequence + 1 - (self._origin or 0)
