"""What a matrix shows on stderr while it is measured: a line that is drawn between measurements, never during one."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from googlenet_edge.plain import printable

if TYPE_CHECKING:
    from googlenet_edge.scenarios.matrix.rounds import Progress as MatrixProgress

__all__ = ["MatrixDisplay", "duration"]


class MatrixDisplay:
    """A context manager; on anything but a terminal there is one line a round."""

    def __init__(self, rounds: int, *, backends: bool) -> None:
        """``rounds``: that will be made; ``backends``: whether settings are told apart by their backend too."""
        self._rounds, self._backends = rounds, backends
        self._console = Console(stderr=True, highlight=False)
        # Without a thread that draws it again: that would take processor time from what is measured.
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            auto_refresh=False,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bars.add_task("", total=None, visible=False, left="")
        self._round = 0

    def say(self, text: str) -> None:
        """Show a line, which stays."""
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def progress(self, progress: MatrixProgress) -> None:
        """Show what is measured next, and how long it will take."""
        left = "" if progress.seconds_left is None else f"about {duration(progress.seconds_left)} left"
        if progress.round != self._round:
            self._round = progress.round
            if not self._console.is_terminal:
                self.say(f"round {self._round} of {self._rounds}{f': {left}' if left else ''}")
        name = printable(progress.setting.named(backends=self._backends))
        self._bars.update(
            self._task,
            description=f"round {progress.round} of {self._rounds}: {name}",
            completed=progress.done,
            total=progress.done + progress.left,
            left=left,
            visible=True,
        )
        self._bars.refresh()

    def evaluating(self, title: str, phase: str) -> None:
        """Show how far the accuracies are."""
        self._bars.update(
            self._task, description=f"accuracy of {printable(title)}: {phase}", completed=0, total=None, left=""
        )
        self._bars.refresh()

    def __enter__(self) -> MatrixDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def duration(seconds: float) -> str:
    """Return a duration in words that a person reads at a glance."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
