"""Standard error as systemd's journal has it: a priority before each line, and none of what the journal adds itself."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

__all__ = ["JournalFormatter", "is_journal", "say", "with_priority"]

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY = 7


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether the stream goes to the journal: ``$JOURNAL_STREAM`` names its device and inode."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or not a stream of the system
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def with_priority(text: str, level: int) -> str:
    """Return the text with the journal's priority for this level of :mod:`logging` before each of its lines."""
    priority = next((number for least, number in _PRIORITIES if level >= least), _DEBUG_PRIORITY)
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))


def say(message: str, level: int) -> None:
    """Print a message of this level on standard error, with its priority where the journal reads it."""
    print(with_priority(message, level) if is_journal(sys.stderr, os.environ) else message, file=sys.stderr)


class JournalFormatter(logging.Formatter):
    """Formats a record for the journal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, and the traceback if it has one, with a priority before each line."""
        return with_priority(super().format(record), record.levelno)
