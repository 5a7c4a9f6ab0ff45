"""What rounds show on stderr while they are measured: a line that is drawn between measurements, never during one."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from googlenet_edge.plain import printable

if TYPE_CHECKING:
    from googlenet_edge.scenarios.matrix.rounds import Progress as MatrixProgress

__all__ = ["MatrixDisplay", "RoundsDisplay", "duration"]

_Display = TypeVar("_Display", bound="RoundsDisplay")


class RoundsDisplay:
    """A context manager; on anything but a terminal there is one line a round."""

    def __init__(self, rounds: int) -> None:
        """``rounds``: that will be made."""
        self._rounds = rounds
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

    def measuring(self, name: str, number: int, *, done: int, left: int, seconds_left: float | None) -> None:
        """Show what is measured next, in which round, from 1, and how long it will take.

        ``done`` measurements are, and ``left`` are to come, this one too.
        """
        time_left = "" if seconds_left is None else f"about {duration(seconds_left)} left"
        if number != self._round:
            self._round = number
            if not self._console.is_terminal:
                self.say(f"round {number} of {self._rounds}{f': {time_left}' if time_left else ''}")
        self._bars.update(
            self._task,
            description=f"round {number} of {self._rounds}: {printable(name)}",
            completed=done,
            total=done + left,
            left=time_left,
            visible=True,
        )
        self._bars.refresh()

    def __enter__(self: _Display) -> _Display:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class MatrixDisplay(RoundsDisplay):
    """That of a matrix."""

    def __init__(self, rounds: int, *, backends: bool) -> None:
        """``rounds``: that will be made; ``backends``: whether settings are told apart by their backend too."""
        super().__init__(rounds)
        self._backends = backends

    def progress(self, progress: MatrixProgress) -> None:
        """Show what is measured next, and how long it will take."""
        name = progress.setting.named(backends=self._backends)
        self.measuring(name, progress.round, done=progress.done, left=progress.left, seconds_left=progress.seconds_left)

    def evaluating(self, title: str, phase: str) -> None:
        """Show how far the accuracies are."""
        self._bars.update(
            self._task, description=f"accuracy of {printable(title)}: {phase}", completed=0, total=None, left=""
        )
        self._bars.refresh()


def duration(seconds: float) -> str:
    """Return a duration in words that a person reads at a glance."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
