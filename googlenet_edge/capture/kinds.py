"""The kinds of frame sources: which kind an address is, and which options it has."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from googlenet_edge.capture.options import DEFAULT_OPTIONS, SourceOptions
from googlenet_edge.capture.redact import redact
from googlenet_edge.errors import SourceError, UsageError

__all__ = [
    "CAMERA",
    "CSI",
    "DEMO",
    "HTTP",
    "IMAGES",
    "IMAGE_SUFFIXES",
    "PIPELINE",
    "RTSP",
    "SOURCES_HELP",
    "VIDEO",
    "SourceKind",
    "kind_of",
]

SOURCES_HELP = (
    "a camera (0, 1, ... or /dev/videoN), a video file, an image, a folder or quoted glob of images, "
    "http:// or https:// (MJPEG or a video), rtsp:// or rtsps://, csi:N (a Jetson's CSI camera), "
    "'gst: PIPELINE' (GStreamer, up to raw video), or demo:"
)
"""The forms of a source URI, for help texts and messages."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

_SPECIFIC = ("size_px", "fps", "loop", "fourcc", "buffers", "transport", "latency_ms")
"""The options that not every kind has."""


@dataclass(frozen=True)
class SourceKind:
    """One kind of frame source."""

    name: str
    """As it is called in messages."""
    options: frozenset[str] = frozenset()
    """Of the options that not every kind has, those that this one has."""
    own_rate: bool = False
    """``fps="native"`` means something."""
    device: bool = False
    """Something outside delivers the frames, whether or not they are taken."""

    def refused(self, options: SourceOptions) -> tuple[str, ...]:
        """Return the names of the options that are given and that this kind does not have."""
        return tuple(
            name
            for name in _SPECIFIC
            if getattr(options, name) != getattr(DEFAULT_OPTIONS, name)
            and (name not in self.options or (options.fps == "native" and name == "fps" and not self.own_rate))
        )

    def check(self, description: str, options: SourceOptions) -> None:
        """Raise :class:`UsageError` for an option that this kind does not have."""
        for name in self.refused(options):
            if name in self.options:
                raise UsageError(
                    f"{description}: fps 'native' does not apply to {self.name}, only to {VIDEO.name}; give a number"
                )
            raise UsageError(f"{description}: {name} does not apply to {self.name}; leave it out")

    def cut(self, options: SourceOptions) -> SourceOptions:
        """Return the options without those that this kind does not have."""
        return replace(options, **{name: getattr(DEFAULT_OPTIONS, name) for name in self.refused(options)})


CAMERA = SourceKind("a camera", frozenset({"size_px", "fps", "fourcc", "buffers"}), device=True)
RTSP = SourceKind("a network stream", frozenset({"transport", "latency_ms"}), device=True)
HTTP = SourceKind("HTTP", device=True)
CSI = SourceKind("a CSI camera", frozenset({"size_px", "fps"}), device=True)
PIPELINE = SourceKind("a GStreamer pipeline", device=True)
DEMO = SourceKind("the demo scene", frozenset({"size_px", "fps"}))
IMAGES = SourceKind("images", frozenset({"fps", "loop"}))
VIDEO = SourceKind("video files", frozenset({"fps", "loop"}), own_rate=True)

_SCHEMES = {"http": HTTP, "https": HTTP, "rtsp": RTSP, "rtsps": RTSP, "gst": PIPELINE, "csi": CSI, "demo": DEMO}


def kind_of(uri: str | os.PathLike[str]) -> tuple[SourceKind, str]:
    """Return a source's kind, and its text: of a ``file:`` address, the path.

    Raises :class:`UsageError` where there is no such kind, :class:`SourceError` for a path at which nothing is, or
    nothing that could be read.
    """
    text = _text(uri)
    if not text.strip() or "\0" in text:
        raise UsageError(f"source: got {uri!r}, expected {SOURCES_HELP}")
    if isinstance(uri, os.PathLike):
        return _kind_of_path(text), text
    if re.fullmatch(r"[0-9]+", text) or (text.startswith("/dev/") and not Path(text).is_dir()):
        return CAMERA, text
    scheme = _scheme(text)
    if scheme in _SCHEMES:
        return _SCHEMES[scheme], text
    if scheme and not Path(text).exists():
        if scheme != "file":
            raise UsageError(f"source {redact(text)!r}: unknown kind {scheme + ':'!r}, expected {SOURCES_HELP}")
        text = unquote(urlsplit(text).path)
    return _kind_of_path(text), text


def _kind_of_path(text: str) -> SourceKind:
    path = Path(text)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if re.search(r"[*?\[]", text):
            return IMAGES
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise SourceError(f"source {redact(text)!r}: no such file or folder; expected {SOURCES_HELP}") from (
                error if redact(text) == text else None  # its text has the whole name
            )
        raise SourceError(f"source {redact(text)!r}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return IMAGES
    if not stat.S_ISREG(mode):
        raise SourceError(f"{text}: not a regular file (a pipe, socket or device); expected {SOURCES_HELP}")
    return IMAGES if path.suffix.lower() in IMAGE_SUFFIXES else VIDEO


def _text(uri: object) -> str:
    text = os.fspath(uri) if isinstance(uri, (str, os.PathLike)) else ""
    return text if isinstance(text, str) else os.fsdecode(text)


def _scheme(text: str) -> str:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.\-]*):", text)
    return match[1].lower() if match else ""
