"""Results on a terminal: one live line where it can be rewritten, else a few lines; never a flood."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO, TypeAlias

from rich.cells import cell_len, set_cell_size

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.sink import RateMeter, Sink, printable
from googlenet_edge.types import Frame, Prediction

__all__ = ["TerminalSink"]

_REWRITE_INTERVAL_NS = 100_000_000
_SAME_LABEL_INTERVAL_NS = 1_000_000_000
_PAGE_NS = 2_000_000_000
_BURST_LINES = 20
_LINES_PER_SECOND = 2.0

_Subject: TypeAlias = "tuple[str | None, str | None]"
"""What makes a new line in a log: the file and, unless it is unsure, the label."""


@dataclass
class _Camera:
    """What was seen and shown of one camera."""

    rate: RateMeter = field(default_factory=RateMeter)
    summary: str = "no frame yet"
    seen_ns: int | None = None
    printed_ns: int | None = None
    printed_subject: _Subject | None = None
    pending: str | None = None
    lost: bool = False


class TerminalSink(Sink):
    """Prints to a text stream, which it does not close.

    On a terminal: one line, rewritten in place at most 10 times a second. Of several cameras it has the label of each,
    as many as fit, the others in turn. Elsewhere (a log file, a pipe): a line when the label or the file changes, and
    once a second while it stays, of several cameras in turn; changes come as fast as they happen for 20 lines, then at
    2 lines a second, so that a flickering label does not fill the log. JSON lines have every frame. A camera that is
    lost, and one that is back, has a line of its own.
    """

    def __init__(self, stream: TextIO, *, rewrite: bool | None = None) -> None:
        self._stream = stream
        self._rewrite = stream.isatty() if rewrite is None else rewrite
        self._cameras: dict[str | None, _Camera] = {}
        self._rewritten_ns: int | None = None
        self._live: str | None = None
        self._budget = float(_BURST_LINES)
        self._budget_ns: int | None = None
        self._closed = False

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Show the result, if it is time to. Raises :class:`OutputError`."""
        now_ns = prediction.trace.inferred_ns
        camera = self._cameras.setdefault(frame.camera, _Camera())
        if camera.lost:
            camera.lost = False
            away = "" if camera.seen_ns is None else f" after {(now_ns - camera.seen_ns) / 1e9:.1f} s without a frame"
            self._say(f"{_prefix(frame.camera)}the camera is back{away}")
        camera.rate.add(now_ns)
        camera.seen_ns = now_ns
        line = _line(frame, prediction, camera.rate)
        if self._rewrite:
            self._emit_live(now_ns, camera, prediction, line)
            return
        subject = (frame.name, None if prediction.unsure else prediction.label)
        if self._line_due(camera, now_ns, subject):
            camera.printed_ns, camera.printed_subject, camera.pending = now_ns, subject, None
            self._put(line + "\n")
        else:
            camera.pending = line

    def lost(self, camera: str | None) -> None:
        """Say that a camera was lost. Raises :class:`OutputError`."""
        state = self._cameras.setdefault(camera, _Camera())
        state.lost, state.summary = True, "lost"
        self._say(f"{_prefix(camera)}the camera was lost")

    def close(self) -> None:
        """Show the last result, of each camera, and end its line."""
        if self._closed:
            return
        self._closed = True
        if self._rewrite:
            if self._live is not None:
                self._put_live(self._live)
            if self._rewritten_ns is not None:
                self._put("\n")
            return
        for camera in self._cameras.values():
            if camera.pending is not None:
                self._put(camera.pending + "\n")

    def _emit_live(self, now_ns: int, camera: _Camera, prediction: Prediction, line: str) -> None:
        rate = "" if camera.rate.fps is None else f" {camera.rate.fps:.1f}/s"
        camera.summary = f"{_guess(prediction)}{rate}"
        if list(self._cameras) == [None]:
            self._live = line
        else:
            summaries = [f"{_prefix(name)}{state.summary}" for name, state in self._cameras.items()]
            self._live = _page(summaries, _columns(), now_ns // _PAGE_NS)
        if self._rewritten_ns is None or now_ns - self._rewritten_ns >= _REWRITE_INTERVAL_NS:
            self._rewritten_ns = now_ns
            self._put_live(self._live)
            self._live = None

    def _line_due(self, camera: _Camera, now_ns: int, subject: _Subject) -> bool:
        if camera.printed_ns is not None and subject == camera.printed_subject:
            return now_ns - camera.printed_ns >= _SAME_LABEL_INTERVAL_NS * len(self._cameras)
        if self._budget_ns is not None:
            earned = max(0, now_ns - self._budget_ns) / 1e9 * _LINES_PER_SECOND
            self._budget = min(float(_BURST_LINES), self._budget + earned)
        self._budget_ns = now_ns
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    def _say(self, text: str) -> None:
        """Print a line that stays."""
        self._put(f"\r{text}\x1b[K\n" if self._rewrite else f"{text}\n")

    def _put_live(self, line: str) -> None:
        columns = _columns()
        self._put("\r" + (line if cell_len(line) <= columns else set_cell_size(line, columns)) + "\x1b[K")

    def _put(self, text: str) -> None:
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._closed = True
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise OutputError(
                f"terminal: cannot write to {getattr(self._stream, 'name', 'the stream')}: {reason}; "
                "the reader has gone away or the disk is full; use --quiet where nobody reads it"
            ) from error


def _columns() -> int:
    # One cell is left free: a full last column makes some terminals wrap, and the line would walk down.
    return shutil.get_terminal_size().columns - 1


def _prefix(camera: str | None) -> str:
    return "" if camera is None else f"{printable(camera)}: "


def _guess(prediction: Prediction) -> str:
    guess = f"{printable(prediction.label)} {100 * prediction.probability:.1f} %"
    return f"unsure ({guess})" if prediction.unsure else guess


def _line(frame: Frame, prediction: Prediction, meter: RateMeter) -> str:
    trace = prediction.trace
    rate = "" if meter.fps is None else f"  {meter.fps:.1f} frames/s"
    latency_ms = (trace.inferred_ns - trace.captured_ns) / 1e6
    name = f"  {printable(frame.name)}" if frame.name is not None else ""
    return (
        f"{_prefix(frame.camera)}#{frame.sequence}  {_guess(prediction)}"
        f"{rate}  capture to result {latency_ms:.1f} ms{name}"
    )


def _page(parts: Sequence[str], columns: int, number: int) -> str:
    """Return as many parts as fit on one line; where that is not all, those of the page with this number, in turn."""
    pages: list[str] = []
    for part in parts:
        joined = f"{pages[-1]} | {part}" if pages else part
        if pages and cell_len(joined) <= columns:
            pages[-1] = joined
        else:
            pages.append(part)
    return pages[number % len(pages)]
