"""Pictures that carry a number: large black and white blocks, which survive JPEG, H.264 and another size.

A picture is 16 x 9 blocks, read like text: 16 bits which camera, 32 bits the number, 64 bits when it was made
(``time.monotonic_ns``, one clock for all processes of a machine), 32 bits CRC-32 of these. The whole picture is code,
so a part of it that is damaged shows. This half, which draws, needs the standard library alone: the RTSP server runs on
an interpreter without numpy. :mod:`tests.streams.reading` reads.
"""

from __future__ import annotations

import struct
import time
import zlib
from dataclasses import dataclass

COLUMNS, ROWS = 16, 9
BLACK, WHITE = 32, 224
_LAYOUT = struct.Struct(">HIQ")
_CRC = struct.Struct(">I")


@dataclass(frozen=True)
class Number:
    """What a picture says."""

    camera: int
    number: int
    made_ns: int


class NotNumberedError(ValueError):
    """A picture carries no number, or a damaged one."""


def to_bytes(number: Number) -> bytes:
    """The 144 bits of a picture."""
    content = _LAYOUT.pack(number.camera, number.number, number.made_ns)
    return content + _CRC.pack(zlib.crc32(content))


def from_bytes(data: bytes) -> Number:
    """What the 144 bits of a picture say. Raises :class:`NotNumberedError` where the check bits do not fit."""
    content, crc = data[: _LAYOUT.size], data[_LAYOUT.size :]
    if _CRC.pack(zlib.crc32(content)) != crc:
        raise NotNumberedError(f"the check bits do not fit: {data.hex()}")
    return Number(*_LAYOUT.unpack(content))


def luma(number: Number, width: int, height: int) -> bytes:
    """The brightness of each pixel, row by row: width x height bytes."""
    bits = int.from_bytes(to_bytes(number), "big")
    across = [width * column // COLUMNS for column in range(COLUMNS + 1)]
    down = [height * row // ROWS for row in range(ROWS + 1)]
    rows = []
    for row in range(ROWS):
        line = b"".join(
            bytes([WHITE if bits >> (COLUMNS * ROWS - 1 - row * COLUMNS - column) & 1 else BLACK])
            * (across[column + 1] - across[column])
            for column in range(COLUMNS)
        )
        rows.append(line * (down[row + 1] - down[row]))
    return b"".join(rows)


class Schedule:
    """Picture n of a camera is due n periods after an epoch. The epoch outlives the server: numbers go on across a
    restart.
    """

    def __init__(self, epoch_ns: int, fps: float) -> None:
        self.epoch_ns, self.fps = epoch_ns, fps
        self.next = max(0, int((time.monotonic_ns() - epoch_ns) * fps / 1e9) + 1)

    def wait(self) -> int:
        """Sleep until the next picture is due; return its number. One that is long overdue is left out, as a sensor
        does, so there are no bursts.
        """
        late_ns = time.monotonic_ns() - self._due_ns(self.next)
        if late_ns > 1e9 / self.fps:
            self.next += int(late_ns * self.fps / 1e9)
        number = self.next
        self.next += 1
        time.sleep(max(0.0, (self._due_ns(number) - time.monotonic_ns()) / 1e9))
        return number

    def _due_ns(self, number: int) -> int:
        return self.epoch_ns + int(number * 1e9 / self.fps)
