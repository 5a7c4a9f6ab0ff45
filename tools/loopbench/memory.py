"""A source of frames that lie ready in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType

from googlenet_edge.types import Frame, ImageArray, Outages

__all__ = ["MemorySource"]


class MemorySource:
    """The same picture again and again, without end; a :class:`~googlenet_edge.capture.source.Source`."""

    description = "memory"
    live = False
    labels: tuple[str, ...] | None = None
    dropped = 0
    connected = True
    outages = Outages()

    def __init__(self, image: ImageArray) -> None:
        self._image = image
        self._closed = False
        self._sequence = 0

    def __iter__(self) -> Iterator[Frame]:
        while not self._closed:
            yield Frame(self._image, self._sequence, time.monotonic_ns())
            self._sequence += 1

    def __enter__(self) -> MemorySource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
