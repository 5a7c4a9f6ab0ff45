"""Video files, in any container that OpenCV reads."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import cv2

from googlenet_edge.capture.frames import announced_frames, decode_next, has_backend, to_bgr
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame, Outages

__all__ = ["LONGEST_STEP_S", "VideoFileSource", "missing_bytes"]

_logger = logging.getLogger(__name__)

CLOSE_S = 0.5
"""Longest wait in ``close`` for a read that another thread has begun."""
HIGHEST_FPS = 1000.0
LONGEST_STEP_S = 2.0
"""A longer time between two frames is a gap where the recording was interrupted, and no part of its pace."""


class VideoFileSource:
    """The frames of a video file in order, none dropped, each stamped when it was decoded.

    See :class:`~googlenet_edge.capture.source.Source`. Raises :class:`SourceError` for a file that is no video; while
    iterating, :class:`SourceLostError` at the point where a truncated file stops.
    """

    live = False
    labels: tuple[str, ...] | None = None
    dropped = 0
    connected = True
    outages = Outages()

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock, loop: bool = False) -> None:
        self._path = Path(path)
        self.description = str(path)
        self._clock = clock
        self._loop = loop
        self._closed = False
        self._reading = threading.Lock()
        self._sequence = 0
        self._decoded = 0  # since the beginning of the file
        self._position_ms = math.nan  # of the latest frame, by its own time stamp
        self._step_ns = 0
        self._capture = self._open()
        self.fps = self._read_fps()
        """Frames per second, on average, as the container says; None where it says none."""

    @property
    def step_ns(self) -> int:
        """How long after the frame before it the latest frame is due, by the time stamps in the file.

        Where these say nothing (the first frame of each round, a gap of more than two seconds, an OpenCV that only
        counts frames), it is ``1 / fps``.
        """
        return self._step_ns

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._read()) is not None:
            yield frame

    def __enter__(self) -> VideoFileSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the file. Idempotent; a read that another thread has begun is waited for, but not for ever."""
        self._closed = True
        if self._reading.acquire(timeout=CLOSE_S):
            try:
                self._capture.release()
            finally:
                self._reading.release()
        else:
            _logger.warning("%s: still blocked in a read after closing; it frees the file", self.description)

    def _open(self) -> cv2.VideoCapture:
        try:
            with self._path.open("rb") as file:
                if not file.read(1):
                    raise SourceError(f"{self.description}: the file is empty, expected a video")
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{self.description}: cannot be read: {error.strerror or error}") from error
        # By its absolute path, because FFmpeg takes "a:b.mp4" for a protocol named a.
        backend = cv2.CAP_FFMPEG if has_backend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
        try:
            capture = cv2.VideoCapture(str(self._path.absolute()), backend)
        except cv2.error as error:
            raise SourceError(f"{self.description}: OpenCV cannot open it: {error.err or error}") from error
        if not capture.isOpened():
            missing = missing_bytes(self._path)
            reason = "unknown format, no video in it, or damaged"
            if missing:
                reason = f"it is truncated ({missing:,} bytes are missing)"
            raise SourceError(
                f"{self.description}: not a video that this OpenCV can read: {reason}; "
                f"expected for example .mp4, .mkv, .avi or .webm, or an image: .jpg, .png, .bmp, .webp, .tiff"
            )
        return capture

    def _read_fps(self) -> float | None:
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        return fps if math.isfinite(fps) and 0 < fps <= HIGHEST_FPS else None

    def _read(self) -> Frame | None:
        with self._reading:
            try:
                return self._read_one()
            finally:
                if self._closed:
                    self._capture.release()

    def _read_one(self) -> Frame | None:
        if self._closed:
            return None
        received = self._next()
        if received is None:
            self._check_end()
            if not self._loop:
                return None
            self._capture.release()
            self._capture = self._open()
            self._decoded, self._position_ms = 0, math.nan
            received = self._next()
            if received is None:
                self._check_end()
                return None
        image, stamp_ns = received
        self._measure_step()
        frame = Frame(to_bgr(image, self.description), self._sequence, stamp_ns, name=str(self._path))
        self._sequence += 1
        self._decoded += 1
        return frame

    def _next(self) -> tuple[Any, int] | None:
        # At the announced end there is no point in asking behind it.
        patience_s = 0 if self._decoded == announced_frames(self._capture) else math.inf
        return decode_next(self._capture, self._clock, patience_s=patience_s)

    def _measure_step(self) -> None:
        position_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        step_ns = (position_ms - self._position_ms) * 1e6
        usual_ns = 0 if self.fps is None else round(1e9 / self.fps)
        self._step_ns = round(step_ns) if 0 < step_ns <= LONGEST_STEP_S * 1e9 else usual_ns
        self._position_ms = position_ms

    def _check_end(self) -> None:
        """OpenCV says only that there is no further frame: find out whether there should have been."""
        if not self._decoded:
            raise SourceError(
                f"{self.description}: no frame could be decoded; the file is damaged or has no video track"
            )
        expected = announced_frames(self._capture)
        if expected is None or self._decoded >= expected:
            return
        ended = f"{self.description}: ended after {self._decoded} of the {expected} frames that its header announces"
        missing = missing_bytes(self._path)
        if missing:
            raise SourceLostError(f"{ended}: the file is truncated ({missing:,} bytes are missing); copy it again")
        # Some containers only estimate the count, and edit lists hide frames on purpose: no error without more proof.
        _logger.warning("%s; parts of the file may be damaged", ended)


def missing_bytes(path: Path) -> int:
    """Return how many bytes an AVI or MP4/MOV file lacks of what its headers say; 0 if none, or another format."""
    try:
        with path.open("rb") as file:
            return _missing_bytes(file, os.fstat(file.fileno()).st_size)
    except OSError:
        return 0


def _missing_bytes(file: BinaryIO, size: int) -> int:
    head = file.read(12)
    if len(head) == 12 and head[:4] == b"RIFF":
        return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
    if len(head) < 12 or head[4:8] != b"ftyp":
        return 0
    position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: up to the end of the file; anything else is no box
            return 0
        position += length
    return max(0, position - size)
