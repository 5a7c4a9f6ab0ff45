"""Keeps the time points of each frame on disk while a run goes on: what is left of it if the process is killed.

One row a frame, warm-up frames too, in the order of emission; :mod:`~googlenet_edge.latency.recover` makes a report of
them. A run that comes to its end writes its samples as CSV, and removes this file.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from googlenet_edge.errors import InputError, OutputError
from googlenet_edge.latency.sample_format import MISSING, columns_named
from googlenet_edge.latency.sample_store import SampleStore, SampleStoreConfig
from googlenet_edge.latency.stages import timed_apart
from googlenet_edge.latency.summary import WarmUp
from googlenet_edge.types import Clock, FrameTrace

__all__ = ["COLUMNS", "RunAbout", "TraceStore"]

COLUMNS: Final = (
    "sequence",
    "captured_ns",
    "dequeued_ns",
    "preprocessed_ns",
    "inferred_ns",
    "emitted_ns",
    "warmup",
)
"""Time points are relative to the start of the run; ``warmup`` is 1 or 0. Stages that are timed apart follow."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunAbout:
    """What is known of a run when it starts: the rest of its report."""

    document: Mapping[str, object]
    """The report of no frame yet, as JSON values."""
    cameras: tuple[Mapping[str, object], ...] = ()
    """``name``, ``description``, ``live`` and ``captured`` of each camera; none in a benchmark."""
    warmup: WarmUp | None = None
    """Where warm-up frames are no rows of the file."""
    camera: str | None = None
    """Whose frames are in this file."""
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells runs apart."""

    def to_json(self) -> dict[str, object]:
        """Return all as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> RunAbout | None:
        """Return what :meth:`to_json` was called on; None for anything else."""
        try:
            warmup = None if about["warmup"] is None else WarmUp(**about["warmup"])
            return cls(dict(about["document"]), tuple(about["cameras"]), warmup, about["camera"], str(about["run"]))
        except (LookupError, TypeError, ValueError):
            return None


class TraceStore:
    """A file that grows by a row for each frame. Not thread-safe: one loop records.

    With ``tolerant``, a disk that gets full in mid-run is a warning, and the run goes on without this file's help; else
    it is an :class:`OutputError`, once. Raises as :class:`~googlenet_edge.latency.sample_store.SampleStore` does.
    """

    def __init__(
        self,
        path: Path,
        about: RunAbout,
        *,
        tolerant: bool = False,
        config: SampleStoreConfig | None = None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self.path = path
        self.discarded = False
        self._tolerant = tolerant
        self._store = SampleStore(path, columns_named(COLUMNS), about=about.to_json(), config=config, clock=clock)
        self._started_ns: int | None = None
        self._apart: list[str] = []

    @property
    def kept(self) -> int:
        """How many frames are in the file, or wait to be written."""
        return self._store.kept

    def begin(self, started_ns: int) -> None:
        """Say when the run started, before the first frame."""
        self._started_ns = started_ns

    def keep(self, trace: FrameTrace, *, warmup: bool = False) -> None:
        """Keep the time points of a frame that has been emitted.

        Raises :class:`InputError` before :meth:`begin`, and :class:`OutputError` where the disk does not take them.
        """
        start, emitted_ns = self._started_ns, trace.emitted_ns
        if start is None or emitted_ns is None:
            raise InputError(
                f"frame {trace.sequence}: got a frame that was not emitted, or before begin(), expected neither"
            )
        row = [
            trace.sequence,
            trace.captured_ns - start,
            trace.dequeued_ns - start,
            trace.preprocessed_ns - start,
            trace.inferred_ns - start,
            emitted_ns - start,
            int(warmup),
        ]
        try:
            apart = timed_apart(trace)
            if apart or self._apart:
                row += self._values_apart(apart)
            self._store.append(row)
        except OutputError as error:
            self._fail(error)

    def flush(self) -> None:
        """Write what waits, in a pause. Raises :class:`OutputError`."""
        try:
            self._store.flush()
        except OutputError as error:
            self._fail(error)

    def close(self) -> None:
        """Write the rest and close the file, which stays; once closed, do nothing. Raises :class:`OutputError`."""
        try:
            self._store.close()
        except OutputError as error:
            self._fail(error)

    def discard(self) -> None:
        """Close the file and remove it: all that is in it has been written elsewhere."""
        self.discarded = True
        with contextlib.suppress(OutputError):
            self._store.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def __enter__(self) -> TraceStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except OutputError:
            if error is None:
                raise
            _log.warning("raw samples %r: not closed as they should be", str(self.path), exc_info=True)

    def _values_apart(self, durations: list[tuple[str, int]]) -> list[int]:
        if [name for name, _ in durations] == self._apart:
            return [duration_ns for _, duration_ns in durations]
        by_name = dict(durations)
        new = [name for name in by_name if name not in self._apart]
        if new:
            self._store.add_columns(columns_named(f"{name}_ns" for name in new))
            self._apart += new
        return [by_name.get(name, MISSING) for name in self._apart]

    def _fail(self, error: OutputError) -> None:
        if not self._tolerant:
            raise error
        _log.warning("%s; the run goes on", error)
