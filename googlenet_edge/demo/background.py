"""What stands behind a sign. Each function draws the same picture, from the same random numbers, at any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.types import ImageArray

__all__ = ["BACKGROUNDS", "View", "color_near", "smooth_field"]

FIELD_SPAN = 2.4
"""Width and height of what is drawn, in short sides of the frame: more than a 16:9 or 9:16 frame shows."""


class View:
    """Pixels of a frame, addressed in short sides from its middle, x to the right and y downward."""

    def __init__(self, size_px: tuple[int, int]) -> None:
        self.width_px, self.height_px = size_px
        self.unit_px = min(size_px)

    def points(self, *points: tuple[float, float]) -> npt.NDArray[np.int32]:
        """Whole pixels of these points, (n, 1, 2), as OpenCV's drawing functions take them."""
        xy = np.array(points, np.float64) * self.unit_px + [self.width_px / 2, self.height_px / 2]
        pixels: npt.NDArray[np.int32] = np.round(xy).astype(np.int32).reshape(-1, 1, 2)
        return pixels

    def length(self, units: float) -> int:
        """Whole pixels of a length, at least 1."""
        return max(1, round(units * self.unit_px))

    def blank(self, color: npt.ArrayLike) -> ImageArray:
        """A frame of one colour."""
        image = np.empty((self.height_px, self.width_px, 3), np.uint8)
        image[:] = np.asarray(color, np.uint8)
        return image


Background: TypeAlias = Callable[[np.random.Generator, View], ImageArray]


def color_near(rng: np.random.Generator, bgr: tuple[float, float, float], spread: float = 25.0) -> tuple[int, int, int]:
    """A random colour within ``spread`` of this one."""
    b, g, r = np.clip(np.array(bgr) + rng.uniform(-spread, spread, 3), 0, 255).astype(int)
    return int(b), int(g), int(r)


def smooth_field(rng: np.random.Generator, cells: int, view: View) -> npt.NDArray[np.float32]:
    """A smooth random field, float32 (height, width), 0 to 1, with this many cells over the whole span."""
    grid = rng.random((cells, cells), np.float32)
    scale = FIELD_SPAN * view.unit_px / cells
    matrix = np.array(
        [
            [1 / scale, 0, cells / 2 - view.width_px / 2 / scale],
            [0, 1 / scale, cells / 2 - view.height_px / 2 / scale],
        ]
    )
    size = (view.width_px, view.height_px)
    field = cv2.warpAffine(
        grid, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(field, np.float32)


def _blend(colors: list[tuple[int, int, int]], field: npt.NDArray[np.float32]) -> ImageArray:
    """Colours along a ramp, looked up by a field of 0 to 1."""
    ramp = np.array(
        [
            np.interp(np.linspace(0, len(colors) - 1, 256), range(len(colors)), channel)
            for channel in zip(*colors, strict=True)
        ]
    )
    index = np.clip(field * 255, 0, 255).astype(np.uint8)
    table = np.ascontiguousarray(ramp.T.astype(np.uint8).reshape(256, 1, 3))
    return np.asarray(cv2.LUT(cv2.cvtColor(index, cv2.COLOR_GRAY2BGR), table), np.uint8)


def _sky(rng: np.random.Generator, view: View) -> ImageArray:
    top = color_near(rng, (215, 160, 110), 40)
    bottom = color_near(rng, (230, 220, 205), 25)
    ramp = np.linspace(0, 1, view.height_px, dtype=np.float32)[:, None].repeat(view.width_px, 1)
    return _blend([top, bottom], 0.7 * ramp + 0.3 * smooth_field(rng, 6, view))


def _trees(
    rng: np.random.Generator, view: View, image: ImageArray, horizon: float, green: tuple[float, float, float]
) -> None:
    for x, size, lift in zip(
        rng.uniform(-1.1, 1.1, 9), rng.uniform(0.05, 0.22, 9), rng.uniform(0, 0.08, 9), strict=True
    ):
        centre = view.points((x, horizon - lift))[0, 0]
        cv2.circle(image, (int(centre[0]), int(centre[1])), view.length(size), color_near(rng, green), -1, cv2.LINE_AA)


def road(rng: np.random.Generator, view: View) -> ImageArray:
    """Sky, trees and houses on the horizon, a road that runs to it."""
    image = _sky(rng, view)
    horizon = rng.uniform(0.02, 0.25)
    _trees(rng, view, image, horizon, (60, 110, 75))
    for x, width, height in zip(
        rng.uniform(-1.1, 1.1, 3), rng.uniform(0.1, 0.35, 3), rng.uniform(0.05, 0.35, 3), strict=True
    ):
        wall = view.points((x, horizon - height), (x + width, horizon - height), (x + width, horizon), (x, horizon))
        cv2.fillPoly(image, [wall], color_near(rng, (150, 160, 175), 50), cv2.LINE_AA)
    ground = view.points((-1.2, horizon), (1.2, horizon), (1.2, 1.2), (-1.2, 1.2))
    cv2.fillPoly(image, [ground], color_near(rng, (75, 125, 105), 35))
    far, near = rng.uniform(-0.3, 0.3), rng.uniform(-0.6, 0.6)
    asphalt = view.points((far - 0.03, horizon), (far + 0.03, horizon), (near + 0.7, 1.2), (near - 0.7, 1.2))
    cv2.fillPoly(image, [asphalt], color_near(rng, (105, 105, 105), 25), cv2.LINE_AA)
    for start in np.arange(0.1, 1.0, 0.2):
        a, b = start**2, (start + 0.1) ** 2
        dash = view.points(
            (far + (near - far) * a, horizon + (1.2 - horizon) * a),
            (far + (near - far) * b, horizon + (1.2 - horizon) * b),
        )
        cv2.polylines(image, [dash], False, (225, 225, 225), view.length(0.004 + 0.03 * a), cv2.LINE_AA)
    return image


def foliage(rng: np.random.Generator, view: View) -> ImageArray:
    """Leaves and branches out of focus."""
    field = 0.45 * smooth_field(rng, 8, view) + 0.33 * smooth_field(rng, 24, view) + 0.22 * smooth_field(rng, 80, view)
    colors = [color_near(rng, (30, 50, 40)), color_near(rng, (55, 105, 75), 35), color_near(rng, (110, 175, 150), 40)]
    return _blend(colors, np.clip((field - 0.3) * 2.5, 0, 1))


def town(rng: np.random.Generator, view: View) -> ImageArray:
    """House fronts with windows."""
    image = _sky(rng, view)
    left = -1.2
    while left < 1.2:
        width, top = rng.uniform(0.2, 0.6), rng.uniform(-0.6, 0.1)
        front = color_near(rng, (140, 155, 170), 60)
        cv2.fillPoly(image, [view.points((left, top), (left + width, top), (left + width, 1.2), (left, 1.2))], front)
        pane, step = color_near(rng, (110, 90, 80), 50), rng.uniform(0.09, 0.16)
        for x in np.arange(left + 0.04, left + width - 0.05, step):
            for y in np.arange(top + 0.05, 0.7, step * 1.3):
                a, b = view.points((x, y), (x + step * 0.5, y + step * 0.75))[:, 0]
                cv2.rectangle(image, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), pane, -1)
        left += width
    return image


def clutter(rng: np.random.Generator, view: View) -> ImageArray:
    """Posters, awnings and boards: shapes in any colour, sign colours among them."""
    image = _blend(
        [color_near(rng, (128, 128, 128), 90), color_near(rng, (128, 128, 128), 90)], smooth_field(rng, 5, view)
    )
    for _ in range(22):
        x, y, size = rng.uniform(-1.0, 1.0), rng.uniform(-0.6, 0.6), rng.uniform(0.03, 0.25)
        color, kind, turn = color_near(rng, (128, 128, 128), 127), rng.integers(4), rng.uniform(0, 2 * np.pi)
        if kind == 3:
            line = view.points((x, y), (x + 2 * size * np.cos(turn), y + 2 * size * np.sin(turn)))
            cv2.polylines(image, [line], False, color, view.length(0.15 * size), cv2.LINE_AA)
            continue
        sides = (3, 4, 24)[kind]
        angles = turn + np.arange(sides) * 2 * np.pi / sides
        corners = view.points(*[(x + size * np.cos(a), y + size * np.sin(a)) for a in angles])
        cv2.fillPoly(image, [corners], color, cv2.LINE_AA)
    return image


def plain(rng: np.random.Generator, view: View) -> ImageArray:
    """A wall, or an overcast sky."""
    base = color_near(rng, (150, 150, 150), 80)
    other = color_near(rng, base, 45)
    return _blend([base, other], 0.75 * smooth_field(rng, 4, view) + 0.25 * smooth_field(rng, 60, view))


def brick(rng: np.random.Generator, view: View) -> ImageArray:
    """A brick wall."""
    image = view.blank(color_near(rng, (105, 120, 150), 25))
    height = rng.uniform(0.04, 0.08)
    base = color_near(rng, (70, 90, 155), 40)
    for row, y in enumerate(np.arange(-1.2, 1.2, height)):
        for x in np.arange(-1.25 + (row % 2) * height * 1.2, 1.2, height * 2.4):
            a, b = view.points((x, y), (x + height * 2.2, y + height * 0.85))[:, 0]
            cv2.rectangle(image, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), color_near(rng, base, 18), -1)
    return image


def night(rng: np.random.Generator, view: View) -> ImageArray:
    """Darkness with street lamps and windows out of focus."""
    image = _blend([color_near(rng, (25, 15, 12), 12), color_near(rng, (55, 42, 38), 18)], smooth_field(rng, 6, view))
    lights = np.zeros_like(image)
    for _ in range(26):
        centre = view.points((rng.uniform(-1, 1), rng.uniform(-0.6, 0.6)))[0, 0]
        color = color_near(rng, ((80, 190, 250), (210, 220, 230), (90, 110, 210))[rng.integers(3)], 30)
        cv2.circle(
            lights, (int(centre[0]), int(centre[1])), view.length(rng.uniform(0.01, 0.06)), color, -1, cv2.LINE_AA
        )
    return np.asarray(cv2.add(image, cv2.convertScaleAbs(lights, alpha=0.7)), np.uint8)


def fence(rng: np.random.Generator, view: View) -> ImageArray:
    """Slats or bars in front of something dim."""
    image = foliage(rng, view)
    angle, gap = rng.uniform(-0.3, 0.3) + (np.pi / 2) * rng.integers(2), rng.uniform(0.05, 0.14)
    color = color_near(rng, (85, 115, 110), 30)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    for offset in np.arange(-1.5, 1.5, gap):
        ends = view.points(tuple(across * offset - along * 2), tuple(across * offset + along * 2))
        cv2.polylines(image, [ends], False, color_near(rng, color, 10), view.length(gap * 0.45), cv2.LINE_AA)
    return image


def autumn(rng: np.random.Generator, view: View) -> ImageArray:
    """Red and yellow leaves: a background in the signs' own colours."""
    field = 0.4 * smooth_field(rng, 14, view) + 0.35 * smooth_field(rng, 45, view) + 0.25 * smooth_field(rng, 120, view)
    colors = [color_near(rng, (25, 45, 70)), color_near(rng, (35, 80, 190), 30), color_near(rng, (60, 190, 230), 35)]
    return _blend(colors, np.clip((field - 0.3) * 2.5, 0, 1))


BACKGROUNDS: dict[str, Background] = {
    each.__name__: each for each in (road, foliage, town, clutter, plain, brick, night, fence, autumn)
}
"""All backgrounds by name; which of them a split uses is said in ``dataset.py``."""
