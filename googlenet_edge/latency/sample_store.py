"""Keeps the raw samples of a run on disk while it goes on, so that a crash loses next to nothing of them.

Samples are gathered in memory and written as chunks, each with one ``write`` at the end of the file
(:mod:`~googlenet_edge.latency.sample_format`); nothing that stands there is touched again. What was written outlives
the process, however that ends, and :func:`~googlenet_edge.latency.sample_reader.read_samples` returns all whole chunks.
A process that is killed loses the samples since its last chunk: at most :attr:`SampleStoreConfig.chunk_samples`, or
those of :attr:`SampleStoreConfig.chunk_ns`.

fsync: once when the file is begun, and once when it is closed. In between, a power cut can lose what the system has not
yet brought to the disk, on Linux some 30 s of samples: to bring each chunk there at once would hold the measuring
thread up for 100 ms and more on a slow card.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from googlenet_edge.errors import InputError, OutputError
from googlenet_edge.latency.sample_file import SampleFile
from googlenet_edge.latency.sample_format import (
    MAGIC,
    MOST_CHUNK_SAMPLES,
    MOST_COLUMNS,
    MOST_PAYLOAD_BYTES,
    RECORD_BYTES,
    Column,
    to_payload,
)

__all__ = ["SampleStore", "SampleStoreConfig"]

_LOGGER = logging.getLogger(__name__)
_RESERVE_BYTES = 512
"""For the records behind the last chunk."""


@dataclass(frozen=True)
class SampleStoreConfig:
    """How many samples are kept, and when they are written. Raises :class:`InputError` for what cannot be."""

    max_bytes: int = 256 << 20
    """The file never gets longer: 26 hours at 30 frames/s in 12 columns."""
    chunk_samples: int = 256
    chunk_ns: int = 1_000_000_000
    """A chunk is written when there are so many samples, or when so much time has passed since the last one."""

    def __post_init__(self) -> None:
        if self.max_bytes < 4096:
            raise InputError(f"sample store: got max_bytes={self.max_bytes}, expected at least 4096")
        if not 1 <= self.chunk_samples <= MOST_CHUNK_SAMPLES or self.chunk_ns < 0:
            raise InputError(
                f"sample store: got chunk_samples={self.chunk_samples}, chunk_ns={self.chunk_ns}, "
                f"expected 1 to {MOST_CHUNK_SAMPLES} samples, and 0 ns or more"
            )


class SampleStore:
    """A file of raw samples that grows while a run goes on. Not thread-safe: one loop records.

    What stood at ``path`` is replaced at once, by a file that has no samples yet. ``about`` (JSON values) is what a
    reader should know of the run if the process does not live to say more. Beyond a bound of ``config``, samples are
    counted and not kept.

    Raises :class:`OutputError` if the file cannot be begun or another process is writing it, and :class:`InputError`
    for no column, more than 128 or two of a name, and for an ``about`` that is no JSON or does not fit into the bound.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[Column],
        *,
        about: Mapping[str, object] | None = None,
        config: SampleStoreConfig | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._path, self._config, self._clock = path, config or SampleStoreConfig(), clock
        self._columns = _checked(columns)
        self._row = struct.Struct(f"<{len(columns)}q")
        self._not_kept = 0
        self._full = self._failed = self._closed = False
        self._file = SampleFile(path, *self._head(dict(about or {})), width=len(columns))
        self._written_ns = clock()
        self._begin_chunk()

    @property
    def kept(self) -> int:
        """How many samples are in the file or wait for their chunk to be written."""
        return self._file.samples + self._file.waiting_samples

    @property
    def not_kept(self) -> int:
        """How many were not kept: beyond the bound, or because writing failed."""
        return self._not_kept

    def append(self, sample: Sequence[int]) -> bool:
        """Keep a sample: a 64-bit integer for each column. Return False where it is not kept.

        Raises :class:`InputError` for another number of values, or other values, and when the store is closed;
        :class:`OutputError`, once, when writing fails: what was written before stays readable, and later samples are
        counted as not kept.
        """
        if self._full:
            return self._refuse()
        waiting, size = self._waiting, self._row.size
        if len(waiting) + size > self._room:
            self._not_kept += 1
            self._fill()
            return False
        try:
            waiting += self._row.pack(*sample)
        except (struct.error, OverflowError) as error:
            raise InputError(
                f"sample: got {list(sample)}, expected {len(self._columns)} 64-bit integers: "
                + ", ".join(column.name for column in self._columns)
            ) from error
        now_ns, config = self._clock(), self._config
        if len(waiting) >= config.chunk_samples * size or now_ns - self._written_ns >= config.chunk_ns:
            self._written_ns = now_ns
            self.flush()
        return True

    def add_columns(self, columns: Sequence[Column]) -> None:
        """Give all later samples more columns, behind those there are. Raises as :meth:`append` does."""
        more = _checked([*self._columns, *columns])
        if self._full:
            return
        self.flush()
        payload = _columns_payload(more)
        if len(payload) + RECORD_BYTES > self._room:
            self._fill()
            return
        with self._counting_failure():
            self._file.width = len(more)
            self._file.write("COLS", payload)
        self._columns, self._row = more, struct.Struct(f"<{len(more)}q")
        self._begin_chunk()

    def flush(self) -> None:
        """Write the samples that wait: for a pause, in which no frame comes. Raises as :meth:`append` does."""
        if not self._file.waiting:
            return
        with self._counting_failure():
            self._file.write_waiting()
        self._begin_chunk()

    def close(self) -> None:
        """Write the rest and close the file; once closed, do nothing. Raises :class:`OutputError`."""
        if self._closed:
            return
        self._closed = self._full = True
        try:
            if not self._failed:
                self.flush()
                self._file.write("DONE", to_payload({"not_kept": self._not_kept}))
                self._file.sync()
        finally:
            self._file.close()

    def __enter__(self) -> SampleStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OutputError:
            if error is None:
                raise
            _LOGGER.warning("raw samples %r: not closed as they should be", str(self._path), exc_info=True)

    def _begin_chunk(self) -> None:
        """Look where the next samples go, and how many bytes they may have: each frame would be too often to ask."""
        self._waiting = self._file.waiting
        self._room = self._config.max_bytes - _RESERVE_BYTES - RECORD_BYTES - self._file.size_bytes

    def _refuse(self) -> bool:
        if self._closed:
            raise InputError("sample store: got a sample after close(), expected none; open another store")
        self._not_kept += 1
        return False

    def _fill(self) -> None:
        """Keep no more samples."""
        self.flush()
        self._full = True
        bound = f"{self._config.max_bytes} bytes"
        with self._counting_failure():
            self._file.write("FULL", to_payload({"reason": f"the bound of {bound} is reached"}))
        _LOGGER.warning("raw samples %r: the bound of %s is reached; later ones are not kept", str(self._path), bound)

    @contextmanager
    def _counting_failure(self) -> Iterator[None]:
        waiting = self._file.waiting_samples
        try:
            yield
        except OutputError:
            self._failed = self._full = True
            self._not_kept += waiting
            raise

    def _head(self, about: dict[str, object]) -> tuple[bytes, bytes]:
        """Return the payloads of the first two records."""
        columns = _columns_payload(self._columns)
        try:
            head = to_payload({"about": about})
        except (TypeError, ValueError) as error:
            raise InputError(f"sample store: got an about that is no JSON, expected JSON values: {error}") from error
        needed = len(MAGIC) + len(head) + len(columns) + 3 * RECORD_BYTES + self._row.size + _RESERVE_BYTES
        if needed > self._config.max_bytes or max(len(head), len(columns)) > MOST_PAYLOAD_BYTES:
            raise InputError(
                f"sample store: got max_bytes={self._config.max_bytes} and an about of {len(head)} bytes, expected at "
                f"least {needed} bytes and an about of at most {MOST_PAYLOAD_BYTES}; shorten it, or raise the bound"
            )
        return head, columns


def _columns_payload(columns: Sequence[Column]) -> bytes:
    return to_payload([asdict(column) for column in columns])


def _checked(columns: Sequence[Column]) -> tuple[Column, ...]:
    names = [column.name for column in columns]
    if not 1 <= len(names) <= MOST_COLUMNS or len(set(names)) < len(names):
        raise InputError(f"sample store: got columns {names}, expected 1 to {MOST_COLUMNS} of different names")
    return tuple(columns)
