"""The folder of logs that MLPerf LoadGen writes, and the summary in it.

Lines of the summary are ``name : value``; the early-stopping estimate is in a sentence. Read as LoadGen 6.0 writes it
(``loadgen/results.cc`` in github.com/mlcommons/inference); a line that is missing or has another form is an error, so
that a later LoadGen's summary is never misread.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from googlenet_edge.errors import OutputError

__all__ = ["LoadGenSummary", "LogFolder", "check_logs", "log_folder", "read_summary"]

_SUMMARY: Final = "mlperf_log_summary.txt"
_DETAIL: Final = "mlperf_log_detail.txt"

_PERCENTILE: Final = re.compile(r"(\d+\.\d+)th percentile latency \(ns\)")
_ESTIMATE: Final = re.compile(r"^ \* Early stopping (\d+\.\d+)th percentile estimate: (\d+)$", re.MULTILINE)
_COUNT: Final = re.compile(r"^ \* (?:Processed at least \d+ queries \(|Only processed )(\d+)\D", re.MULTILINE)
_YES_NO: Final = {"Yes": True, "NO": False}
_RAN_OUT: Final = b"Ran out of generated queries"


@dataclass(frozen=True)
class LoadGenSummary:
    """What LoadGen says of a single-stream or multi-stream run. Latencies are those of queries."""

    scenario: str
    """``"SingleStream"`` or ``"MultiStream"``."""
    valid: bool
    """All three below."""
    min_duration_met: bool
    min_queries_met: bool
    early_stopping_met: bool
    """There are enough queries for an estimate."""
    queries: int
    percent: float
    """0 to 100."""
    percentile_ns: int
    """The sample of the rank floor(queries x percent / 100) + 1: where that product is a whole number, one rank above
    nearest rank."""
    estimate_ns: int | None
    """The early-stopping estimate of the percentile; None where there is none."""
    mean_ns: int
    """Rounded down."""
    max_ns: int


class LogFolder:
    """A folder that LoadGen writes to, under a name of its own until :meth:`keep`."""

    def __init__(self, path: Path, place: Path) -> None:
        self.path = path
        self._place = place

    def summary(self) -> LoadGenSummary:
        """Read the summary; see :func:`read_summary`."""
        return read_summary(self.path / _SUMMARY)

    def ran_out(self) -> bool:
        """Say whether LoadGen had to end because it had prepared too few queries. Raises :class:`OutputError`."""
        try:
            return _RAN_OUT in (self.path / _DETAIL).read_bytes()
        except OSError as error:
            raise _unreadable(self.path / _DETAIL, error.strerror or str(error)) from error

    def keep(self) -> None:
        """Give the folder its real name. Raises :class:`OutputError` if that cannot be done."""
        try:
            self.path.replace(self._place)
        except OSError as error:
            raise _unwritable(self._place, error) from error


@contextmanager
def log_folder(logs: Path) -> Iterator[LogFolder]:
    """Make a folder beside ``logs``, which :meth:`LogFolder.keep` moves there. What is not kept is removed in the end.

    Raises :class:`OutputError` as :func:`check_logs` does.
    """
    check_logs(logs)
    place = Path(os.path.realpath(logs))
    path = _beside(place)
    try:
        path.mkdir()
    except OSError as error:
        raise _unwritable(logs, error) from error
    try:
        yield LogFolder(path, place)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def check_logs(logs: Path) -> None:
    """Raise :class:`OutputError` if the folder cannot be made, or is there and not empty: ask before long work."""
    try:
        place = Path(os.path.realpath(logs))
        taken = any(place.iterdir()) if place.is_dir() else place.exists()
        if not taken:
            probe = _beside(place)
            probe.mkdir()
            probe.rmdir()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise _unwritable(logs, error) from error
    if taken:
        raise OutputError(
            f"logs {str(logs)!r}: got a file, or a folder that is not empty, expected a free name or an empty folder; "
            "give another"
        )


def read_summary(path: Path) -> LoadGenSummary:
    """Read a run's summary. Raises :class:`OutputError` if it is missing, not whole or in another form."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            values.setdefault(name.strip(), value.strip())
    count = _COUNT.search(text)
    named = [name for name in values if _PERCENTILE.fullmatch(name)]
    if count is None or len(named) != 1:
        raise _unreadable(path, "the count of queries or the percentile is missing")
    percent = float(named[0].partition("th")[0])
    # A single-stream summary also has the estimate of p99.
    estimates = {float(of): int(value_ns) for of, value_ns in _ESTIMATE.findall(text)}
    try:
        summary = LoadGenSummary(
            scenario=values["Scenario"],
            valid={"VALID": True, "INVALID": False}[values["Result is"]],
            min_duration_met=_YES_NO[values["Min duration satisfied"]],
            min_queries_met=_YES_NO[values["Min queries satisfied"]],
            early_stopping_met=_YES_NO[values["Early stopping satisfied"]],
            queries=int(count[1]),
            percent=percent,
            percentile_ns=int(values[named[0]]),
            estimate_ns=estimates.get(percent),
            mean_ns=int(values["Mean latency (ns)"]),
            max_ns=int(values["Max latency (ns)"]),
        )
    except (KeyError, ValueError) as error:
        raise _unreadable(path, f"{error} is missing or no known value") from error
    if summary.early_stopping_met != (summary.estimate_ns is not None):
        raise _unreadable(path, "early stopping is satisfied without an estimate, or has one and is not")
    return summary


def _beside(place: Path) -> Path:
    return place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")


def _unreadable(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"LoadGen's log {str(path)!r} cannot be read: {reason}; make room on the disk, or install the LoadGen that "
        "this package was written for: pip install '.[loadgen]'"
    )


def _unwritable(logs: Path, error: Exception) -> OutputError:
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return OutputError(
        f"logs {str(logs)!r}: the folder cannot be written: {reason}; name one in a folder that exists, that you may "
        "write to and that has room"
    )
