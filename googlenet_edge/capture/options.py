"""How a frame source is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass

from googlenet_edge.errors import InputError

__all__ = ["DEFAULT_OPTIONS", "LONGEST_TIMEOUT_MS", "SourceOptions"]

LONGEST_TIMEOUT_MS = 3_600_000
_LARGEST_SIDE_PX = 16_384
_LOWEST_FPS, _HIGHEST_FPS = 0.001, 1000.0


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
    fps: float | None = None
    """Frames per second to ask a camera for. A video file, images and the demo scene are, if it is given, delivered at
    this rate as a live source, the way a camera would; without it, as fast as they are taken."""
    every_frame: bool = False
    """A live source hands out every frame in order, instead of the newest one. When the caller falls behind, a few
    frames wait in memory, then the source itself is held up: the results get old, and a camera drops on its own."""
    loop: bool = False
    """Start a video file or images over at their end."""
    fourcc: str | None = None
    """Pixel format to ask a camera for, for example ``"MJPG"``: many USB cameras reach their full rate only with it."""

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
        if fps is not None and (
            isinstance(fps, bool) or not isinstance(fps, (int, float)) or not _LOWEST_FPS <= fps <= _HIGHEST_FPS
        ):
            raise InputError(f"fps: got {fps!r}, expected a number, {_LOWEST_FPS:g} to {_HIGHEST_FPS:g}")
        code: object = self.fourcc
        if code is not None and not (isinstance(code, str) and re.fullmatch(r"[ -~]{4}", code)):
            raise InputError(f"fourcc: got {code!r}, expected four ASCII characters such as 'MJPG'")


def _is_whole(value: object, largest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= largest


DEFAULT_OPTIONS = SourceOptions()
