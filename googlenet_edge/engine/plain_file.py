"""The store's files. A bundle may come from anywhere, so a name there may be a pipe, which has no end, or a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["flush_to_disk", "open_plain", "read_plain", "replace_plain"]


def read_plain(path: Path, most: int) -> bytes:
    """Return the first ``most`` bytes of a plain file; OSError if it cannot be read or is a pipe, device or folder."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        # Memory for all that is asked for is taken at once, and ``most`` may come out of a damaged file.
        return file.read(max(0, min(most, os.fstat(file.fileno()).st_size)))


def open_plain(path: Path, flags: int) -> int:
    """Return the descriptor of a plain file, opened as :func:`os.open` does; OSError for anything else."""
    # Without O_NONBLOCK, opening a pipe waits until someone opens its other end.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder, pipe or device, not a regular file")
    return descriptor


@contextmanager
def replace_plain(path: Path, what: str) -> Iterator[IO[bytes]]:
    """As :func:`googlenet_edge.atomic.atomic_file`, with a remedy that is one for an engine; a link is replaced."""
    try:
        with contextlib.suppress(OSError):
            if path.is_symlink():  # what a link that came with a bundle leads to is not ours
                path.unlink()
        with atomic_file(path, what=what) as file:
            yield file
    except OutputError as error:
        remedy = "delete it" if path.exists() and not path.is_file() else "make room there"
        said = str(error).rpartition("; ")[0] or str(error)
        raise OutputError(f"{said}; {remedy}, or keep engines in another folder with --cache") from error


def flush_to_disk(file: IO[bytes]) -> None:
    """Boards lose their power without a warning: what is renamed into place is on the disk first."""
    file.flush()
    os.fsync(file.fileno())
