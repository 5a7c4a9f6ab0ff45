"""Opens each kind of frame source; :mod:`googlenet_edge.capture.source` decides which kind a URI is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from googlenet_edge.capture.kinds import CAMERA, CSI, DEMO, HTTP, IMAGES, PIPELINE, RTSP, SourceKind
from googlenet_edge.capture.live import Grabber, LiveConfig, LiveSource
from googlenet_edge.capture.options import LONGEST_TIMEOUT_MS, SourceOptions
from googlenet_edge.capture.paced import PacedGrabber
from googlenet_edge.capture.reconnect import NEVER
from googlenet_edge.capture.redact import redact
from googlenet_edge.errors import SourceError, UsageError
from googlenet_edge.types import Clock

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source

__all__ = ["open_camera", "open_demo", "open_gstreamer", "open_network", "open_path"]

_ENDING_MS = 1000.0
"""How long a grabber may take to end its process, before it says what was wrong."""


def open_camera(uri: str, options: SourceOptions, clock: Clock, stop: threading.Event | None) -> Source:
    """Open a V4L2 camera, given by its number or device node."""
    from googlenet_edge.capture.camera import CameraGrabber, camera_path

    path = camera_path(uri)
    CAMERA.check(path, options)

    def grabber(end: threading.Event) -> Grabber:
        return CameraGrabber(path, options, stop=end, clock=clock)

    return LiveSource(grabber, _config(options), description=path, clock=clock, stop=stop)


def open_network(uri: str, options: SourceOptions, clock: Clock, stop: threading.Event | None) -> Source:
    """Open an RTSP or HTTP address."""
    from googlenet_edge.capture.diagnose import PROBE_TIMEOUT_S
    from googlenet_edge.capture.network import NetworkGrabber

    description = redact(uri)
    try:
        host = urlsplit(uri).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"source {description!r}: got no host, expected for example rtsp://host:554/path")
    (RTSP if uri.lower().startswith("rtsp") else HTTP).check(description, options)

    def grabber(end: threading.Event) -> Grabber:
        return NetworkGrabber(uri, options, stop=end, clock=clock)

    # Asking the server why it did not work takes time on top: three questions at most.
    config = _config(options, more_open_ms=3000 * PROBE_TIMEOUT_S + _ENDING_MS, more_read_ms=_ENDING_MS)
    return LiveSource(grabber, config, description=description, clock=clock, stop=stop)


def open_gstreamer(uri: str, options: SourceOptions, clock: Clock, stop: threading.Event | None) -> Source:
    """Open a GStreamer pipeline (``gst:``) or a Jetson's CSI camera (``csi:``)."""
    from googlenet_edge.capture.gst_text import csi_pipeline, hide_secrets, split_pipeline
    from googlenet_edge.capture.gstreamer import GstGrabber, find_program

    if uri.lower().startswith("csi:"):
        CSI.check(uri, options)
        description, pipeline = uri, csi_pipeline(uri, options)
    else:
        pipeline = uri.partition(":")[2].strip()
        split_pipeline(pipeline)
        description = f"gst: {hide_secrets(pipeline)}"
        PIPELINE.check(description, options)
    find_program(description)  # waiting for it would be no use, however patient the policy

    def grabber(end: threading.Event) -> Grabber:
        return GstGrabber(pipeline, options, description=description, stop=end, clock=clock)

    config = _config(options, more_open_ms=_ENDING_MS, more_read_ms=_ENDING_MS)
    return LiveSource(grabber, config, description=description, clock=clock, stop=stop)


def open_demo(uri: str, options: SourceOptions, clock: Clock) -> Source:
    """Open the demo scene."""
    from googlenet_edge.demo.scene import open_demo_source

    DEMO.check(uri, options)
    source = open_demo_source(uri, options.size_px, options.asked_fps, clock)
    if not source.live:
        return source
    # What keeps its own pace is drawn here: it may be slow, but there is no line to it that could be cut.
    config = LiveConfig(options.open_timeout_ms, LONGEST_TIMEOUT_MS, every_frame=options.every_frame, fps=source.fps)
    return _paced(source, config, None, clock)


def open_path(text: str, kind: SourceKind, options: SourceOptions, clock: Clock) -> Source:
    """Open a video file, an image, or a folder or glob of images."""
    from googlenet_edge.capture.images import ImageSource, find_images, find_matches
    from googlenet_edge.capture.video import LONGEST_STEP_S, VideoFileSource

    kind.check(redact(text), options)
    if kind is IMAGES:
        path = Path(text)
        found, labels = find_images(path) if path.exists() else find_matches(text)
        images = ImageSource(found, description=text, clock=clock, labels=labels, loop=options.loop)
        return _at_rate(images, options, clock)
    video = VideoFileSource(text, clock=clock, loop=options.loop)
    if options.fps != "native":
        return _at_rate(video, options, clock)
    if video.fps is None:
        video.close()
        raise SourceError(f"{text}: says no frame rate of its own; give fps as a number")
    read_ms = max(options.read_timeout_ms, 2000 * LONGEST_STEP_S)
    config = LiveConfig(options.open_timeout_ms, read_ms, every_frame=options.every_frame, fps=video.fps)
    return _paced(video, config, lambda: video.step_ns, clock)


def _config(options: SourceOptions, *, more_open_ms: float = 0, more_read_ms: float = 0) -> LiveConfig:
    return LiveConfig(
        open_ms=options.open_timeout_ms + more_open_ms,
        read_ms=options.read_timeout_ms,
        more_read_ms=more_read_ms,
        every_frame=options.every_frame,
        reconnect=options.reconnect,
        fps=options.asked_fps,
        name=options.name,
    )


def _at_rate(source: Source, options: SourceOptions, clock: Clock) -> Source:
    """The source itself or, where a rate is asked for, at that rate."""
    if options.asked_fps is None:
        return source
    interval_ns = round(1e9 / options.asked_fps)
    return _paced(source, _config(options), lambda: interval_ns, clock)


def _paced(source: Source, config: LiveConfig, step_ns: Callable[[], int] | None, clock: Clock) -> Source:
    """Read the source through a thread that keeps its pace. At its end, it has ended: it is never opened again."""

    def grabber(end: threading.Event) -> Grabber:
        return PacedGrabber(source, step_ns=step_ns, stop=end, clock=clock)

    return LiveSource(
        grabber,
        replace(config, reconnect=NEVER),
        description=source.description,
        clock=clock,
        labels=source.labels,
        interrupt=source.close,
    )
