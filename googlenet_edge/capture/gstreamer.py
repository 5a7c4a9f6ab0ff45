"""GStreamer pipelines, run by a ``gst-launch-1.0`` process: for any OpenCV, also PyPI's, which has no GStreamer."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections import deque

from googlenet_edge.capture.gst_frames import FrameReader
from googlenet_edge.capture.gst_text import find_fault, hide_secrets, is_endless, split_pipeline
from googlenet_edge.capture.options import SourceOptions
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame

__all__ = ["GstGrabber"]

_logger = logging.getLogger(__name__)

PROGRAM = "gst-launch-1.0"
PACKAGES = (
    "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)

STOP_S = 0.5
"""How long the process may take to stop in good order, which frees a camera; then it is killed."""
LOOK_MS = 50
"""How often a wait looks for the stop event."""
PIPE_BYTES = 1 << 20
_KEPT_LINES = 40


class _Ended(Exception):  # noqa: N818 - no error: the pipe's end
    pass


class GstGrabber:
    """A GStreamer pipeline as a :class:`~googlenet_edge.capture.live.Grabber`.

    ``pipeline`` is what one would write behind ``gst-launch-1.0``, up to raw video in any format and without a sink.
    Frames are stamped by the host's clock when their first byte has come through the pipe. Raises
    :class:`~googlenet_edge.errors.UsageError` for what is no pipeline and :class:`SourceError`, with what GStreamer
    said, where it delivers nothing.
    """

    def __init__(
        self, pipeline: str, options: SourceOptions, *, description: str, stop: threading.Event, clock: Clock
    ) -> None:
        words = split_pipeline(pipeline)
        self.live = is_endless(words)
        self._may_end = not self.live or any(word.startswith("num-buffers=") for word in words)
        self._description = description
        self._options = options
        self._stop = stop
        self._delivered = 0
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._unfinished = ""
        self._timeout_ms = options.open_timeout_ms
        self._deadline = time.monotonic() + self._timeout_ms / 1000
        program = shutil.which(PROGRAM)
        if program is None:
            raise SourceError(f"{description}: {PROGRAM} is not installed; {PACKAGES}")
        with contextlib.ExitStack() as opened:
            self._process, self._frames_fd, self._text_fd = _start(program, words, description)
            opened.callback(self.release)
            self._reader = FrameReader(self._fill, description=description, clock=clock)
            # The first frame now, so that what is wrong with a pipeline is known when it is opened.
            self._first = self._next(0)
            opened.pop_all()

    def grab(self, sequence: int) -> Frame | None:
        """Return the next frame, or None when the pipeline has come to its end."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        self._timeout_ms = self._options.read_timeout_ms
        self._deadline = time.monotonic() + self._timeout_ms / 1000
        return self._next(sequence)

    def release(self) -> None:
        """Stop the process, by force if it does not stop by itself."""
        try:
            self._stop_process()
        finally:
            os.close(self._frames_fd)
            os.close(self._text_fd)

    def _stop_process(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            limit = time.monotonic() + STOP_S
            while self._process.poll() is None and time.monotonic() < limit:
                # It stops once it is rid of the frame and the line in hand.
                held = [os.read(fd, PIPE_BYTES) for fd in (self._frames_fd, self._text_fd) if _is_readable(fd)]
                if not any(held):
                    time.sleep(0.005)
        if self._process.poll() is None:
            self._process.kill()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                _logger.warning("%s: process %d cannot be ended", self._description, self._process.pid)

    def _next(self, sequence: int) -> Frame | None:
        try:
            image, stamp_ns = self._reader.next_image()
        except _Ended:
            if not self._stop.is_set():
                self._judge_end()
            return None
        self._delivered += 1
        return Frame(image, sequence, stamp_ns)

    def _fill(self, memory: memoryview) -> None:
        """Fill the memory from the pipe, keeping what the process says meanwhile."""
        filled = 0
        while filled < len(memory):
            self._wait()
            count = os.readv(self._frames_fd, [memory[filled:]])
            if not count:
                raise _Ended
            filled += count

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
                raise self._late()
        raise _Ended

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

    def _last_words(self) -> str:
        return f" (GStreamer's last words: {hide_secrets(self._lines[-1])})" if self._lines else ""

    def _late(self) -> SourceError:
        remedy = "check the camera and its cable or network, or allow more time with a longer"
        said = self._last_words()
        if not self._delivered:
            return SourceError(
                f"{self._description}: no frame {self._timeout_ms} ms after the start{said}; {remedy} open timeout"
            )
        return SourceLostError(
            f"{self._description}: no frame for {self._timeout_ms} ms, after {self._delivered} frames{said}; "
            f"{remedy} read timeout"
        )

    def _judge_end(self) -> None:
        """Raise what the end of the pipe means; return where it is the end of a finite pipeline."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        for _ in range(_KEPT_LINES):
            # Not to the end of the text: a child of the pipeline's own may hold it open.
            if not _is_readable(self._text_fd) or not self._read_text():
                break
        code = self._process.poll()
        reason = find_fault(tuple(hide_secrets(line) for line in self._lines))
        if not self._delivered:
            ended = "the pipeline ended before its first frame" if code == 0 else "the pipeline does not run"
            raise SourceError(f"{self._description}: {ended}" + (f": {reason}" if reason else ""))
        if code == 0 and reason is None:
            if self._may_end:
                return
            reason = "the camera or server ended the stream"
        if reason is None:
            how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with {code}"
            reason = f"{PROGRAM} {how}{self._last_words()}"
        raise SourceLostError(f"{self._description}: lost after {self._delivered} frames: {reason}")


def _start(program: str, words: tuple[str, ...], description: str) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start the pipeline; return the process and the ends of the pipes that its frames and its text come through."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        fds = []
        for _ in range(2):
            read_fd, write_fd = os.pipe()
            ours.callback(os.close, read_fd)
            theirs.callback(os.close, write_fd)
            fds.append((read_fd, write_fd))
        (frames_fd, sink_fd), (text_fd, said_fd) = fds
        with contextlib.suppress(OSError):  # beyond the user's limit: it works with a small pipe too
            fcntl.fcntl(frames_fd, getattr(fcntl, "F_SETPIPE_SZ", 1031), PIPE_BYTES)
        os.set_blocking(text_fd, False)
        tail = f"! videoconvert ! video/x-raw,format=BGR ! gdppay ! fdsink sync=false fd={sink_fd}".split()
        # Not over standard output, which elements write to (nvarguscamerasrc does). No fault handler, because it keeps
        # a crashed pipeline for a debugger. A session of its own, so that Ctrl-C reaches it through us alone.
        environment = {name: value for name, value in os.environ.items() if name != "LANGUAGE"} | {"LC_ALL": "C.UTF-8"}
        try:
            process = subprocess.Popen(
                [program, "-f", "--", *words, *tail],
                stdin=subprocess.DEVNULL,
                stdout=said_fd,
                stderr=said_fd,
                pass_fds=(sink_fd,),
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            raise SourceError(f"{description}: {program} cannot be started: {error.strerror}") from error
        ours.pop_all()
        return process, frames_fd, text_fd


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
