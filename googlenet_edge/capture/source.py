"""What a frame source is, and the factory that makes one from a URI."""

from __future__ import annotations

import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol
from urllib.parse import unquote, urlsplit

from googlenet_edge.capture.live import Grabber, LiveSource, Timeouts
from googlenet_edge.capture.options import DEFAULT_OPTIONS, LONGEST_TIMEOUT_MS, SourceOptions
from googlenet_edge.capture.paced import PacedGrabber
from googlenet_edge.capture.redact import redact
from googlenet_edge.errors import MissingPackageError, SourceError, UsageError
from googlenet_edge.types import Clock, Frame

__all__ = ["SOURCES_HELP", "Source", "SourceOptions", "open_source", "redact"]

_logger = logging.getLogger(__name__)

SOURCES_HELP = (
    "a camera (0, 1, ... or /dev/videoN), a video file, an image, a folder or quoted glob of images, "
    "http:// or https:// (MJPEG or a video), rtsp:// or rtsps://, csi:N (a Jetson's CSI camera), "
    "'gst: PIPELINE' (GStreamer, up to raw video), or demo:"
)
"""The forms of a source URI, for help texts and messages."""


class Source(Protocol):
    """Frames, one after the other: a context manager and, once, an iterable.

    Iterating raises :class:`~googlenet_edge.errors.SourceLostError` if the source stops delivering before its end, and
    ends quietly when it is closed. Iterating again goes on where the last iteration stopped.
    """

    @property
    def description(self) -> str:
        """What it is, for logs and reports, without passwords."""

    @property
    def live(self) -> bool:
        """Frames arrive whether or not they are taken."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The class names that ``Frame.truth`` counts, where the source knows them."""

    @property
    def dropped(self) -> int:
        """Frames that were captured but never handed out, so far: the gaps in ``Frame.sequence``."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """Free the source. Idempotent, and bounded in time; from another thread, it ends a waiting iteration."""


def open_source(
    uri: str | os.PathLike[str], options: SourceOptions = DEFAULT_OPTIONS, *, clock: Clock = time.monotonic_ns
) -> Source:
    """Open a frame source.

    ``uri`` is a camera (``0``, ``/dev/video0``), a video file, an image, a folder or glob of images, ``http://``,
    ``https://``, ``rtsp://``, ``rtsps://``, ``csi:0``, ``gst: PIPELINE`` or ``demo:``; a path object is always a file
    or folder. Cameras, endless network streams and pipelines, and whatever is given ``options.fps``, are live: the
    newest frame is handed out, older ones are dropped and counted.

    Raises :class:`~googlenet_edge.errors.SourceError` where the source cannot be opened and
    :class:`~googlenet_edge.errors.UsageError` where there is no such kind of source, or it has no such option.
    """
    try:
        import cv2  # noqa: F401 - told apart here, once, for all modules below
    except ImportError as error:
        raise MissingPackageError("cv2", extra="cpu") from error
    text = _text(uri)
    if not text.strip() or "\0" in text:
        raise UsageError(f"source: got {uri!r}, expected {SOURCES_HELP}")
    if isinstance(uri, os.PathLike):
        return _open_path(text, options, clock)
    scheme = _scheme(text)
    if re.fullmatch(r"[0-9]+", text) or (text.startswith("/dev/") and not Path(text).is_dir()):
        return _open_camera(text, options, clock)
    if scheme == "demo":
        return _open_demo(text, options, clock)
    if scheme in ("gst", "csi"):
        return _open_gstreamer(text, scheme, options, clock)
    if scheme in ("http", "https", "rtsp", "rtsps"):
        return _open_network(text, options, clock)
    if scheme == "file" and not Path(text).exists():
        return _open_path(unquote(urlsplit(text).path), options, clock)
    if scheme and not Path(text).exists():
        raise UsageError(f"source {redact(text)!r}: unknown kind {scheme + ':'!r}, expected {SOURCES_HELP}")
    return _open_path(text, options, clock)


def _text(uri: object) -> str:
    text = os.fspath(uri) if isinstance(uri, (str, os.PathLike)) else ""
    return text if isinstance(text, str) else os.fsdecode(text)


def _scheme(text: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*):", text)
    return match[1].lower() if match else ""


def _refuse(description: str, kind: str, options: SourceOptions, *names: str) -> None:
    for name in names:
        if getattr(options, name) != getattr(DEFAULT_OPTIONS, name):
            raise UsageError(f"{description}: {name} does not apply to {kind}; leave it out")


def _timeouts(options: SourceOptions) -> Timeouts:
    # At a wanted rate below one frame per read timeout, waiting longer is no fault.
    between_ms = 2000 / options.fps if options.fps else 0
    return Timeouts(open_ms=options.open_timeout_ms, read_ms=max(options.read_timeout_ms, between_ms))


def _open_camera(uri: str, options: SourceOptions, clock: Clock) -> Source:
    from googlenet_edge.capture.camera import CameraGrabber, camera_path, open_device

    path = camera_path(uri)
    _refuse(path, "a camera", options, "loop")

    def grabber(_stop: threading.Event) -> Grabber:
        return CameraGrabber(path, options, clock=clock, open_capture=open_device)

    return LiveSource(
        grabber, description=path, timeouts=_timeouts(options), every_frame=options.every_frame, clock=clock
    )


def _open_network(uri: str, options: SourceOptions, clock: Clock) -> Source:
    from googlenet_edge.capture.diagnose import PROBE_TIMEOUT_S
    from googlenet_edge.capture.network import NetworkGrabber

    description = redact(uri)
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"source {description!r}: got no host, expected for example rtsp://host:554/path")
    _refuse(description, "a network stream", options, "size_px", "fps", "loop", "fourcc")

    def grabber(stop: threading.Event) -> Grabber:
        return NetworkGrabber(uri, options, stop=stop, clock=clock)

    # Asking the server why it did not work takes time on top: three questions at most.
    timeouts = Timeouts(open_ms=options.open_timeout_ms + 3000 * PROBE_TIMEOUT_S, read_ms=options.read_timeout_ms)
    return LiveSource(grabber, description=description, timeouts=timeouts, every_frame=options.every_frame, clock=clock)


def _open_gstreamer(uri: str, scheme: str, options: SourceOptions, clock: Clock) -> Source:
    from googlenet_edge.capture.gst_text import csi_pipeline, hide_secrets, split_pipeline
    from googlenet_edge.capture.gstreamer import STOP_S, GstGrabber

    if scheme == "csi":
        description, pipeline = uri, csi_pipeline(uri, options)
        _refuse(description, "a CSI camera", options, "loop", "fourcc")
    else:
        pipeline = uri.partition(":")[2].strip()
        split_pipeline(pipeline)
        description = f"gst: {hide_secrets(pipeline)}"
        _refuse(description, "a GStreamer pipeline", options, "size_px", "fps", "loop", "fourcc")

    def grabber(stop: threading.Event) -> Grabber:
        return GstGrabber(pipeline, options, description=description, stop=stop, clock=clock)

    # Before the grabber says what was wrong, it ends the process: by an interrupt, then by force.
    ending_ms = 2000 * STOP_S
    timeouts = Timeouts(open_ms=options.open_timeout_ms + ending_ms, read_ms=options.read_timeout_ms + ending_ms)
    return LiveSource(grabber, description=description, timeouts=timeouts, every_frame=options.every_frame, clock=clock)


def _open_demo(uri: str, options: SourceOptions, clock: Clock) -> Source:
    from googlenet_edge.demo.scene import open_demo_source

    _refuse(uri, "the demo scene", options, "fourcc")
    return _paced(open_demo_source(uri, options.size_px, options.fps, clock), options, clock)


def _open_path(text: str, options: SourceOptions, clock: Clock) -> Source:
    from googlenet_edge.capture.images import IMAGE_SUFFIXES, ImageSource, find_images, find_matches
    from googlenet_edge.capture.video import VideoFileSource

    _refuse(redact(text), "files", options, "size_px", "fourcc")
    path = Path(text)
    images = partial(ImageSource, description=text, clock=clock, loop=options.loop)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if re.search(r"[*?\[]", text):
            found, labels = find_matches(text)
            return _paced(images(found, labels=labels), options, clock)
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise SourceError(f"source {redact(text)!r}: no such file or folder; expected {SOURCES_HELP}") from (
                error if redact(text) == text else None  # its text has the whole name
            )
        raise SourceError(f"source {redact(text)!r}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(mode) or path.suffix.lower() in IMAGE_SUFFIXES:
        found, labels = find_images(path)
        return _paced(images(found, labels=labels), options, clock)
    if not stat.S_ISREG(mode):
        raise SourceError(f"{text}: not a regular file (a pipe, socket or device); expected {SOURCES_HELP}")
    return _paced(VideoFileSource(text, clock=clock, loop=options.loop), options, clock)


def _paced(source: Source, options: SourceOptions, clock: Clock) -> Source:
    """The source itself or, where it has or should have a pace of its own, through a reader thread at that pace."""
    if options.fps is None and not source.live:
        return source
    fps = None if source.live else options.fps

    def grabber(stop: threading.Event) -> Grabber:
        return PacedGrabber(source, fps=fps, stop=stop, clock=clock)

    return LiveSource(
        grabber,
        description=source.description,
        # What keeps its own pace is drawn here: it may be slow, but there is no line to it that could be cut.
        timeouts=Timeouts(open_ms=options.open_timeout_ms, read_ms=LONGEST_TIMEOUT_MS)
        if source.live
        else _timeouts(options),
        every_frame=options.every_frame,
        clock=clock,
        labels=source.labels,
        interrupt=source.close,
    )
