"""Reads a file of raw samples, also one whose writer was killed, ran out of disk or is still writing.

All records are checked by their CRC. Behind a damaged one the reader goes on at the next whole one, and it says what is
missing and where.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.sample_format import MAGIC, MARK, MISSING, VALUE_BYTES, Column, Kind, Record, unpack

__all__ = ["Damage", "StoredSamples", "read_samples"]


@dataclass(frozen=True)
class Damage:
    """Bytes of the file that are no whole record, or a place where records are missing."""

    at_byte: int
    size_bytes: int
    """0 where records are missing."""
    reason: str
    samples: int | None
    """How many samples are lost with them; None at the end of the file, where nothing says so."""


@dataclass(frozen=True)
class StoredSamples:
    """What a file of raw samples holds."""

    columns: tuple[Column, ...]
    rows: npt.NDArray[np.int64]
    """int64 (samples, columns), in the order in which they were recorded;
    :data:`~googlenet_edge.latency.sample_format.MISSING` where a sample has no such value."""
    about: Mapping[str, object]
    """What its writer said of the run."""
    closed: bool
    """False: the writer did not live to close it, could not, or has not yet."""
    full: str | None
    """The bound that was reached, after which no sample was kept."""
    not_kept: int | None
    """Samples that came after that; None where the writer did not come to say."""
    damage: tuple[Damage, ...]

    @property
    def complete(self) -> bool:
        """Whether these are all samples of the run."""
        return self.closed and self.not_kept == 0 and not self.damage

    def notes(self) -> list[str]:
        """Return a sentence for each thing that is missing; none for a complete file."""
        notes = []
        for damage in self.damage:
            lost = "" if damage.samples is None else f", {damage.samples} samples lost"
            what = f"{damage.size_bytes} bytes that are no whole record, " if damage.size_bytes else ""
            notes.append(f"at byte {damage.at_byte}: {what}{damage.reason}{lost}")
        if self.full is not None:
            more = "all later samples" if self.not_kept is None else f"{self.not_kept} later samples"
            notes.append(f"{self.full}: {more} were not kept")
        if not self.closed:
            notes.append(
                f"the file was not closed: the run was killed or could not write on after these {len(self.rows)} "
                "samples, or it still goes on"
            )
        return notes


@dataclass
class _Parts:
    """What was read so far."""

    columns: tuple[Column, ...] = ()
    chunks: list[npt.NDArray[np.int64]] = field(default_factory=list)
    samples: int = 0
    """In the chunks and, for those that are lost, between them."""
    about: Mapping[str, object] = field(default_factory=dict)
    closed: bool = False
    full: str | None = None
    not_kept: int | None = None

    def lost_before(self, record: Record) -> int:
        """Return how many samples are missing between what was read and a record."""
        return max(0, record.samples_before - self.samples)

    def add(self, record: Record) -> str | None:
        """Take a record in; return what is wrong with it, if anything is."""
        if record.kind == "ROWS":
            return self._add_rows(record)
        try:
            self._add_json(record.kind, json.loads(bytes(record.payload)))
        except (ValueError, TypeError, LookupError):
            return f"its JSON is not that of {record.kind}"
        return None

    def _add_json(self, kind: Kind, value: Any) -> None:
        """Raises ValueError, TypeError or LookupError for what is not that kind's."""
        if kind == "HEAD":
            self.about = dict(value["about"])
        elif kind == "COLS":
            columns = tuple(Column(str(column["name"]), str(column["unit"])) for column in value)
            if columns[: len(self.columns)] != self.columns:
                raise ValueError("columns are gone")
            self.columns = columns
        elif kind == "FULL":
            self.full = str(value["reason"])
        else:
            self.closed, self.not_kept = True, int(value["not_kept"])

    def _add_rows(self, record: Record) -> str | None:
        width = len(self.columns)
        if not width or record.columns != width or len(record.payload) % (width * VALUE_BYTES):
            return f"its samples have {record.columns} columns, where the file names {width}"
        self.chunks.append(np.frombuffer(record.payload, dtype="<i8").reshape(-1, width))
        self.samples = record.samples_before + len(self.chunks[-1])
        return None


def read_samples(path: Path) -> StoredSamples:
    """Return all samples of a file that can be read. It takes twice the file's size in memory.

    Raises :class:`InputError` if the file cannot be opened, is of another kind or version, or does not say its columns.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"raw samples {str(path)!r} cannot be read: {reason}; name a file that a run wrote") from error
    _check_magic(path, data[: len(MAGIC)])
    parts, damage = _read(data)
    if not parts.columns:
        raise InputError(
            f"raw samples {str(path)!r}: the record that names the columns is damaged, so the samples mean nothing; "
            "expected a file as a run writes it"
        )
    return StoredSamples(
        columns=parts.columns,
        rows=_rows(parts.chunks, len(parts.columns)),
        about=parts.about,
        closed=parts.closed,
        full=parts.full,
        not_kept=parts.not_kept,
        damage=tuple(damage),
    )


def _read(data: bytes) -> tuple[_Parts, list[Damage]]:
    parts, damage = _Parts(), list[Damage]()
    at, number = len(MAGIC), -1
    while at < len(data):
        found = unpack(memoryview(data), at)
        if isinstance(found, Record) and found.number <= number:
            found = "it is a copy of an earlier one"
        if isinstance(found, str):
            resume_at, following = _next_record(data, at + 1, number)
            damage.append(
                Damage(at, resume_at - at, found, None if following is None else parts.lost_before(following))
            )
            at, number = resume_at, number if following is None else following.number - 1
            continue
        if found.number > number + 1:
            missing = f"{found.number - number - 1} records are missing"
            damage.append(Damage(at, 0, missing, parts.lost_before(found)))
        reason = parts.add(found)
        if reason is not None:
            samples = len(found.payload) // (found.columns * VALUE_BYTES) if found.columns else 0
            damage.append(Damage(at, found.size_bytes, reason, samples if found.kind == "ROWS" else 0))
        at, number = at + found.size_bytes, found.number
    return parts, damage


def _next_record(data: bytes, start: int, number: int) -> tuple[int, Record | None]:
    """Return where the next whole record begins, and that record; the end of the file and None, if there is none."""
    at = data.find(MARK, start)
    while at >= 0:
        found = unpack(memoryview(data), at)
        if isinstance(found, Record) and found.number > number:
            return at, found
        at = data.find(MARK, at + 1)
    return len(data), None


def _rows(chunks: list[npt.NDArray[np.int64]], width: int) -> npt.NDArray[np.int64]:
    rows = np.full((sum(map(len, chunks)), width), MISSING, dtype=np.int64)
    at = 0
    for chunk in chunks:
        rows[at : at + len(chunk), : chunk.shape[1]] = chunk
        at += len(chunk)
    return rows


def _check_magic(path: Path, magic: bytes) -> None:
    if magic == MAGIC:
        return
    if magic[:-1] == MAGIC[:-1] and len(magic) == len(MAGIC):
        raise InputError(
            f"raw samples {str(path)!r}: got version {magic[-1]} of the format, expected {MAGIC[-1]}; read them with "
            "the version of this package that wrote them"
        )
    got = "another kind of file" if magic else "an empty file"
    raise InputError(f"raw samples {str(path)!r}: got {got}, expected the raw samples of a run")
