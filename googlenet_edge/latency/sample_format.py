"""The file format of raw samples that are written while a run goes on: records one after the other, each with its CRC.

A file is the 8 bytes of :data:`MAGIC`, the last of which is the version, and then records. All integers are
little-endian.

======  =====  ================================================================================================
offset  bytes  of a record
======  =====  ================================================================================================
0       4      :data:`MARK`, by which a reader finds the next record behind a damaged one
4       4      kind: ``HEAD``, ``COLS``, ``ROWS``, ``FULL`` or ``DONE``
8       4      number of the record in the file, from 0
12      4      length of the payload in bytes, at most :data:`MOST_PAYLOAD_BYTES`
16      4      columns that samples have here
20      8      samples before it in the file
28      4      CRC-32 (zlib's) of bytes 4 to 27 and the payload
32             payload
======  =====  ================================================================================================

- ``HEAD``, the first: JSON, ``{"about": {...}}``, the writer's own.
- ``COLS``, the second, and again where columns are added: JSON, ``[{"name": str, "unit": str}, ...]``, all of them.
  Columns are only added, at the end; the samples before have :data:`MISSING` there.
- ``ROWS``: int64 (samples, columns); :data:`MISSING` where a sample has no such value.
- ``FULL``: a bound was reached, and no later sample is kept. JSON, ``{"reason": str}``.
- ``DONE``, the last: the writer was closed. JSON, ``{"not_kept": int}``: samples that came after a bound.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = [
    "MAGIC",
    "MARK",
    "MISSING",
    "MOST_CHUNK_SAMPLES",
    "MOST_COLUMNS",
    "MOST_PAYLOAD_BYTES",
    "RECORD_BYTES",
    "VALUE_BYTES",
    "Column",
    "Kind",
    "Record",
    "columns_named",
    "pack",
    "to_payload",
    "unpack",
]

MAGIC: Final = b"\x89GNESMP\x01"
MARK: Final = b"\x93rec"
MISSING: Final = -(2**63)
"""Stands for "this sample has no such value"."""
VALUE_BYTES: Final = 8
MOST_COLUMNS: Final = 128
MOST_CHUNK_SAMPLES: Final = 1024
MOST_PAYLOAD_BYTES: Final = MOST_CHUNK_SAMPLES * MOST_COLUMNS * VALUE_BYTES

Kind: TypeAlias = Literal["HEAD", "COLS", "ROWS", "FULL", "DONE"]
_KINDS: Final[dict[bytes, Kind]] = {
    b"HEAD": "HEAD",
    b"COLS": "COLS",
    b"ROWS": "ROWS",
    b"FULL": "FULL",
    b"DONE": "DONE",
}
_HEADER: Final = struct.Struct("<4s4sIIIQI")
RECORD_BYTES: Final = _HEADER.size
_CHECKED: Final = slice(len(MARK), RECORD_BYTES - 4)


@dataclass(frozen=True)
class Column:
    """A column of the samples."""

    name: str
    unit: str
    """ "ns", or "" for a plain number, such as that of a frame."""


@dataclass(frozen=True)
class Record:
    """A record, without its CRC."""

    kind: Kind
    number: int
    """In the file, from 0."""
    columns: int
    samples_before: int
    payload: bytes | bytearray | memoryview

    @property
    def size_bytes(self) -> int:
        """In the file."""
        return RECORD_BYTES + len(self.payload)


def columns_named(names: Iterable[str]) -> tuple[Column, ...]:
    """Return columns by their names, which end in ``_ns`` where that is the unit."""
    return tuple(Column(name, "ns" if name.endswith("_ns") else "") for name in names)


def pack(record: Record) -> bytes:
    """Return a record as it stands in the file."""
    payload = record.payload
    header = _HEADER.pack(
        MARK, record.kind.encode(), record.number, len(payload), record.columns, record.samples_before, 0
    )
    crc = zlib.crc32(payload, zlib.crc32(header[_CHECKED]))
    return b"".join((header[: _CHECKED.stop], struct.pack("<I", crc), payload))


def unpack(data: memoryview, at: int) -> Record | str:
    """Return the record that begins at a byte of the file, or what is wrong with it."""
    header = data[at : at + RECORD_BYTES]
    if len(header) < RECORD_BYTES:
        return f"{len(header)} of the {RECORD_BYTES} bytes of its header are there"
    mark, kind, number, length, columns, samples_before, crc = _HEADER.unpack(header)
    if mark != MARK or kind not in _KINDS or length > MOST_PAYLOAD_BYTES:
        return "its header is damaged"
    payload = data[at + RECORD_BYTES : at + RECORD_BYTES + length]
    if len(payload) < length:
        return f"{len(payload)} of the {length} bytes behind its header are there"
    if zlib.crc32(payload, zlib.crc32(header[_CHECKED])) != crc:
        return "its CRC does not fit its bytes"
    return Record(_KINDS[kind], number, columns, samples_before, payload)


def to_payload(value: object) -> bytes:
    """Return JSON values as a payload. Raises ValueError or TypeError for what is none."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
