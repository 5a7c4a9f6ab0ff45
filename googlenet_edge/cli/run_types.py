"""The types of ``run``'s arguments: each turns a text into a value, or says what was expected."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Literal

from googlenet_edge.cli.arguments import path_argument, whole_number
from googlenet_edge.errors import InputError

if TYPE_CHECKING:
    from googlenet_edge.types import Region

__all__ = [
    "attempts",
    "fourcc",
    "frames_per_second",
    "lines_target",
    "milliseconds",
    "probability",
    "rate",
    "region",
    "seconds",
    "size_px",
]

_MOST_ATTEMPTS = 1_000_000
_LARGEST_SIDE_PX = 16_384  # this and the next as of googlenet_edge.capture.options.SourceOptions
_LOWEST_RATE = 0.001


def lines_target(text: str) -> str:
    """A file, or ``-`` for standard output."""
    return "-" if text == "-" else str(path_argument(text))


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    return _number(text, 1e9, "a number of seconds")


def milliseconds(text: str) -> float:
    """A number of milliseconds above 0, up to an hour."""
    return _number(text, 3_600_000, "a number of milliseconds")


def frames_per_second(text: str) -> float:
    """Frames per second."""
    return _number(text, 1000, "frames per second", smallest=_LOWEST_RATE)


def rate(text: str) -> float | Literal["native"]:
    """Frames per second, or ``native``."""
    if text == "native":
        return "native"
    return _number(text, 1000, "native, or frames per second", smallest=_LOWEST_RATE)


def fourcc(text: str) -> str:
    """The four characters of a pixel format."""
    if not (len(text) == 4 and text.isascii() and text.isprintable()):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected four characters, for example MJPG")
    return text


def probability(text: str) -> float:
    """A probability above 0."""
    return _number(text, 1, "a probability")


def attempts(text: str) -> int | None:
    """How many openings in a row may fail; None for ``forever``."""
    if text == "forever":
        return None
    try:
        return whole_number(0, _MOST_ATTEMPTS)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or forever") from error


def region(text: str) -> Region:
    """``X,Y,W,H`` in pixels."""
    from googlenet_edge.types import Region

    try:
        x_px, y_px, width_px, height_px = (int(part) for part in text.split(","))
        return Region(x_px, y_px, width_px, height_px)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected four whole numbers X,Y,W,H in pixels, for example 320,0,640,640"
        ) from error


def size_px(text: str) -> tuple[int, int]:
    """``WxH`` in pixels."""
    try:
        width_px, height_px = (int(part) for part in text.lower().split("x"))
    except ValueError:
        width_px = height_px = 0
    if not (0 < width_px <= _LARGEST_SIDE_PX and 0 < height_px <= _LARGEST_SIDE_PX):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected a width and a height in pixels, up to {_LARGEST_SIDE_PX} each, as in 1280x720"
        )
    return width_px, height_px


def _number(text: str, maximum: float, what: str, *, smallest: float = 0) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (0 < value <= maximum and value >= smallest):  # NaN fails too
        least = f"from {smallest:g}" if smallest else "above 0"
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {what} {least}, at most {maximum:g}")
    return value
