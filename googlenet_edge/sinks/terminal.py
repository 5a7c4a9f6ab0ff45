"""Results on a terminal: one live line where it can be rewritten, else a few lines; never a flood."""

from __future__ import annotations

import shutil
from typing import TextIO

from rich.cells import cell_len, set_cell_size

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.sink import RateMeter, Sink, printable
from googlenet_edge.types import Frame, Prediction

__all__ = ["TerminalSink"]

_REWRITE_INTERVAL_NS = 100_000_000
_SAME_LABEL_INTERVAL_NS = 1_000_000_000
_BURST_LINES = 20
_LINES_PER_SECOND = 2.0


class TerminalSink(Sink):
    """Prints to a text stream, which it does not close.

    On a terminal: one line, rewritten in place at most 10 times a second. Elsewhere (a log file, a pipe): a line when
    the label or the file changes, and once a second while it stays; changes come as fast as they happen for 20 lines,
    then at 2 lines a second, so that a flickering label does not fill the log. JSON lines have every frame.
    """

    def __init__(self, stream: TextIO, *, rewrite: bool | None = None) -> None:
        self._stream = stream
        self._rewrite = stream.isatty() if rewrite is None else rewrite
        self._rate = RateMeter()
        self._printed_ns: int | None = None
        self._printed_subject: tuple[str | None, str] | None = None
        self._pending: str | None = None
        self._budget = float(_BURST_LINES)
        self._budget_ns = 0
        self._closed = False

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Show the result, if it is time to. Raises :class:`OutputError`."""
        now_ns = prediction.trace.inferred_ns
        self._rate.add(now_ns)
        subject = (frame.name, prediction.label)
        due = self._rewrite_due(now_ns) if self._rewrite else self._line_due(now_ns, subject)
        line = self._line(frame, prediction)
        if due:
            self._printed_ns, self._printed_subject = now_ns, subject
            self._pending = None
            self._write(line)
        else:
            self._pending = line

    def close(self) -> None:
        """Show the last result and end its line."""
        if self._closed:
            return
        self._closed = True
        if self._pending is not None:
            self._write(self._pending)
        if self._rewrite and self._printed_ns is not None:
            self._put("\n")

    def _rewrite_due(self, now_ns: int) -> bool:
        return self._printed_ns is None or now_ns - self._printed_ns >= _REWRITE_INTERVAL_NS

    def _line_due(self, now_ns: int, subject: tuple[str | None, str]) -> bool:
        if self._printed_ns is not None and subject == self._printed_subject:
            return now_ns - self._printed_ns >= _SAME_LABEL_INTERVAL_NS
        if self._printed_ns is not None:
            earned = (now_ns - self._budget_ns) / 1e9 * _LINES_PER_SECOND
            self._budget = min(float(_BURST_LINES), self._budget + earned)
        self._budget_ns = now_ns
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    def _line(self, frame: Frame, prediction: Prediction) -> str:
        trace = prediction.trace
        rate = "" if self._rate.fps is None else f"  {self._rate.fps:.1f} frames/s"
        latency_ms = (trace.inferred_ns - trace.captured_ns) / 1e6
        name = f"  {printable(frame.name)}" if frame.name is not None else ""
        return (
            f"#{frame.sequence}  {printable(prediction.label)} {100 * prediction.probability:.1f} %"
            f"{rate}  capture to result {latency_ms:.1f} ms{name}"
        )

    def _write(self, line: str) -> None:
        if self._rewrite:
            # One cell is left free: a full last column makes some terminals wrap, and the line would walk down.
            columns = shutil.get_terminal_size().columns - 1
            self._put("\r" + (line if cell_len(line) <= columns else set_cell_size(line, columns)) + "\x1b[K")
        else:
            self._put(line + "\n")

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
