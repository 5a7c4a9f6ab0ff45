"""How a frame source is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from googlenet_edge.capture.reconnect import NEVER, Reconnect
from googlenet_edge.errors import InputError

__all__ = ["DEFAULT_OPTIONS", "HIGHEST_FPS", "LONGEST_TIMEOUT_MS", "SourceOptions", "longest_wait_ms", "titled"]

LONGEST_TIMEOUT_MS = 3_600_000
HIGHEST_FPS = 1000.0
_LARGEST_SIDE_PX = 16_384
_LOWEST_FPS = 0.001
_LONGEST_LATENCY_MS = 60_000
_FEWEST_BUFFERS, _MOST_BUFFERS = 2, 32


@dataclass(frozen=True)
class SourceOptions:
    """Options of :func:`~googlenet_edge.capture.source.open_source`.

    An option that the source cannot honour, such as ``size_px`` for a video file, is an error and never ignored.
    """

    open_timeout_ms: int = 5000
    """Longest wait for a camera or a network stream to open."""
    read_timeout_ms: int = 5000
    """Longest wait for the next frame of a live source; after it the source counts as lost."""
    size_px: tuple[int, int] | None = None
    """Width and height to ask a camera for, or to render the demo scene at. A camera may deliver another size."""
    fps: float | Literal["native"] | None = None
    """Frames per second to ask a camera for. A video file, images and the demo scene are, if it is given, delivered at
    this rate as a live source, the way a camera would; without it, as fast as they are taken. ``"native"``, for a video
    file: the rate that it was made for."""
    every_frame: bool = False
    """A live source hands out every frame in order, instead of the newest one. When the caller falls behind, a few
    frames wait in memory, then the source itself is held up: the results get old, and a camera drops on its own."""
    loop: bool = False
    """Start a video file or images over at their end."""
    fourcc: str | None = None
    """Pixel format to ask a camera for, for example ``"MJPG"``: many USB cameras reach their full rate only with it."""
    buffers: int | None = None
    """Frame buffers to ask a V4L2 camera's driver for, 2 to 32; None for 4."""
    transport: Literal["tcp", "udp"] = "tcp"
    """How RTSP sends its packets."""
    latency_ms: int = 0
    """How long a network stream may wait for packets that come late or in the wrong order."""
    reconnect: Reconnect = NEVER
    """When a live source that was lost is opened again."""
    name: str | None = None
    """What its user calls it, such as "door"; log lines begin with it."""

    def __post_init__(self) -> None:
        for name in ("open_timeout_ms", "read_timeout_ms"):
            if not _is_whole(getattr(self, name), LONGEST_TIMEOUT_MS):
                raise InputError(
                    f"{name}: got {getattr(self, name)!r}, expected whole milliseconds, 1 to {LONGEST_TIMEOUT_MS}"
                )
        size: object = self.size_px
        sides = size if isinstance(size, tuple) else ()
        if size is not None and not (len(sides) == 2 and all(_is_whole(side, _LARGEST_SIDE_PX) for side in sides)):
            raise InputError(f"size_px: got {size!r}, expected (width, height) in pixels, 1 to {_LARGEST_SIDE_PX} each")
        fps: object = self.fps
        if fps not in (None, "native") and (
            isinstance(fps, bool) or not isinstance(fps, (int, float)) or not _LOWEST_FPS <= fps <= HIGHEST_FPS
        ):
            raise InputError(f"fps: got {fps!r}, expected a number, {_LOWEST_FPS:g} to {HIGHEST_FPS:g}, or 'native'")
        code: object = self.fourcc
        if code is not None and not (isinstance(code, str) and re.fullmatch(r"[ -~]{4}", code)):
            raise InputError(f"fourcc: got {code!r}, expected four ASCII characters such as 'MJPG'")
        if self.buffers is not None and not _is_whole(self.buffers, _MOST_BUFFERS, _FEWEST_BUFFERS):
            raise InputError(
                f"buffers: got {self.buffers!r}, expected a whole number, {_FEWEST_BUFFERS} to {_MOST_BUFFERS}, or None"
            )
        if self.transport not in ("tcp", "udp"):
            raise InputError(f"transport: got {self.transport!r}, expected 'tcp' or 'udp'")
        if not _is_whole(self.latency_ms, _LONGEST_LATENCY_MS, 0):
            raise InputError(
                f"latency_ms: got {self.latency_ms!r}, expected whole milliseconds, 0 to {_LONGEST_LATENCY_MS}"
            )
        policy: object = self.reconnect
        if not isinstance(policy, Reconnect):
            raise InputError(f"reconnect: got {policy!r}, expected a Reconnect, such as Reconnect(attempts=5)")
        called: object = self.name
        if called is not None and not (isinstance(called, str) and called and called.isprintable()):
            raise InputError(f"name: got {called!r}, expected a text in one line, or None")

    @property
    def asked_fps(self) -> float | None:
        """The rate that was asked for as a number; None where there is none, or it is a file's own."""
        return None if self.fps == "native" else self.fps


def _is_whole(value: object, largest: int, smallest: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest


def longest_wait_ms(read_timeout_ms: float, fps: float | None) -> float:
    """Return how long the next frame of a live source may take: at a rate below one per timeout, two frame periods."""
    return max(read_timeout_ms, min(2000 / fps, LONGEST_TIMEOUT_MS) if fps else 0)


def titled(name: str | None, description: str) -> str:
    """Return what log lines say of a source at first: the name that its user gave it, if any, and its address."""
    return description if name is None else f"{name}: {description}"


DEFAULT_OPTIONS = SourceOptions()
