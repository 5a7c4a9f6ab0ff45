"""The standard streams: they may be closed, full, or unable to show a character."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

__all__ = ["discard", "prepare_streams", "standard_output_failed"]


def prepare_streams() -> None:
    """Make it safe to print anything: characters that a stream cannot show come out as escapes such as ``\\xfc``.

    A stream that the caller of the process closed takes text and drops it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file to be opened gets this number, and what a library prints ends up in it. Opened the
            # wrong way round, so that who writes there on purpose is told, as if it were closed.
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:  # Python's word for a closed one
        return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")
    return stream


def standard_output_failed() -> bool:
    """Return whether standard output holds text that it cannot get rid of; if so, the text is dropped."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
        return True
    return False


def discard(stream: TextIO) -> None:
    """Send what is left in the stream's buffer nowhere, or Python fails on it once more when it exits."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):  # not a stream of the system
        return
