"""Raw frames with their sizes and stamps, as GStreamer's ``gdppay`` packs them (GStreamer Data Protocol 1.0)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import SourceError
from googlenet_edge.types import Clock, ImageArray

__all__ = ["FrameReader", "PipedFrame"]

HEADER_BYTES = 62
_VERSION = b"\1\0"
_BUFFER, _CAPS = 1, 2
_LARGEST_SIDE_PX = 16_384
_LONGEST_MESSAGE_BYTES = 1 << 20
_NO_TIME = (1 << 64) - 1


@dataclass(frozen=True)
class PipedFrame:
    """A frame as it came through the pipe."""

    image: ImageArray
    """uint8 (height, width, 3) BGR."""
    arrived_ns: int
    """When its first byte was taken from the pipe."""
    pts_ns: int | None
    """The pipeline's own time stamp (PTS), by a clock of its own; None where it has none."""
    held_up: bool
    """It was there before it was asked for: it may have waited for us for any time."""


class FrameReader:
    """Takes frames out of a stream of packets.

    The size of a frame comes with the stream itself, in a packet before the first frame and before each frame that has
    another size: so changes in mid-stream are followed. ``read`` fills memory from the stream; what it raises, such as
    for the end of the stream, goes to the caller. ``is_waiting`` says whether there is something to read already.
    """

    def __init__(
        self, read: Callable[[memoryview], None], is_waiting: Callable[[], bool], *, description: str, clock: Clock
    ) -> None:
        self._read = read
        self._is_waiting = is_waiting
        self._description = description
        self._clock = clock
        self._size_px: tuple[int, int] | None = None
        self.fps: float | None = None
        """Frames per second, as the stream says; None where it says none, or that they vary."""

    def next_frame(self) -> PipedFrame:
        """Return the next frame. Raises :class:`SourceError` for what is no such stream."""
        header = bytearray(HEADER_BYTES)
        while True:
            held_up = self._is_waiting()
            self._read(memoryview(header))
            arrived_ns = self._clock()
            if header[:2] != _VERSION:
                raise self._broken("it is not in GStreamer's data protocol 1.0")
            kind, length = int.from_bytes(header[4:6], "big"), int.from_bytes(header[6:10], "big")
            if kind == _BUFFER:
                pts_ns = int.from_bytes(header[10:18], "big")
                return PipedFrame(self._image(length), arrived_ns, None if pts_ns == _NO_TIME else pts_ns, held_up)
            if length > _LONGEST_MESSAGE_BYTES:
                raise self._broken(f"got a message of {length:,} bytes")
            message = bytearray(length)
            self._read(memoryview(message))
            if kind == _CAPS:
                self._take_caps(message.decode("latin-1"))

    def _take_caps(self, caps: str) -> None:
        found = [re.search(rf"\b{side}=\(int\)([0-9]{{1,6}})\b", caps) for side in ("width", "height")]
        width, height = (int(match[1]) if match else 0 for match in found)
        if not caps.startswith("video/x-raw,") or not re.search(r"\bformat=\(string\)BGR(?![\w])", caps):
            raise self._broken(f"got {caps[:80]!r}, expected raw BGR video")
        if not (1 <= width <= _LARGEST_SIDE_PX and 1 <= height <= _LARGEST_SIDE_PX):
            raise self._broken(f"got {width}x{height} pixels, expected 1 to {_LARGEST_SIDE_PX} each way")
        self._size_px = width, height
        rate = re.search(r"\bframerate=\(fraction\)([0-9]{1,10})/([0-9]{1,10})\b", caps)
        frames, seconds = (int(rate[1]), int(rate[2])) if rate else (0, 0)
        self.fps = frames / seconds if frames and seconds else None

    def _image(self, length: int) -> ImageArray:
        if self._size_px is None:
            raise self._broken("a frame came before its size")
        width, height = self._size_px
        row_bytes = (3 * width + 3) // 4 * 4  # GStreamer begins each row at a multiple of four bytes
        if length != row_bytes * height:
            raise self._broken(f"got {length:,} bytes for {width}x{height}, expected {row_bytes * height:,}")
        rows: npt.NDArray[np.uint8] = np.empty((height, row_bytes), np.uint8)
        self._read(rows.data.cast("B"))
        return np.ascontiguousarray(rows[:, : 3 * width]).reshape(height, width, 3)

    def _broken(self, reason: str) -> SourceError:
        return SourceError(f"{self._description}: cannot follow the frames of the pipeline: {reason}")
