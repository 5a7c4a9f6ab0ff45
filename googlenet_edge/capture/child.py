"""A process that sends frames through a pipe, and what it has to say through another."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

__all__ = ["ChildEnded", "ChildLate", "ChildStopped", "FrameProcess"]

_logger = logging.getLogger(__name__)

STOP_S = 0.4
"""How long the process may take to stop in good order, which frees its camera; then it is killed."""
KILLED_S = 1.0
"""How long a killed one may take to be gone, which only a busy machine needs."""
LOOK_MS = 50
"""How often a wait looks for the stop event."""
PIPE_BYTES = 1 << 20
_KEPT_LINES = 40
# Asks the kernel for its own end at that of the thread that began it, and becomes the program that its arguments name.
# (Python ignores SIGPIPE, and a program would inherit that.)
_TIED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(sys.argv[2], sys.argv[2:])
"""


class ChildEnded(Exception):  # noqa: N818 - no error by itself
    """The process has closed its end of the pipe."""


class ChildLate(Exception):  # noqa: N818 - what it means is the caller's
    """Nothing came within the time that was allowed."""


class ChildStopped(Exception):  # noqa: N818 - no error
    """The stop event was set while something was awaited."""


class FrameProcess:
    """A child process and the pipes to it. Used by one thread; every wait is bounded and ends with the stop event.

    ``command`` is given the number of the descriptor that the frames go to. With ``instructed`` the process reads from
    standard input, whose end asks it to stop; without, an interrupt does, and it is killed if the thread that made this
    ends, however that came: one that waits for a frame would keep its camera for ever. It has a session of its own, so
    that Ctrl-C in a terminal reaches it through us alone. Raises OSError where it cannot be started.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        *,
        stop: threading.Event,
        instructed: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._stop = stop
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._unfinished = ""
        self._deadline = 0.0
        self._released = False
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._frames_fd, sink_fd = _pipe(ours, theirs)
            self._text_fd, said_fd = _pipe(ours, theirs)
            with contextlib.suppress(OSError):  # beyond the user's limit: it works with a small pipe too
                fcntl.fcntl(self._frames_fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)
            os.set_blocking(self._text_fd, False)
            # Frames do not go over standard output, which libraries write to (nvarguscamerasrc does).
            tied = [] if instructed else [sys.executable, "-IS", "-c", _TIED, str(os.getpid())]
            self.process = subprocess.Popen(
                [*tied, *command(sink_fd)],
                stdin=subprocess.PIPE if instructed else subprocess.DEVNULL,
                stdout=said_fd,
                stderr=said_fd,
                pass_fds=(sink_fd,),
                start_new_session=True,
                env=environment,
                bufsize=0,
            )
            ours.pop_all()

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines that the process has written, as it wrote them: they may contain secrets."""
        return tuple(self._lines)

    @property
    def has_frame_data(self) -> bool:
        """Whether something lies in the frames' pipe already, or the pipe has ended."""
        return _is_readable(self._frames_fd)

    def allow(self, limit_s: float) -> None:
        """Let what is awaited from now on take this long in all."""
        self._deadline = time.monotonic() + limit_s

    def tell(self, data: bytes) -> None:
        """Write a little to the process's standard input. A process that has ended is told nothing."""
        instructions = self.process.stdin
        if instructions is not None:
            with contextlib.suppress(BrokenPipeError):
                instructions.write(data)

    def fill(self, memory: memoryview) -> None:
        """Fill the memory from the frames' pipe, keeping what the process says meanwhile.

        Raises :class:`ChildEnded`, :class:`ChildLate` or :class:`ChildStopped`.
        """
        filled = 0
        while filled < len(memory):
            self._wait()
            count = os.readv(self._frames_fd, [memory[filled:]])
            if not count:
                raise ChildEnded
            filled += count

    def await_end(self) -> int | None:
        """Return how the process ended, which has closed its pipe, and keep its last words; None if it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        for _ in range(_KEPT_LINES):
            # Not to the end of the text: a child of the process's own may hold it open.
            if not _is_readable(self._text_fd) or not self._read_text():
                break
        return self.process.poll()

    def release(self) -> None:
        """Stop the process, by force if it does not stop by itself, and close the pipes. Idempotent."""
        if self._released:
            return
        self._released = True
        try:
            self._stop_process()
        finally:
            os.close(self._frames_fd)
            os.close(self._text_fd)

    def _stop_process(self) -> None:
        instructions = self.process.stdin
        if instructions is not None:
            with contextlib.suppress(OSError):
                instructions.close()
        elif self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        limit = time.monotonic() + STOP_S
        while self.process.poll() is None and time.monotonic() < limit:
            # It stops once it is rid of the frame and the line in hand.
            held = [os.read(fd, PIPE_BYTES) for fd in (self._frames_fd, self._text_fd) if _is_readable(fd)]
            if not any(held):
                time.sleep(0.005)
        if self.process.poll() is None:
            self.process.kill()
            try:
                self.process.wait(KILLED_S)
            except subprocess.TimeoutExpired:
                _logger.warning("process %d cannot be ended", self.process.pid)

    def _wait(self) -> None:
        """Wait until there is something of a frame, or the pipe's end."""
        while not self._stop.is_set():
            poll = select.poll()
            poll.register(self._frames_fd, select.POLLIN)
            poll.register(self._text_fd, select.POLLIN)
            ready = dict(poll.poll(LOOK_MS))
            # The text first: a process that cannot write its text stops delivering frames.
            text_ended = self._text_fd in ready and not self._read_text()
            if self._frames_fd in ready:
                return
            if text_ended:
                time.sleep(LOOK_MS / 1000)  # the end is always ready, and says nothing
            if time.monotonic() >= self._deadline:
                raise ChildLate
        raise ChildStopped

    def _read_text(self) -> bool:
        """Keep what the process has written so far; False at the end of it."""
        try:
            received = os.read(self._text_fd, 65_536)
        except BlockingIOError:
            return True
        *lines, self._unfinished = (self._unfinished + received.decode(errors="replace")).split("\n")
        self._unfinished = self._unfinished[-4096:]
        for line in lines:
            if line.strip():
                self._lines.append(line.strip())
        return bool(received)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    read_fd, write_fd = os.pipe()
    ours.callback(os.close, read_fd)
    theirs.callback(os.close, write_fd)
    return read_fd, write_fd


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
