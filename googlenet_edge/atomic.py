"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from googlenet_edge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["atomic_file", "check_writable"]

_MOST_LINKS = 40
"""As many as Linux follows."""


@contextmanager
def atomic_file(path: Path, *, what: str) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes, which takes the place of ``path`` when the block ends without an error.

    Until then, and if it fails or is interrupted, what stood at ``path`` stays as it was. A link stays a link: the file
    that it leads to is replaced. ``what`` names the file in the message of the OutputError that any OSError becomes.
    """
    try:
        place = _place(path)
        temporary = _beside(place)
        try:
            with temporary.open("wb") as file:
                yield file
            temporary.replace(place)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OutputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _output_error(path, what, error) from error


def check_writable(path: Path, *, what: str) -> None:
    """Raise OutputError if ``path`` cannot be written: to be asked before long work, not after it.

    A temporary file is made beside ``path`` and removed again; ``path`` itself is left alone.
    """
    try:
        temporary = _beside(_place(path))
        temporary.touch()
        temporary.unlink()
    except (OSError, ValueError) as error:
        raise _output_error(path, what, error) from error


def _place(path: Path) -> Path:
    """Follow links to the file itself, which a rename may replace. Raises OSError for what is not a regular file.

    A rename would put a regular file in the place of a link, a folder, a pipe or a device such as /dev/null.
    """
    place = path
    for _ in range(_MOST_LINKS):
        if place.name in ("", ".."):
            break
        place = Path(os.path.realpath(place.parent)) / place.name
        if place.parts[:2] == ("/", "proc"):  # where /dev/stdout leads: a file that somebody has open
            raise OSError(None, "it is not a regular file, but a stream or something of the kernel's")
        if not place.is_symlink():
            break
        place = place.parent / place.readlink()
    else:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if place.exists() and not place.is_file():
        raise OSError(None, "it is a folder, pipe or device, not a regular file")
    return place


def _beside(place: Path) -> Path:
    return place.with_name(f".{place.name}.{os.getpid()}.partial")


def _output_error(path: Path, what: str, error: Exception) -> OutputError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return OutputError(
        f"{what} {str(path)!r} cannot be written: {reason}; name a file in a folder that exists, that you may write "
        f"to and that has room"
    )
