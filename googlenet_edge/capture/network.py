"""Network streams through OpenCV's FFmpeg: RTSP (over TCP), MJPEG and video files over HTTP."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

import cv2

from googlenet_edge.capture.diagnose import explain_failure
from googlenet_edge.capture.frames import announced_frames, decode_next, has_backend, to_bgr
from googlenet_edge.capture.options import SourceOptions
from googlenet_edge.capture.redact import redact
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame

__all__ = ["NETWORK_SCHEMES", "NetworkGrabber"]

NETWORK_SCHEMES = ("http", "https", "rtsp", "rtsps")

COMPLETE = 0.9
"""Share of the announced frames after which an end counts as the end: the number announced may be an estimate."""


class NetworkGrabber:
    """A network stream as a :class:`~googlenet_edge.capture.live.Grabber`.

    A stream without an end is live; a video file that a web server delivers is not. Frames are stamped when they have
    been received and decoded. ``https``: FFmpeg encrypts but, like most camera software, does not check certificates.
    Raises :class:`SourceError` with the reason, as far as the server gives one, where there is no video.
    """

    def __init__(self, uri: str, options: SourceOptions, *, stop: threading.Event, clock: Clock) -> None:
        self._description = redact(uri)
        self._clock = clock
        self._stop = stop
        self._read_timeout_ms = options.read_timeout_ms
        if not has_backend(cv2.CAP_FFMPEG):
            raise SourceError(
                f"{self._description}: this OpenCV ({cv2.__version__}) has no FFmpeg, which network streams need; "
                f"install one that has it: pip install opencv-python, in an environment without another OpenCV"
            )
        started = time.monotonic()
        try:
            self._capture = cv2.VideoCapture(
                uri,
                cv2.CAP_FFMPEG,
                [
                    *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, options.open_timeout_ms),
                    *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, options.read_timeout_ms),
                ],
            )
        except cv2.error as error:
            # Without its cause, whose text may contain the address.
            raise SourceError(f"{self._description}: OpenCV cannot open it (error {error.code})") from None
        if not self._capture.isOpened():
            waited_ms = (time.monotonic() - started) * 1000
            timed_out_ms = options.open_timeout_ms if waited_ms >= options.open_timeout_ms else None
            raise SourceError(f"{self._description}: {explain_failure(uri, timed_out_ms=timed_out_ms)}")
        self._expected = announced_frames(self._capture)
        self.live = self._expected is None or urlsplit(uri).scheme.lower().startswith("rtsp")

    def grab(self, sequence: int) -> Frame | None:
        """Return the next frame, or None after the last one of a recording."""
        started = time.monotonic()
        received = decode_next(self._capture, self._clock, patience_s=self._read_timeout_ms / 1000)
        if received is None:
            if self._stop.is_set() or (self._expected is not None and sequence >= self._expected * COMPLETE):
                return None
            waited_ms = (time.monotonic() - started) * 1000
            if waited_ms >= self._read_timeout_ms:
                raise SourceLostError(
                    f"{self._description}: no frame for {self._read_timeout_ms} ms, after {sequence} frames; "
                    f"check the camera and the network, or allow more time with a longer read timeout"
                )
            announced = f" of {self._expected}" if self._expected else ""
            raise SourceLostError(
                f"{self._description}: the server ended the stream after {sequence}{announced} frames"
            )
        image, stamp_ns = received
        return Frame(to_bgr(image, self._description), sequence, stamp_ns)

    def release(self) -> None:
        """Close the connection."""
        self._capture.release()
