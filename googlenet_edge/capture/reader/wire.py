"""What goes through the pipe from the process that reads a stream: a header, then a picture or a message."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

__all__ = ["FRAME", "HEADER_BYTES", "MESSAGE", "Header", "message_packet"]

FRAME, MESSAGE = 1, 2
LARGEST_SIDE_PX = 16_384
_LONGEST_MESSAGE_BYTES = 1 << 16
_MAGIC = b"GnEf"
_LAYOUT = struct.Struct("<4sBBHIIIIq")
HEADER_BYTES = _LAYOUT.size


@dataclass(frozen=True)
class Header:
    """What stands before a picture: rows of ``row_bytes``, BGR with 8 bits each, padding at their end."""

    kind: int
    stamped_by_stream: bool = False
    damaged: int = 0
    """Pictures before this one, and since the last header, that could not be decoded."""
    width_px: int = 0
    height_px: int = 0
    row_bytes: int = 0
    """Of a message, all its bytes."""
    skipped: int = 0
    """Pictures before this one, and since the last header, that gave way to a newer one."""
    captured_ns: int = 0
    """By CLOCK_MONOTONIC, which is the same in all processes."""

    def pack(self) -> bytes:
        """Return its bytes."""
        damaged = min(self.damaged, 0xFFFF)
        sizes = (self.width_px, self.height_px, self.row_bytes)
        return _LAYOUT.pack(_MAGIC, self.kind, self.stamped_by_stream, damaged, *sizes, self.skipped, self.captured_ns)

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Return the header of these bytes. Raises ValueError for what is none."""
        magic, kind, stamped, *rest = _LAYOUT.unpack(data)
        header = cls(kind, bool(stamped), *rest)
        width, height = header.width_px, header.height_px
        good = magic == _MAGIC and (
            (kind == MESSAGE and header.row_bytes <= _LONGEST_MESSAGE_BYTES)
            or (
                kind == FRAME
                and 1 <= width <= LARGEST_SIDE_PX
                and 1 <= height <= LARGEST_SIDE_PX
                and 3 * width <= header.row_bytes <= 3 * width + 4096
            )
        )
        if not good:
            raise ValueError(f"got {data[:16]!r}, expected a header")
        return header


def message_packet(event: str, **fields: object) -> bytes:
    """Return a message with its header."""
    body = json.dumps({"event": event, **fields}).encode()
    return Header(MESSAGE, row_bytes=len(body)).pack() + body
