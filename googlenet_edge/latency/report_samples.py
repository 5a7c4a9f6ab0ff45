"""Reads the raw samples of a report, as CSV, and believes no line of them without a look."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from googlenet_edge.errors import InputError
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.sample_format import MISSING

__all__ = ["POINTS", "read_bytes", "read_samples"]

POINTS: Final = ("sequence", "captured_ns", "dequeued_ns", "preprocessed_ns", "inferred_ns", "emitted_ns")
"""The columns that each file begins with, and that no frame lacks."""
_MOST_BYTES = 128 * 2**20
"""A kilobyte for each frame that a recorder keeps."""
_LONGEST_NS = 2**60
"""No time point is further from the start of the run: 36 years. No frame has a number beyond it, either."""


def read_samples(path: Path) -> Samples:
    """Read what :func:`~googlenet_edge.latency.report.write_samples` wrote, in the order of emission.

    Raises :class:`InputError` for a file that cannot be read, has other columns, or a damaged line.
    """
    text = read_bytes(path, "file of samples").decode("utf-8", "replace")
    lines = csv.reader(io.StringIO(text, newline=""))
    columns = tuple(next(lines, ()))
    if columns[: len(POINTS)] != POINTS or len(set(columns)) != len(columns):
        raise InputError(
            f"{path}: got columns {', '.join(columns)[:200]!r}, expected {', '.join(POINTS)} and more, as "
            "`googlenet-edge run --samples` writes them"
        )
    rows = np.array(list(_values(path, lines, len(columns))), dtype=np.int64).reshape(-1, len(columns))
    order = np.argsort(rows[:, POINTS.index("emitted_ns")], kind="stable")
    return Samples(columns, rows[order], complete=True)


def _values(path: Path, lines: Iterator[list[str]], expected: int) -> Iterator[list[int]]:
    number = 2
    try:
        for fields in lines:
            values = [int(field) if field else MISSING for field in fields]
            if (
                len(values) != expected
                or MISSING in values[: len(POINTS)]
                or any(abs(value) > _LONGEST_NS for value in values if value != MISSING)
            ):
                raise ValueError(f"{len(values)} fields")  # noqa: TRY301 - told like a field that is no number
            yield values
            number += 1
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: got a damaged line {number} ({error}), expected {expected} whole numbers, the first "
            f"{len(POINTS)} not empty; measure again, or move the file away"
        ) from error


def read_bytes(path: Path, what: str) -> bytes:
    """Return a file's content. Raises :class:`InputError` for one that cannot be read, or is too large to be right."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"{path}: cannot be read ({reason}), expected a latency {what}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path}: got more than {_MOST_BYTES >> 20} MiB, expected a latency {what}")
    return data
