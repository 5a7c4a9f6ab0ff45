"""Ctrl-C, SIGTERM and SIGHUP: the first one ends a run in good order, the second one at once.

Or SIGHUP has the files opened anew.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopSignals"]


class StopSignals:
    """Handles SIGINT, SIGTERM and SIGHUP while it is entered, on the main thread; a context manager.

    What is being opened or built is interrupted: the first signal raises :class:`KeyboardInterrupt`. Within
    :meth:`in_good_order`, the first one sets :attr:`stop` instead. A signal that is ignored stays so: nohup and the
    background jobs of shells want that.
    """

    def __init__(self, *, first_message: bytes, hangup_reopens: bool) -> None:
        """``first_message`` is written to standard error when a signal sets :attr:`stop`.

        ``hangup_reopens``: SIGHUP sets :attr:`reopen`, and is not taken for a terminal that went away.
        """
        self.stop = threading.Event()
        self.reopen = threading.Event()
        self.interrupted_by: int | None = None
        """The signal that raised KeyboardInterrupt, if one did."""
        self._message = first_message
        self._hangup_reopens = hangup_reopens
        self._in_good_order = False
        self._signalled = False
        self._previous: dict[signal.Signals, object] = {}

    @contextmanager
    def in_good_order(self) -> Iterator[threading.Event]:
        """Have the first signal set :attr:`stop`, from here to the end of the block, which looks at it."""
        self._in_good_order = True
        try:
            yield self.stop
        finally:
            self._in_good_order = False

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # no other thread may set handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._install(number, self._handle)
            self._install(signal.SIGHUP, self._reopen if self._hangup_reopens else self._handle)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal.signal returned it
        self._previous.clear()

    def _install(self, number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
        if signal.getsignal(number) != signal.SIG_IGN:
            self._previous[number] = signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self._in_good_order or self._signalled:
            self.interrupted_by = number
            raise KeyboardInterrupt
        self._signalled = True
        self.stop.set()
        # Not print(): a signal may come while the stream is being written to, and buffers are not re-entrant. That a
        # terminal is gone must not be an error wherever the program happens to be.
        with contextlib.suppress(OSError):
            os.write(2, self._message)

    def _reopen(self, _number: int, _frame: FrameType | None) -> None:
        self.reopen.set()
