"""What a verb shows on stderr while an engine is built: TensorRT's phases, as bars, on a terminal."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from googlenet_edge.engine.progress import BuildProgress

__all__ = ["BuildDisplay"]

DEEPEST: Final = 2
"""Phases that lie deeper than this come and go too quickly to be read."""


class BuildDisplay:
    """A context manager around whatever may build an engine; on anything but a terminal it shows nothing."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._handlers: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []

    def progress(self, step: BuildProgress) -> None:
        """Show a step: for ``BuildSettings.on_progress``."""
        if step.depth > DEEPEST:
            return
        with self._lock:
            if step.phase not in self._tasks:
                self._tasks[step.phase] = self._bars.add_task("  " * step.depth + step.phase, total=step.total)
            self._bars.update(self._tasks[step.phase], completed=step.done, total=step.total)
            if step.done >= step.total and step.depth > 0:
                self._bars.remove_task(self._tasks.pop(step.phase))

    def __enter__(self) -> BuildDisplay:
        before = sys.stderr
        self._bars.start()
        if sys.stderr is not before:  # rich put its own in the place, which writes above the bars
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                    handler.setStream(sys.stderr)
                    self._handlers.append((handler, before))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        for handler, stream in self._handlers:
            handler.setStream(stream)
        self._handlers.clear()
