"""Finds JPEG pictures in a stream of bytes, whatever stands between them.

Cameras differ in the boundaries, headers and lengths of multipart MJPEG, and some have them wrong. A JPEG says itself
where it begins and ends (ITU-T T.81, annex B), so nothing else is needed; and a picture is complete with its own last
byte, not only when the next one begins.
"""

from __future__ import annotations

import re

__all__ = ["JpegSplitter"]

LARGEST_JPEG_BYTES = 64 << 20
_START = b"\xff\xd8\xff"
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
# A marker within coded data: what is stuffed (00), restarts (D0-D7) and fill bytes (FF) are part of the data.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_APPLICATION = frozenset(range(0xE0, 0xF0))  # where cameras put thumbnails, pictures of their own
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))
# In a damaged picture, bytes that look like a marker announce up to 64 kB, with whole pictures in them. No table is so
# long: DHT has at most 8 tables, DQT 4, SOS and SOF name at most 4 components, DAC 16 conditionings.
_LONGEST = {0xC4: 2 + 8 * 273, 0xDB: 2 + 4 * 129, 0xDA: 6 + 2 * 4, 0xDC: 4, 0xDD: 4, 0xCC: 2 + 2 * 16, 0xDF: 3}
_LONGEST |= dict.fromkeys((*range(0xC0, 0xC4), 0xC5, 0xC6, 0xC7, *range(0xC9, 0xCC), 0xCD, 0xCE, 0xCF), 8 + 3 * 4)
# What may stand between two scans; anything else is damage.
_BETWEEN_SCANS = frozenset((0xC4, 0xCC, _SOS, 0xDB, 0xDC, 0xDD, 0xFE))
_LONGEST_BETWEEN_SCANS = 1 + max(_LONGEST.values())


class JpegSplitter:
    """Takes bytes as they come; see :meth:`feed`."""

    def __init__(self) -> None:
        self.damaged = 0
        """Pictures so far that broke off or were broken."""
        self._data = bytearray()
        self._begun_ns: int | None = None  # when the picture at the start of the data began to arrive
        self._at = 0  # so far the picture is good
        self._resume_at = 0  # where to look for the next start if this picture breaks: behind its thumbnail
        self._in_scan = False
        self._scanned = False

    def feed(self, chunk: bytes, now_ns: int) -> list[tuple[bytes, int]]:
        """Return the pictures that these bytes complete, each with the time when its first byte came."""
        self._data += chunk
        found: list[tuple[bytes, int]] = []
        while self._begin(now_ns):
            verdict = self._walk()
            if verdict is None:
                if len(self._data) <= LARGEST_JPEG_BYTES:
                    break
                verdict = False
            if verdict:
                found.append((bytes(self._data[: self._at]), self._begun_ns or now_ns))
                del self._data[: self._at]
            else:
                self.damaged += 1
                del self._data[: self._resume_at]
            self._begun_ns = None
        return found

    def _begin(self, now_ns: int) -> bool:
        """Bring the start of a picture to the start of the data; False where there is none yet."""
        if self._begun_ns is not None:
            return True
        start = self._data.find(_START)
        if start < 0:
            del self._data[: max(0, len(self._data) - len(_START) + 1)]
            return False
        del self._data[:start]
        self._begun_ns, self._at, self._resume_at, self._in_scan = now_ns, 2, 2, False
        self._scanned = False
        return True

    def _walk(self) -> bool | None:
        """Follow the picture on; True at its end, False where it is broken, None where more bytes are needed."""
        data = self._data
        while True:
            if self._in_scan:
                match = _MARKER.search(data, self._at)
                if match is None:
                    # The last byte may be the first half of a marker.
                    self._at = max(self._at, len(data) - 1)
                    return None
                self._at = self._resume_at = match.start()
                self._in_scan = False
            while len(data) > self._at + 1 and data[self._at] == 0xFF and data[self._at + 1] == 0xFF:
                self._at += 1  # fill bytes before a marker
            if len(data) < self._at + 4 and not (len(data) >= self._at + 2 and data[self._at + 1] == _EOI):
                return None
            code = data[self._at + 1]
            if data[self._at] != 0xFF or code == _SOI or (code < 0xC0 and code != 0x01):
                return False
            if code == _EOI:
                self._at += 2
                return True
            if code in _NO_LENGTH:
                self._at += 2
                continue
            length = int.from_bytes(data[self._at + 2 : self._at + 4], "big")
            longest = _LONGEST.get(code, _LONGEST_BETWEEN_SCANS if self._scanned else length)
            if not 2 <= length <= longest or (self._scanned and code not in _BETWEEN_SCANS):
                return False
            if len(data) < self._at + 2 + length:
                return None
            self._at += 2 + length
            if code in _APPLICATION:
                self._resume_at = self._at
            self._in_scan = code == _SOS
            self._scanned = self._scanned or self._in_scan
