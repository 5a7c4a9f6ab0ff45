"""GStreamer pipelines, run by a ``gst-launch-1.0`` process: for any OpenCV, also PyPI's, which has no GStreamer."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from dataclasses import replace

from googlenet_edge.capture.child import ChildEnded, ChildLate, ChildStopped, FrameProcess
from googlenet_edge.capture.gst_frames import FrameReader
from googlenet_edge.capture.gst_text import find_fault, hide_secrets, is_endless, split_pipeline
from googlenet_edge.capture.options import HIGHEST_FPS, SourceOptions, longest_wait_ms
from googlenet_edge.capture.reader.stamps import StreamClock
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame

__all__ = ["GstGrabber", "find_program"]

PROGRAM = "gst-launch-1.0"
PACKAGES = (
    "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
)


def find_program(description: str) -> str:
    """Return where ``gst-launch-1.0`` is. Raises :class:`SourceError` where it is not installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise SourceError(f"{description}: {PROGRAM} is not installed; {PACKAGES}")
    return program


class GstGrabber:
    """A GStreamer pipeline as a :class:`~googlenet_edge.capture.live.Grabber`.

    ``pipeline`` is what one would write behind ``gst-launch-1.0``, up to raw video in any format and without a sink.
    Frames are stamped by the pipeline's own time stamps, brought to the host's clock, so that a frame which waited in
    the pipe is as old as it is; or, where it has none, when their first byte was taken from the pipe.

    Raises :class:`~googlenet_edge.errors.UsageError` for what is no pipeline and :class:`SourceError`, with what
    GStreamer said, where it delivers nothing.
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
        self._stamps = StreamClock()
        self._timeout_ms: float = options.open_timeout_ms
        self._child = _start(find_program(description), words, description, stop)
        with contextlib.ExitStack() as opened:
            opened.callback(self.release)
            self._reader = FrameReader(
                self._child.fill, lambda: self._child.has_frame_data, description=description, clock=clock
            )
            # The first frame now, so that what is wrong with a pipeline is known when it is opened.
            self._child.allow(self._timeout_ms / 1000)
            self._first = self._next(0)
            opened.pop_all()

    @property
    def fps(self) -> float | None:
        """Frames per second, as the pipeline says; None where it says none."""
        fps = self._reader.fps
        return fps if fps and fps <= HIGHEST_FPS else None

    def grab(self, sequence: int) -> Frame | None:
        """Return the next frame, or None when the pipeline has come to its end."""
        if self._first is not None:
            first, self._first = self._first, None
            return first if sequence == first.sequence else replace(first, sequence=sequence)
        self._timeout_ms = longest_wait_ms(self._options.read_timeout_ms, self.fps)
        self._child.allow(self._timeout_ms / 1000)
        return self._next(sequence)

    def release(self) -> None:
        """Stop the process, by force if it does not stop by itself."""
        self._child.release()

    def _next(self, sequence: int) -> Frame | None:
        try:
            piped = self._reader.next_frame()
        except ChildStopped:
            return None
        except ChildLate:
            raise self._late() from None
        except ChildEnded:
            if not self._stop.is_set():
                self._judge_end()
            return None
        self._delivered += 1
        captured_ns, stamped = self._stamps.capture_time(piped.pts_ns, piped.arrived_ns, held_up=piped.held_up)
        return Frame(piped.image, sequence, captured_ns, "stream" if stamped else "host")

    def _last_words(self) -> str:
        lines = self._child.lines
        return f" (GStreamer's last words: {hide_secrets(lines[-1])})" if lines else ""

    def _late(self) -> SourceError:
        remedy = "check the camera and its cable or network, or allow more time with a longer"
        said = self._last_words()
        if not self._delivered:
            return SourceError(
                f"{self._description}: no frame {self._timeout_ms:g} ms after the start{said}; {remedy} open timeout"
            )
        return SourceLostError(
            f"{self._description}: no frame for {self._timeout_ms:g} ms, after {self._delivered} frames{said}; "
            f"{remedy} read timeout"
        )

    def _judge_end(self) -> None:
        """Raise what the end of the pipe means; return where it is the end of a finite pipeline."""
        code = self._child.await_end()
        reason = find_fault(tuple(hide_secrets(line) for line in self._child.lines))
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


def _start(program: str, words: tuple[str, ...], description: str, stop: threading.Event) -> FrameProcess:
    # No fault handler, because it keeps a crashed pipeline for a debugger.
    environment = {name: value for name, value in os.environ.items() if name != "LANGUAGE"} | {"LC_ALL": "C.UTF-8"}

    def command(fd: int) -> list[str]:
        tail = f"! videoconvert ! video/x-raw,format=BGR ! gdppay ! fdsink sync=false fd={fd}".split()
        return [program, "-f", "--", *words, *tail]

    try:
        return FrameProcess(command, stop=stop, environment=environment)
    except OSError as error:
        raise SourceError(f"{description}: {program} cannot be started: {error.strerror}") from error
