"""The sources of a run: which options each has, and their opening and closing, all at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.cli.run_sources import NamedSource, whose
from googlenet_edge.errors import GoogLeNetEdgeError, SourceError, UsageError

if TYPE_CHECKING:
    from googlenet_edge.capture.kinds import SourceKind
    from googlenet_edge.capture.source import Source, SourceOptions

__all__ = ["SourceSet", "share_options"]

_CLOSE_S = 1.0
"""Longest wait for sources to be closed, and for those that are being opened to give up."""
_ARGUMENTS = {
    "size_px": "--size",
    "fps": "--fps",
    "loop": "--loop",
    "fourcc": "--fourcc",
    "buffers": "--buffers",
    "transport": "--transport",
    "latency_ms": "--latency",
}
"""The options that not every kind of source has."""


def share_options(
    wanted: Sequence[NamedSource], kinds: Sequence[SourceKind | None], options: SourceOptions
) -> tuple[list[SourceOptions], list[str]]:
    """Return each source's options, with its name, and a line for each option that some of the sources do not have.

    ``kinds`` are None for those that will fail to open, with their own message. Raises :class:`UsageError` for an
    option that no source has.
    """
    notes = []
    for name, argument in _ARGUMENTS.items():
        has = [kind is None or name not in kind.refused(options) for kind in kinds]
        if all(has):
            continue
        text = f"{argument} native" if name == "fps" and options.fps == "native" else argument
        if not any(has):
            names = ", ".join(dict.fromkeys(kind.name for kind in kinds if kind is not None))
            number_helps = any(kind is not None and name in kind.options for kind in kinds)
            remedy = "it is for video files; give a number" if number_helps else "leave it out"
            raise UsageError(f"{text}: does not apply to {names}; {remedy}")
        with_it, without = (
            ", ".join(source.name or "" for source, has_it in zip(wanted, has, strict=True) if has_it is wish)
            for wish in (True, False)
        )
        notes.append(f"{text} applies to {with_it}; not to {without}")
    shared = [options if kind is None else kind.cut(options) for kind in kinds]
    return [replace(each, name=source.name) for source, each in zip(wanted, shared, strict=True)], notes


class SourceSet:
    """Opens sources, each on a thread of its own, and closes all that are open; a context manager.

    Files are opened first (:meth:`open_files`), before whatever takes long: a mistyped path is found at once. Live
    sources are opened last (:meth:`open_rest`), because from then on somebody should take their frames.
    """

    def __init__(self, wanted: Sequence[NamedSource], options: SourceOptions) -> None:
        """Each source gets those of the options that its kind has. Raises :class:`UsageError` for one that none has."""
        self._wanted = tuple(wanted)
        self._kinds = [_kind(source) for source in wanted]
        self._options, self.notes = share_options(wanted, self._kinds, options)
        """The notes are lines for people, about options that not all sources have."""
        self._lock = threading.Lock()  # guards what follows
        self._closed = threading.Event()
        self._open: dict[int, Source] = {}
        self._errors: dict[int, BaseException] = {}
        self._threads: list[threading.Thread] = []
        self._answered = threading.Semaphore(0)

    def open_files(self) -> None:
        """Open the files, and look at what is asked of live sources.

        Files that shall come at a rate, like a camera, are only tried, and opened with the rest.
        """
        for number, kind in enumerate(self._kinds):
            if kind is not None and kind.device:
                self._check_device(number)
                continue
            self._open_one(number)
            if number in self._open and self._open[number].live:
                self._open.pop(number).close()
        self._raise_errors()

    @property
    def patient(self) -> bool:
        """After :meth:`open_files`: all sources are files that wait for whoever takes their frames."""
        return len(self._open) == len(self._wanted) and not any(source.live for source in self._open.values())

    def open_rest(self) -> tuple[Source, ...]:
        """Open what is not open yet, all at the same time, and return the sources in the order of the arguments.

        Raises what opening raised, with the cameras' names, after all have answered.
        """
        for number in range(len(self._wanted)):
            if number not in self._open:
                thread = threading.Thread(
                    target=self._open_and_answer, args=(number,), name=f"open source {number}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        # Not join(): one that Ctrl-C interrupts takes the thread for ended, and close() would not wait for it.
        for _ in self._threads:
            self._answered.acquire()
        self._raise_errors()
        return tuple(self._open[number] for number in range(len(self._wanted)))

    def close(self) -> None:
        """Close all sources at the same time, also while they are being opened; takes a second at most."""
        self._closed.set()
        with self._lock:
            sources, self._open = list(self._open.values()), {}
        closers = [
            threading.Thread(target=source.close, name=f"close source {number}", daemon=True)
            for number, source in enumerate(sources)
        ]
        for thread in closers:
            thread.start()
        deadline = time.monotonic() + _CLOSE_S
        for thread in (*self._threads, *closers):
            thread.join(max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> SourceSet:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _check_device(self, number: int) -> None:
        from googlenet_edge.capture.source import open_source

        stopped = threading.Event()
        stopped.set()
        try:
            open_source(self._wanted[number].uri, self._options[number], stop=stopped)
        except SourceError:  # it was not opened, as wanted
            return
        except GoogLeNetEdgeError as error:
            self._errors[number] = error

    def _open_one(self, number: int) -> None:
        from googlenet_edge.capture.source import open_source

        try:
            source = open_source(self._wanted[number].uri, self._options[number], stop=self._closed)
        except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
            self._errors[number] = error
            return
        with self._lock:
            if not self._closed.is_set():
                self._open[number] = source
                return
        source.close()

    def _open_and_answer(self, number: int) -> None:
        try:
            self._open_one(number)
        finally:
            self._answered.release()

    def _raise_errors(self) -> None:
        """Raise what went wrong: wrong usage and defects first; of sources that cannot be opened, all are told."""
        errors = [
            whose(error, self._wanted[number].name) if isinstance(error, GoogLeNetEdgeError) else error
            for number, error in sorted(self._errors.items())
        ]
        errors.sort(key=lambda error: isinstance(error, SourceError))
        if not errors:
            return
        if len(errors) > 1 and isinstance(errors[0], SourceError):
            told = "; ".join(str(error) for error in errors)
            raise SourceError(f"{len(errors)} of {len(self._wanted)} sources cannot be opened: {told}") from errors[0]
        raise errors[0]


def _kind(source: NamedSource) -> SourceKind | None:
    from googlenet_edge.capture.kinds import kind_of

    try:
        return kind_of(source.uri)[0]
    except GoogLeNetEdgeError:  # opening it says so, and of which source
        return None
