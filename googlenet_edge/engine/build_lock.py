"""One build at a time in a folder: a lock that a process cannot leave behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.plain_file import open_plain
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LOCK_NAME", "build_lock"]

LOCK_NAME: Final = ".lock"
_POLL_S: Final = 0.1

_logger = logging.getLogger(__name__)


@contextmanager
def build_lock(folder: Path, *, stop: threading.Event | None = None) -> Iterator[bool]:
    """Hold the lock of an engine folder; give whether there is one.

    The lock is flock's on a file in the folder: the system frees it when its process ends, however it ends, so the
    file is never in the way and is left where it is. One lock serves all engines of the folder, because two builds at
    once would disturb each other's timing of tactics, and a small board has not the memory for two.

    Waits while another process, or another thread of this one, has it; a warning says so once. Where the file system
    has no locks (some network mounts), or the file is none of ours (a link, a pipe), a warning says that, and False is
    given: then two processes may build the same engine, and the later one's file stays.

    Raises :class:`EngineError` when ``stop`` is set while waiting.
    """
    try:
        # It is written to: a link that came with a bundle must not lead to another file.
        descriptor = open_plain(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        why = f"{LOCK_NAME} there is a link: delete it" if error.errno == errno.ELOOP else error.strerror
        _say_unlocked(folder, why)
        yield False
        return
    try:
        said = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pass
            except OSError as error:
                _say_unlocked(folder, error.strerror)
                yield False
                return
            if not said:
                _logger.warning("%s builds an engine in %s: waiting for it", _holder(descriptor), folder)
                said = True
            if (stop or threading.Event()).wait(_POLL_S):
                raise EngineError(f"stopped while waiting for another process that builds an engine in {str(folder)!r}")
        _sign(descriptor)
        yield True
    finally:
        os.close(descriptor)  # this frees the lock too


def _say_unlocked(folder: Path, why: str | None) -> None:
    _logger.warning("%s: it cannot be locked (%s): two processes may build the same engine", folder, why)


def _sign(descriptor: int) -> None:
    # Only for the message above; on a full disk it says less.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f"process {int(os.pread(descriptor, 32, 0))}"
    return "another process"
