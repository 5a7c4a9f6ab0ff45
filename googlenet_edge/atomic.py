"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from googlenet_edge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["atomic_file", "check_writable"]


@contextmanager
def atomic_file(path: Path, *, what: str) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes, which takes the place of ``path`` when the block ends without an error.

    Until then, and if it fails or is interrupted, what stood at ``path`` stays as it was. ``what`` names the file in
    the message of the OutputError that any OSError becomes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _check_kind(path)
        try:
            with temporary.open("wb") as file:
                yield file
            temporary.replace(path)
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _check_kind(path)
        temporary.touch()
        temporary.unlink()
    except (OSError, ValueError) as error:
        raise _output_error(path, what, error) from error


def _check_kind(path: Path) -> None:
    """A rename would put a plain file in the place of a folder, a pipe or a device such as /dev/null."""
    if path.exists() and not path.is_file():
        raise OSError(None, "it is a folder, pipe or device, not a plain file")


def _output_error(path: Path, what: str, error: Exception) -> OutputError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return OutputError(
        f"{what} {str(path)!r} cannot be written: {reason}; name a file in a folder that exists, that you may write "
        f"to and that has room"
    )
