"""What ``deploy`` shows on stderr while it works: a line for each step, and a bar below for the one that is long."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Display"]

_IMAGES = "googlenet_edge.quantization.images"


class Display:
    """A context manager; on anything but a terminal there are only the lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: tuple[str, TaskID] | None = None
        self._started = time.monotonic()
        self._level = logging.NOTSET

    def say(self, step: str) -> None:
        """Show a step that begins."""
        self._end_bar()
        self._console.print(f"{time.monotonic() - self._started:6.1f} s  {step}", markup=False, soft_wrap=True)

    def count(self, title: str, done: int, total: int) -> None:
        """Show how far a step is."""
        if self._task is None or self._task[0] != title:
            self._end_bar()
            self._task = (title, self._progress.add_task(title, total=total))
        self._progress.update(self._task[1], completed=done, total=total)

    def _end_bar(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task[1])
            self._task = None

    def __enter__(self) -> Display:
        # What is wrong with the images is printed at the end; as lines of a log, it would tear the bar apart.
        logger = logging.getLogger(_IMAGES)
        self._level = logger.level
        logger.setLevel(logging.ERROR)
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        logging.getLogger(_IMAGES).setLevel(self._level)
