"""Reading the small files of /proc and /sys.

A file that is read every second stays open: reading it again at offset 0 makes the kernel produce its content anew, and
costs a thirtieth of opening it each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["OpenFile", "in_order", "read_int", "read_text"]

_MOST_BYTES = 4_194_304
"""Of a file that is read once; /proc/cpuinfo has some hundred kilobytes on a large machine."""
_ENTRY_BYTES = 4096
"""An entry of /sys is at most a page."""


class OpenFile:
    """A small file that is read again and again. Not thread-safe; whoever made it closes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self) -> str | None:
        """Return the content, without space around it; None where it cannot be read now."""
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            data = os.pread(self._descriptor, _ENTRY_BYTES, 0)
        except OSError:  # a sensor that is asleep, or a device that went away: it may come back
            self.close()
            return None
        return _clean(data)

    def read_int(self) -> int | None:
        """Return the content as a whole number; None where it is none, or cannot be read now."""
        return _whole_number(self.read())

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def read_text(path: Path) -> str | None:
    """Return a file's content, without the space and zero bytes around it; None if it cannot be read."""
    try:
        return _clean(path.read_bytes()[:_MOST_BYTES])
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return a file's content as a whole number; None if it is none, or cannot be read."""
    return _whole_number(read_text(path))


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sort paths by the numbers in their names: cpu2 before cpu10."""
    return sorted(paths, key=lambda path: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", path.name)])


def _clean(data: bytes) -> str:
    return data.decode("utf-8", "replace").strip("\x00 \n\t")


def _whole_number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
