"""Which pixel format, size and rate a V4L2 camera is asked for, out of those that it offers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["COMPRESSED", "READABLE", "USUAL_FPS", "Choice", "Mode", "choose", "is_same_format"]

COMPRESSED = ("MJPG", "JPEG")
"""A JPEG picture per frame; these names mean the same to a reader."""
READABLE = (
    *("YUYV", "UYVY", "YVYU", "NV12", "NV21", "YU12", "YV12"),
    *("BGR3", "RGB3", "BGR4", "XR24", "AR24"),
    *COMPRESSED,
    "GREY",
)
"""The pixel formats that are read, by V4L2's names, from the first choice to the last: what comes as it is costs no
decoding, and colour is better than none."""
USUAL_FPS = 30.0
"""The rate that is wanted where none is asked for."""
_CLOSE_FPS = 0.5
"""Rates this close are the same: 29.97 is 30."""


@dataclass(frozen=True)
class Mode:
    """What a camera offers in one pixel format at one size."""

    fourcc: str
    size_px: tuple[int, int] | None
    """Width and height; None where the driver lists no sizes."""
    rates: tuple[float, ...] = ()
    """Frames per second, highest first; empty where the driver lists none."""
    rate_range: tuple[float, float] | None = None
    """Lowest and highest rate, where every one between them can be had."""

    def nearest_rate(self, fps: float) -> float | None:
        """Return the rate nearest to ``fps``; None where the driver lists none."""
        if self.rate_range is not None:
            return min(max(fps, self.rate_range[0]), self.rate_range[1])
        return min(self.rates, key=lambda rate: (abs(rate - fps), -rate), default=None)

    def usual_rate(self) -> float | None:
        """Return the lowest rate that is :data:`USUAL_FPS` or above it, else the highest; None as above."""
        if self.rate_range is not None:
            return self.nearest_rate(USUAL_FPS)
        enough = [rate for rate in self.rates if rate >= USUAL_FPS - _CLOSE_FPS]
        return min(enough) if enough else max(self.rates, default=None)


@dataclass(frozen=True)
class Choice:
    """What the camera is asked for."""

    fourcc: str
    size_px: tuple[int, int]
    fps: float | None
    """None: whatever the driver has."""


def choose(
    modes: Sequence[Mode],
    *,
    current: tuple[str, tuple[int, int]],
    size_px: tuple[int, int] | None = None,
    fps: float | None = None,
    fourcc: str | None = None,
) -> Choice | None:
    """Choose out of the modes of a camera; None where none can be read.

    ``current`` is the pixel format and size that the driver is set to. Without ``size_px``, that size stays. Without
    ``fps``, 30 frames/s are wanted, or what comes next above them, else the highest rate. Without ``fourcc``, the first
    of :data:`READABLE` that gives the wanted rate is taken; where none does, the one that comes closest to it.
    """
    readable = [mode for mode in modes if mode.fourcc in READABLE]
    same = [mode for mode in readable if is_same_format(mode.fourcc, fourcc)]
    candidates = same or readable
    if not candidates:
        return None
    wanted_px = size_px or current[1]
    fitting = _of_nearest_size(candidates, wanted_px)
    wanted_fps = fps if fps is not None else _best_usual_rate(fitting)

    def worse(mode: Mode) -> tuple[float, bool, int]:
        rate = None if wanted_fps is None else mode.nearest_rate(wanted_fps)
        missed = 0.0 if rate is None or wanted_fps is None else abs(rate - wanted_fps)
        # A driver that tells no rates is left in its own pixel format: nothing speaks for another one.
        is_own = rate is None and mode.fourcc == current[0]
        return missed if missed > _CLOSE_FPS else 0.0, not is_own, READABLE.index(mode.fourcc)

    best = min(fitting, key=worse)
    rate = None if wanted_fps is None else best.nearest_rate(wanted_fps)
    return Choice(best.fourcc, best.size_px or wanted_px, fps if rate is None else rate)


def is_same_format(offered: str, asked: str | None) -> bool:
    """Whether two pixel formats are the same to a reader; MJPG and JPEG are."""
    return offered == asked or (offered in COMPRESSED and asked in COMPRESSED)


def _of_nearest_size(modes: Iterable[Mode], wanted_px: tuple[int, int]) -> list[Mode]:
    """The modes of the size nearest to the wanted one, and those of unknown size."""

    def distance(mode: Mode) -> int:
        return 0 if mode.size_px is None else sum(abs(a - b) for a, b in zip(mode.size_px, wanted_px, strict=True))

    modes = list(modes)
    nearest = min(map(distance, modes))
    return [mode for mode in modes if distance(mode) == nearest]


def _best_usual_rate(modes: Iterable[Mode]) -> float | None:
    """The rate to want where none is asked for: of what the formats reach, the lowest from 30 on, else the highest."""
    rates = [rate for mode in modes if (rate := mode.usual_rate()) is not None]
    return Mode("", None, tuple(rates)).usual_rate()
