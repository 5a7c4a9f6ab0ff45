"""What a frame source is, and the factory that makes one from a URI."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol

from googlenet_edge.capture.kinds import CAMERA, CSI, DEMO, HTTP, PIPELINE, RTSP, kind_of
from googlenet_edge.capture.openers import open_camera, open_demo, open_gstreamer, open_network, open_path
from googlenet_edge.capture.options import DEFAULT_OPTIONS, SourceOptions
from googlenet_edge.capture.redact import redact
from googlenet_edge.errors import MissingPackageError
from googlenet_edge.types import Clock, Frame, Outages

__all__ = ["Source", "SourceOptions", "open_source", "redact"]


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

    @property
    def connected(self) -> bool:
        """False from the moment when it is lost, or was not there at first, until its next frame."""

    @property
    def outages(self) -> Outages:
        """How often it was lost and came back, so far."""

    def __iter__(self) -> Iterator[Frame]: ...

    def __enter__(self) -> Source: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """Free the source. Idempotent, and bounded in time; from another thread, it ends a waiting iteration."""


def open_source(
    uri: str | os.PathLike[str],
    options: SourceOptions = DEFAULT_OPTIONS,
    *,
    clock: Clock = time.monotonic_ns,
    stop: threading.Event | None = None,
) -> Source:
    """Open a frame source.

    ``uri`` is a camera (``0``, ``/dev/video0``), a video file, an image, a folder or glob of images, ``http://``,
    ``https://``, ``rtsp://``, ``rtsps://``, ``csi:0``, ``gst: PIPELINE`` or ``demo:``; a path object is always a file
    or folder. Cameras, endless network streams and pipelines, and whatever is given ``options.fps``, are live: the
    newest frame is handed out, older ones are dropped and counted.

    With ``options.reconnect``, a live source that is lost is opened again. If that has no limit, it may also be absent
    at first: it is returned after the first attempt, is not ``connected``, and delivers when it is there.

    ``stop``, if another thread sets it, ends the opening of a camera, stream or pipeline at once, with an error. If it
    is set from the beginning, wrong usage is told and nothing is opened.

    Raises :class:`~googlenet_edge.errors.SourceError` where the source cannot be opened and
    :class:`~googlenet_edge.errors.UsageError` where there is no such kind of source, or it has no such option.
    """
    try:
        import cv2  # noqa: F401 - told apart here, once, for all modules below
    except ImportError as error:
        raise MissingPackageError("cv2", extra="cpu") from error
    kind, text = kind_of(uri)
    if kind is CAMERA:
        return open_camera(text, options, clock, stop)
    if kind is DEMO:
        return open_demo(text, options, clock)
    if kind in (PIPELINE, CSI):
        return open_gstreamer(text, options, clock, stop)
    if kind in (HTTP, RTSP):
        return open_network(text, options, clock, stop)
    return open_path(text, kind, options, clock)
