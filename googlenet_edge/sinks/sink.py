"""What a sink is, and what several sinks share."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, TypeAlias, TypeVar

from googlenet_edge.types import Frame, Prediction

__all__ = ["RateMeter", "Sink", "TruthLabels", "printable", "truth_label"]

TruthLabels: TypeAlias = Sequence[str] | Mapping[str, Sequence[str] | None] | None
"""Names of the class ids that the source gives as truth; in a run of several, by the camera's name."""

_Self = TypeVar("_Self", bound="Sink")


class Sink(Protocol):
    """Takes the result of every frame, warm-up included, on the loop's own thread: what it spends is in "emit".

    In a run of several cameras the results of all come here, told apart by ``frame.camera``. The methods raise
    :class:`~googlenet_edge.errors.OutputError` where something cannot be written; the caller may go on after it. The
    trace of ``prediction`` has no ``emitted_ns`` yet. A sink must not change ``frame.image``, nor keep it when ``emit``
    has returned: the source may use the memory again. A context manager: leaving it closes the sink.
    """

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Take one result."""

    def lost(self, camera: str | None) -> None:  # noqa: ARG002 - for those that override it
        """Be told that a camera stopped delivering; it may come back. None in a run of one source."""
        return  # most sinks need not do anything

    def reopen(self) -> None:
        """Begin the output anew without losing what was written: after a failure, or when a log was rotated away."""
        return

    def close(self) -> None:
        """Finish the output and let go of it; a second call does nothing."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class RateMeter:
    """The rate of results over the last second: N time points make N - 1 intervals."""

    def __init__(self, *, window_ns: int = 1_000_000_000) -> None:
        self._window_ns = window_ns
        self._times_ns: deque[int] = deque(maxlen=1024)

    def add(self, time_ns: int) -> None:
        """Note that a result came at this time of the monotonic clock."""
        self._times_ns.append(time_ns)
        # Two points stay whatever their age, so that a source slower than one frame a second has a rate too.
        while len(self._times_ns) > 2 and time_ns - self._times_ns[0] > self._window_ns:
            self._times_ns.popleft()

    @property
    def fps(self) -> float | None:
        """Frames per second; None before the second result."""
        if len(self._times_ns) < 2:
            return None
        span_ns = self._times_ns[-1] - self._times_ns[0]
        return (len(self._times_ns) - 1) * 1e9 / span_ns if span_ns > 0 else None


def printable(text: str) -> str:
    """Return the text on one line without control characters, so that no label can steer the screen."""
    return "".join(character if character.isprintable() else "?" for character in text)


def truth_label(frame: Frame, labels: TruthLabels) -> str | None:
    """Return the name of the frame's right class, where that is known."""
    names = labels.get(frame.camera or "") if isinstance(labels, Mapping) else labels
    return (
        names[frame.truth] if names is not None and frame.truth is not None and 0 <= frame.truth < len(names) else None
    )
