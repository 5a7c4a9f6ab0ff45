"""Videos under their temporary names: held by whoever writes them, and settled when that was killed."""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import re
from pathlib import Path

import cv2

__all__ = ["hold", "settle_leftovers", "temporary_path"]

_log = logging.getLogger(__name__)

_PLAYABLE_WITHOUT_END = (".mkv", ".avi")
"""The others have their index at the end, and without it nothing can be found in them."""


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes a video, beside the one that it gets at the end."""
    # The container is chosen by the ending, which the temporary name must therefore keep.
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")


def hold(temporary: Path) -> int:
    """Make the file, and tell other processes that it is being written until the returned descriptor is closed.

    Raises OSError where it cannot be made, or a process of another container, with the same number, writes it. On a
    file system that has no locks, the process's number alone tells that it is being written.
    """
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise OSError(None, "another process is writing it") from None
    except OSError as error:
        _log.debug("%s: cannot be locked: %s", temporary, error)
    return handle


def settle_leftovers(path: Path) -> None:
    """Look for what killed processes have left of videos that were to be ``path``, or a further part of it.

    What can be played is kept as ``NAME.recovered.mkv`` and so on; what cannot is removed. What another process may
    still be writing is left alone, and so is what cannot be dealt with: there is no error.
    """
    ours = re.compile(rf"\.{re.escape(path.stem)}(?:\.part[0-9]+)?\.([0-9]+)\.partial{re.escape(path.suffix)}")
    try:
        found = [(left, match) for left in sorted(path.parent.iterdir()) if (match := ours.fullmatch(left.name))]
    except OSError:
        return  # whoever writes there will say why
    for left, match in found:
        if not _is_running(int(match[1])):
            try:
                _settle(left, path)
            except OSError as error:
                _log.debug("%s: left as it is: %s", left, error)


def _is_running(pid: int) -> bool:
    if pid == os.getpid():
        return False  # whether it is ours, or of a process that had the number before us, the lock tells
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is somebody else's
    return True


def _settle(left: Path, path: Path) -> None:
    """Keep or remove one file. Raises OSError, also where it is held: a container does not see all processes."""
    handle = os.open(left, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _can_be_played(left):
            kept = _free_name(path)
            left.rename(kept)
            _log.warning("%s: a run that was killed left a part of it, which is kept as %s", path, kept)
        else:
            left.unlink()
            _log.warning("%s: a run that was killed left a part of it, which cannot be played; removed", path)
    finally:
        os.close(handle)


def _can_be_played(video: Path) -> bool:
    if video.suffix.lower() not in _PLAYABLE_WITHOUT_END or not video.stat().st_size:
        return False
    capture = cv2.VideoCapture(os.fspath(video), cv2.CAP_ANY)
    try:
        return capture.isOpened() and capture.grab()
    finally:
        capture.release()


def _free_name(path: Path) -> Path:
    endings = itertools.chain([".recovered"], (f".recovered{number}" for number in itertools.count(2)))
    names = (path.with_name(f"{path.stem}{ending}{path.suffix}") for ending in endings)
    return next(name for name in names if not name.exists())
