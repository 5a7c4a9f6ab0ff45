"""The calibration table as JSON: human readable, read strictly, and the same table after a round trip."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import CalibrationError
from googlenet_edge.quantization.table import SCHEMA_VERSION, CalibrationTable

__all__ = ["NotATableError", "decode_table", "encode_table", "read_table", "write_table"]

_LIMIT_BYTES: Final = 64 << 20
_AGAIN = "calibrate again: googlenet-edge calibrate BUNDLE --images SOURCE"
# Arrays of numbers go on one line each: thousands of lines of one number would hide everything else.
# No string is mistaken for one: within strings, JSON has no line breaks.
_NUMBERS = re.compile(rb"\[\n\s*(-?[0-9][0-9.eE+\-]*(?:,\n\s*-?[0-9][0-9.eE+\-]*)*)\n\s*\]")


class NotATableError(CalibrationError):
    """The file is something else altogether: not one to be replaced by a table without asking."""


def encode_table(table: CalibrationTable) -> bytes:
    """Return the table as indented JSON."""
    text = msgspec.json.format(msgspec.json.encode(table), indent=1)
    return _NUMBERS.sub(lambda found: b"[" + b", ".join(re.split(rb",\n\s*", found[1])) + b"]", text) + b"\n"


def decode_table(data: bytes, source: str) -> CalibrationTable:
    """Read what :func:`encode_table` wrote. ``source`` names the file in messages.

    Raises :class:`CalibrationError` for another schema version, and for missing, unknown or impossible fields;
    :class:`NotATableError`, which is one, for anything that was never a table.
    """
    try:
        fields = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        kind = CalibrationError if data.lstrip()[:1] == b"{" and b'"schema_version"' in data[:200] else NotATableError
        raise kind(f"{source}: got {len(data)} bytes that are no JSON ({error}); {_AGAIN}") from error
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if type(version) is not int or "images_sha256" not in fields:
        raise NotATableError(f"{source}: got JSON without schema_version and images_sha256, expected a table; {_AGAIN}")
    if version != SCHEMA_VERSION:
        remedy = "upgrade googlenet-edge" if version > SCHEMA_VERSION else _AGAIN
        raise CalibrationError(f"{source}: got schema_version {version}, expected {SCHEMA_VERSION}; {remedy}")
    try:
        return msgspec.json.decode(data, type=CalibrationTable)
    except (msgspec.ValidationError, RecursionError) as error:
        raise CalibrationError(f"{source}: {error}; it was altered or damaged: {_AGAIN}") from error


def read_table(path: str | os.PathLike[str]) -> CalibrationTable:
    """Read a table's file. Raises :class:`CalibrationError` if it cannot be read or is not a whole table."""
    source = f"calibration table {os.fspath(path)!r}"
    try:
        size_bytes = Path(path).stat().st_size
        if size_bytes > _LIMIT_BYTES:
            raise NotATableError(f"{source}: got {size_bytes} bytes, expected below 64 MiB; is this a table?")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, CalibrationError):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise CalibrationError(f"{source}: cannot be read: {reason}; give the file that calibrate wrote") from error
    return decode_table(data, source)


def write_table(table: CalibrationTable, path: str | os.PathLike[str]) -> None:
    """Write a table, whole or not at all. Raises :class:`~googlenet_edge.errors.OutputError`."""
    with atomic_file(Path(path), what="calibration table") as file:
        file.write(encode_table(table))
