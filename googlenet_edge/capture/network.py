"""Network streams through PyAV, in a process of their own: RTSP, MJPEG and video files over HTTP."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

import googlenet_edge
from googlenet_edge.capture.child import ChildEnded, ChildLate, ChildStopped, FrameProcess
from googlenet_edge.capture.options import SourceOptions, titled
from googlenet_edge.capture.reader.wire import HEADER_BYTES, MESSAGE, Header
from googlenet_edge.capture.redact import redact
from googlenet_edge.errors import MissingPackageError, SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame, StampSource

__all__ = ["NetworkGrabber"]

_logger = logging.getLogger(__name__)

COMPLETE = 0.9
"""Share of the announced frames after which an end counts as the end: the number announced may be an estimate."""
START_S = 10.0
"""Longest wait for the process to start, which takes a tenth of a second, on a machine that has much else to do."""
GRACE_S = 0.5
"""How much longer one of the two waits: we, for a stream to open, because the process finds out what is wrong; the
process, for frames."""
EXPLAIN_S = 5.0
"""Longest wait for it to ask the server what is wrong."""
_SCRIPT = Path(__file__).with_name("reader") / "__main__.py"


class NetworkGrabber:
    """A network stream as a :class:`~googlenet_edge.capture.live.Grabber`.

    A stream without an end is live; a video file that a web server delivers is not. Frames are stamped by the sender's
    time stamps, brought to the host's clock, or, where it sends none, with the time when they began to arrive.
    A frame whose ``sequence`` is higher than the number asked for says how many newer ones took the place of older
    ones since the frame before. ``https`` and ``rtsps`` encrypt but, like most camera software, do not check
    certificates. Raises :class:`SourceError` with the reason, as far as the server gives one, where there is no video.
    """

    def __init__(self, uri: str, options: SourceOptions, *, stop: threading.Event, clock: Clock) -> None:
        self._description = redact(uri)
        self._options = options
        self._clock = clock
        self._stop = stop
        self._delivered = 0
        self._damaged = 0
        self._asked = False
        self._connected = False
        self._expected: int | None = None
        self._quarter_turns = 0
        self.live = True
        self.fps: float | None = None
        self._title = titled(options.name, self._description)
        if importlib.util.find_spec("av") is None:
            raise MissingPackageError("av", extra="cpu")
        try:
            self._child = FrameProcess(lambda fd: [sys.executable, str(_SCRIPT), str(fd)], stop=stop, instructed=True)
        except OSError as error:
            raise SourceError(f"{self._description}: {sys.executable} cannot be started: {error.strerror}") from error
        with contextlib.ExitStack() as opened:
            opened.callback(self.release)
            self._child.tell(_settings(uri, options))
            self._first = self._open()
            opened.pop_all()

    def grab(self, sequence: int) -> Frame | None:
        """Return the next frame, or None after the last one of a recording."""
        if self._first is not None:
            first, self._first = self._first, None
            return replace(first, sequence=sequence)
        self._child.allow(self._options.read_timeout_ms / 1000)
        try:
            return self._next(sequence)
        except ChildStopped:
            return None
        except ChildLate:
            raise SourceLostError(
                f"{self._description}: no frame for {self._options.read_timeout_ms} ms, after {self._delivered} "
                f"frames; check the camera and the network, or allow more time with a longer read timeout"
            ) from None
        except ChildEnded:
            raise SourceLostError(f"{self._description}: {self._how_it_ended()}") from None

    def release(self) -> None:
        """End the process, and with it the connection."""
        self._child.release()
        if self._damaged:
            _logger.info("%s: %d damaged pictures were left out", self._title, self._damaged)

    def _open(self) -> Frame | None:
        """Return the first frame, with which the stream counts as open."""
        self._child.allow(START_S)
        try:
            return self._next(0)
        except ChildStopped:
            raise SourceError(f"{self._description}: closed while it was being opened") from None
        except ChildLate:
            raise SourceError(f"{self._description}: {self._why_late()}") from None
        except ChildEnded:
            raise SourceError(f"{self._description}: {self._how_it_ended()}") from None

    def _next(self, sequence: int) -> Frame | None:
        if not self._asked:
            self._child.tell(b".")
            self._asked = True
        while True:
            data = bytearray(HEADER_BYTES)
            self._child.fill(memoryview(data))
            try:
                header = Header.unpack(bytes(data))
            except ValueError as error:
                raise SourceLostError(f"{self._description}: cannot follow the frames: {error}") from None
            if header.kind != MESSAGE:
                return self._frame(header, sequence)
            body = bytearray(header.row_bytes)
            self._child.fill(memoryview(body))
            if self._is_end(json.loads(body)):
                return None

    def _frame(self, header: Header, sequence: int) -> Frame:
        rows: npt.NDArray[np.uint8] = np.empty((header.height_px, header.row_bytes), np.uint8)
        self._child.fill(rows.data.cast("B"))
        self._asked = False
        if header.damaged and not self._damaged:
            _logger.warning("%s: a damaged picture was left out; others are counted", self._title)
        self._damaged += header.damaged
        self._delivered += 1
        image = rows[:, : 3 * header.width_px].reshape(header.height_px, header.width_px, 3)
        image = np.ascontiguousarray(np.rot90(image, self._quarter_turns))
        captured_ns = header.captured_ns
        if self._clock is not time.monotonic_ns:  # in tests only
            captured_ns += self._clock() - time.monotonic_ns()
        stamp_source: StampSource = "stream" if header.stamped_by_stream else "host"
        return Frame(image, sequence + header.skipped, captured_ns, stamp_source)

    def _is_end(self, message: dict[str, object]) -> bool:
        """Take note of a message; True where it is the quiet end of a recording."""
        event, reason = message["event"], message.get("reason")  # a text of ours, without the address
        if event == "started":
            self._child.allow(self._options.open_timeout_ms / 1000 + GRACE_S)
        elif event == "explaining":
            self._child.allow(EXPLAIN_S)
        elif event == "connected":
            self._connected = True
        elif event == "opened":
            self.live = bool(message["live"])
            expected = message["expected"]
            self._expected = expected if isinstance(expected, int) else None
            turns = message.get("quarter_turns", 0)
            self._quarter_turns = turns if isinstance(turns, int) else 0
            _logger.debug("%s: %s video", self._description, message["codec"])
        elif event == "failed":
            raise SourceError(f"{self._description}: {reason}")
        elif event == "ended" and not self.live and self._delivered >= (self._expected or 0) * COMPLETE:
            return True
        elif event in ("ended", "lost"):
            announced = f" of {self._expected}" if self._expected else ""
            how = f"lost after {self._delivered}{announced} frames: {reason}"
            if event == "ended" or not self.live:
                how = f"the server ended the stream after {self._delivered}{announced} frames"
            raise SourceLostError(f"{self._description}: {how}")
        return False

    def _why_late(self) -> str:
        limit = f"{self._options.open_timeout_ms} ms"
        remedy = "or allow more time with a longer open timeout"
        if self._connected:
            return f"the server answers, but sent no whole picture for {limit}; check the camera's settings, {remedy}"
        return f"not open after {limit}; check that it is switched on and reachable, {remedy}"

    def _how_it_ended(self) -> str:
        code = self._child.await_end()
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with {code}"
        lines = self._child.lines
        said = f" (its last words: {redact(lines[-1])})" if lines else ""
        return f"lost after {self._delivered} frames: the process that reads the stream {how}{said}"


def _settings(uri: str, options: SourceOptions) -> bytes:
    home = str(Path(googlenet_edge.__file__).parents[1])
    settings = {
        "path": [str(Path(entry).absolute()) for entry in (*sys.path, home)],
        "uri": uri,
        "open_timeout_s": options.open_timeout_ms / 1000,
        "read_timeout_s": options.read_timeout_ms / 1000,
        "every_frame": options.every_frame,
        "transport": options.transport,
        "latency_ms": options.latency_ms,
    }
    return json.dumps(settings).encode() + b"\n"
