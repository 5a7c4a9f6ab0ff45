"""A file of raw samples (:mod:`~googlenet_edge.latency.sample_format`) that is being written, record by record.

Each record is one ``write`` at the end of the file, and nothing before it is touched again. Where writing fails, what
was written of the record in part is cut off.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import OutputError
from googlenet_edge.latency.sample_format import MAGIC, MARK, VALUE_BYTES, Kind, Record, pack

__all__ = ["SampleFile", "in_use", "is_raw", "set_aside"]

_WHAT: Final = "raw samples"


@dataclass(frozen=True)
class _End:
    """The end of the file. It is replaced as a whole, so that Ctrl-C cannot leave it half changed."""

    size_bytes: int
    records: int = 0
    samples: int = 0
    waiting: bytearray = field(default_factory=bytearray)


class SampleFile:
    """Begins the file, with two records, and appends others. Not thread-safe.

    ``head`` and ``columns`` are the payloads of the first two records, ``width`` the number of columns. What stood at
    ``path`` is replaced when the two are written; from then on no other process can begin a file there.

    Raises :class:`OutputError` if that cannot be done, or if another process is writing a file there.
    """

    def __init__(self, path: Path, head: bytes, columns: bytes, *, width: int) -> None:
        self._path = path
        self.width = width
        """Columns of the samples that wait and of all later ones."""
        first, second = (
            pack(Record("HEAD", number=0, columns=width, samples_before=0, payload=head)),
            pack(Record("COLS", number=1, columns=width, samples_before=0, payload=columns)),
        )
        if in_use(path):
            raise OutputError(
                f"{_WHAT} {str(path)!r} are being written by another process; name another file, or end that process"
            )
        with atomic_file(path, what=_WHAT) as file:
            file.write(MAGIC + first + second)
            file.flush()
            os.fsync(file.fileno())
        with _as_output_error(path):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._end = _End(len(MAGIC) + len(first) + len(second), records=2)
        self._closed = False

    @property
    def size_bytes(self) -> int:
        """Of the file, without the samples that wait."""
        return self._end.size_bytes

    @property
    def samples(self) -> int:
        """In the file, without those that wait."""
        return self._end.samples

    @property
    def waiting(self) -> bytearray:
        """The samples of the next chunk: they are put here, and :meth:`write_waiting` writes them."""
        return self._end.waiting

    @property
    def waiting_samples(self) -> int:
        """How many there are in :attr:`waiting`."""
        return len(self.waiting) // (self.width * VALUE_BYTES)

    def write_waiting(self) -> None:
        """Write the samples that wait, if there are any, as one chunk. Raises :class:`OutputError`."""
        if self.waiting:
            self._append("ROWS", self.waiting, samples=self.waiting_samples)

    def write(self, kind: Kind, payload: bytes) -> None:
        """Write the samples that wait, and then a record of another kind. Raises :class:`OutputError`."""
        self.write_waiting()
        self._append(kind, payload)

    def sync(self) -> None:
        """Wait until all that was written is on the disk. Raises :class:`OutputError`."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Close the file as it is; once closed, do nothing."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)

    def _append(self, kind: Kind, payload: bytes | bytearray, *, samples: int = 0) -> None:
        end = self._end
        record = Record(kind, end.records, self.width, end.samples, payload)
        left, at = memoryview(pack(record)), end.size_bytes
        try:
            while left:  # more than once only where the disk is all but full, or the system is about to refuse
                written = os.pwrite(self._descriptor, left, at)
                left, at = left[written:], at + written
        except OSError as error:
            self._fail(error)
        self._end = _End(at, end.records + 1, end.samples + samples)

    def _fail(self, error: OSError) -> NoReturn:
        self._end = replace(self._end, waiting=bytearray())
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._end.size_bytes)
        raise OutputError(
            f"{_WHAT} {str(self._path)!r} cannot be written on: {error.strerror}; the {self._end.samples} samples "
            "before are in the file, and no more are kept; make room, or name a file on another disk"
        ) from error


def in_use(path: Path) -> bool:
    """Return whether a process, this one or another, is writing raw samples there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return False  # there is none, or what it is will show when it is to be written
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.EWOULDBLOCK
    finally:
        os.close(descriptor)
    return False


def is_raw(path: Path) -> bool:
    """Return whether this is a file of raw samples, judged by how it begins; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC) - 1) == MAGIC[:-1]
    except (OSError, ValueError):
        return False


def set_aside(path: Path) -> Path | None:
    """Move the samples that an earlier process has left at a path out of the way, and return where to.

    They go to ``NAME-killed.raw`` beside it, in the place of what is there. None where nothing was left, or where it is
    being written. Raises :class:`OutputError`.
    """
    if not is_raw(path) or in_use(path):
        return None
    aside = path.with_name(f"{path.stem}-killed{path.suffix}")
    with _as_output_error(aside):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(MARK + b"ROWS") < 0:
                return None
        path.replace(aside)
    return aside


@contextlib.contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{_WHAT} {str(path)!r} cannot be written: {error.strerror}; name a file in a folder that you may write to"
        ) from error
