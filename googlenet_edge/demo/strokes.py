"""Drawing in unit coordinates, and a small stroke alphabet.

OpenCV's own text differs between its versions 4 and 5; strokes made of lines and arcs look the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.types import ImageArray

__all__ = ["GLYPHS", "Canvas", "Color", "Points", "arc", "regular_polygon", "rounded_polygon"]

Color: TypeAlias = tuple[int, int, int]
"""Blue, green, red, 0 to 255."""

Points: TypeAlias = npt.NDArray[np.float64]
"""(n, 2): x to the right and y downward, both -1 to 1 over the canvas."""

SUBPIXEL_BITS = 6


def arc(x: float, y: float, radius_x: float, radius_y: float, start_deg: float, end_deg: float) -> Points:
    """Points on an ellipse; 0 degrees is to the right, 90 degrees is down."""
    steps = max(3, int(abs(end_deg - start_deg) / 10) + 1)
    angle = np.radians(np.linspace(start_deg, end_deg, steps))
    return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)], axis=1)


def regular_polygon(sides: int, radius: float, first_deg: float) -> Points:
    """Corners of a regular polygon around the middle."""
    angle = np.radians(first_deg + np.arange(sides) * 360 / sides)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def rounded_polygon(corners: Points, cut: float) -> Points:
    """The polygon with each corner replaced by a short curve that starts ``cut`` away from it."""
    out: list[Points] = []
    for before, corner, after in zip(np.roll(corners, 1, 0), corners, np.roll(corners, -1, 0), strict=True):
        a = corner + cut * (before - corner) / np.linalg.norm(before - corner)
        b = corner + cut * (after - corner) / np.linalg.norm(after - corner)
        # A quadratic Bezier curve.
        out.extend((1 - t) ** 2 * a + 2 * t * (1 - t) * corner + t**2 * b for t in (0.0, 0.25, 0.5, 0.75, 1.0))
    return np.array(out)


class Canvas:
    """A square BGR image drawn on in unit coordinates."""

    def __init__(self, size_px: int, color: Color = (0, 0, 0)) -> None:
        self.size_px = size_px
        self.image: ImageArray = np.full((size_px, size_px, 3), color, np.uint8)

    def _fixed(self, points: Points | Sequence[tuple[float, float]]) -> npt.NDArray[np.int32]:
        pixels = (np.asarray(points, np.float64) + 1) * self.size_px / 2
        return np.round(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32).reshape(-1, 1, 2)

    def polygon(self, points: Points | Sequence[tuple[float, float]], color: Color) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.image, [self._fixed(points)], color, cv2.LINE_AA, SUBPIXEL_BITS)

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        """Fill a circle."""
        self.polygon(arc(x, y, radius, radius, 0, 350), color)

    def line(
        self, points: Points | Sequence[tuple[float, float]], width: float, color: Color, *, closed: bool = False
    ) -> None:
        """Draw a connected line of this width, in canvas half-widths."""
        thickness = max(1, round(width * self.size_px / 2))
        cv2.polylines(self.image, [self._fixed(points)], closed, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)

    def arrow(self, points: Points | Sequence[tuple[float, float]], width: float, color: Color) -> None:
        """Draw a line that ends in an arrow head, 2.6 line widths wide."""
        path = np.asarray(points, np.float64)
        along = path[-1] - path[-2]
        along /= np.linalg.norm(along)
        across = np.array([-along[1], along[0]])
        tip, base = path[-1] + along * 1.2 * width, path[-1] - along * 0.6 * width
        self.line(np.concatenate([path[:-1], [base]]), width, color)
        self.polygon([tuple(tip), tuple(base + across * 1.3 * width), tuple(base - across * 1.3 * width)], color)

    def text(self, text: str, x: float, y: float, height: float, color: Color, *, width: float = 0.0) -> None:
        """Draw digits and capitals centred at x, y; ``width`` is the width of one character (default: 0.62 heights)."""
        advance = width or 0.62 * height
        for index, character in enumerate(text):
            centre = x + (index - (len(text) - 1) / 2) * advance
            for stroke in GLYPHS[character]:
                scaled = stroke * [0.72 * advance, 0.42 * height] + [centre, y]
                self.line(scaled, min(0.17 * height, 0.3 * advance), color)


def _strokes(*strokes: Sequence[tuple[float, float]] | Points) -> tuple[Points, ...]:
    return tuple(np.asarray(stroke, np.float64) for stroke in strokes)


_SIX = np.concatenate([[(0.4, -0.95), (-0.1, -0.65), (-0.45, 0.0)], arc(0, 0.45, 0.5, 0.55, 180, 540)])

GLYPHS: dict[str, tuple[Points, ...]] = {
    "0": _strokes(np.concatenate([arc(0, -0.4, 0.5, 0.6, 180, 360), arc(0, 0.4, 0.5, 0.6, 0, 180), [(-0.5, -0.4)]])),
    "1": _strokes([(-0.3, -0.6), (0.1, -1), (0.1, 1)]),
    "2": _strokes(np.concatenate([arc(0, -0.5, 0.5, 0.5, 185, 385), [(-0.5, 1), (0.5, 1)]])),
    "3": _strokes(np.concatenate([arc(0, -0.5, 0.48, 0.5, 200, 450), arc(0, 0.5, 0.5, 0.5, -90, 160)])),
    "4": _strokes([(0.25, 1), (0.25, -1), (-0.5, 0.4), (0.55, 0.4)]),
    "5": _strokes(np.concatenate([[(0.45, -1), (-0.38, -1), (-0.45, -0.1)], arc(0, 0.4, 0.5, 0.6, 235, 505)])),
    "6": _strokes(_SIX),
    "7": _strokes([(-0.5, -1), (0.5, -1), (-0.15, 1)]),
    "8": _strokes(arc(0, -0.52, 0.42, 0.48, 0, 360), arc(0, 0.48, 0.5, 0.52, 0, 360)),
    "9": _strokes(-_SIX),
    "H": _strokes([(-0.45, -1), (-0.45, 1)], [(0.45, -1), (0.45, 1)], [(-0.45, 0), (0.45, 0)]),
    "O": _strokes(np.concatenate([arc(0, -0.4, 0.5, 0.6, 180, 360), arc(0, 0.4, 0.5, 0.6, 0, 180), [(-0.5, -0.4)]])),
    "P": _strokes(np.concatenate([[(-0.42, 1), (-0.42, -1)], arc(0, -0.48, 0.5, 0.52, 270, 450), [(-0.42, 0.04)]])),
    "S": _strokes(np.concatenate([arc(0, -0.5, 0.46, 0.5, 330, 90), arc(0, 0.5, 0.5, 0.5, -90, 150)])),
    "T": _strokes([(-0.5, -1), (0.5, -1)], [(0, -1), (0, 1)]),
}
"""Strokes of each character in a box of -0.5 to 0.5 by -1 to 1."""
