"""The faces of the road signs, in the shapes and colours of the Vienna Convention on Road Signs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.demo.strokes import Canvas, Color, Points, arc, regular_polygon, rounded_polygon
from googlenet_edge.types import ImageArray

__all__ = ["LABELS", "Face", "sign_face"]

RED: Color = (35, 25, 195)
BLUE: Color = (165, 85, 10)
YELLOW: Color = (20, 195, 250)
GREEN: Color = (70, 150, 30)
WHITE: Color = (245, 245, 245)
BLACK: Color = (25, 25, 25)

FACE_PX = 512

Drawing = Callable[[Canvas], None]

DISC = arc(0, 0, 0.98, 0.98, 0, 355)
TRIANGLE_UP = rounded_polygon(np.array([(0.0, -0.9), (1.0, 0.82), (-1.0, 0.82)]), 0.14)
TRIANGLE_DOWN = rounded_polygon(np.array([(0.0, 0.9), (-1.0, -0.82), (1.0, -0.82)]), 0.14)
OCTAGON = regular_polygon(8, 1.04, 22.5)
DIAMOND = rounded_polygon(regular_polygon(4, 1.05, 0), 0.16)
SQUARE = rounded_polygon(np.array([(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)]), 0.14)
WIDE = rounded_polygon(np.array([(-0.98, -0.52), (0.98, -0.52), (0.98, 0.52), (-0.98, 0.52)]), 0.12)


@dataclass(frozen=True)
class Face:
    """A sign's face, as large as drawn and halved again and again, so that it can be shrunk without aliasing."""

    levels: tuple[tuple[ImageArray, npt.NDArray[np.uint8]], ...]
    """(BGR, mask) pairs, 512 px first; outside the mask the colour goes on, so that edges have no dark fringe."""

    def level_for(self, diameter_px: float) -> tuple[ImageArray, npt.NDArray[np.uint8]]:
        """The smallest level that is not smaller than this."""
        fitting = [level for level in self.levels if level[0].shape[0] >= diameter_px]
        return fitting[-1] if fitting else self.levels[0]


def _around(shape: Points, background: Color, *, border: tuple[Color, float] | None = None) -> Drawing:
    def draw(canvas: Canvas) -> None:
        canvas.polygon(shape, background)
        if border:
            color, width = border
            canvas.polygon(shape, color)
            middle = shape.mean(axis=0)
            canvas.polygon(middle + (shape - middle) * (1 - width), background)

    return draw


def _prohibition(draw: Drawing, *, slash: bool = False) -> tuple[Points, Drawing]:
    """Red ring around white."""

    def face(canvas: Canvas) -> None:
        _around(DISC, WHITE, border=(RED, 0.19))(canvas)
        draw(canvas)
        if slash:
            canvas.line([(-0.6, -0.6), (0.6, 0.6)], 0.14, RED)

    return DISC, face


def _warning(draw: Drawing) -> tuple[Points, Drawing]:
    """Red triangle around white."""

    def face(canvas: Canvas) -> None:
        _around(TRIANGLE_UP, WHITE, border=(RED, 0.24))(canvas)
        draw(canvas)

    return TRIANGLE_UP, face


def _on(shape: Points, background: Color, draw: Drawing, *, rim: Color | None = WHITE) -> tuple[Points, Drawing]:
    """One colour, with a thin rim."""

    def face(canvas: Canvas) -> None:
        _around(shape, background, border=(rim, 0.05) if rim else None)(canvas)
        draw(canvas)

    return shape, face


def _speed(text: str) -> tuple[Points, Drawing]:
    width = 0.42 if len(text) < 3 else 0.34
    return _prohibition(lambda c: c.text(text, 0.0, 0.0, 0.82, BLACK, width=width))


def _arrow(*points: tuple[float, float], color: Color = WHITE, width: float = 0.2) -> Drawing:
    return lambda c: c.arrow(points, width, color)


def _both(*drawings: Drawing) -> Drawing:
    def draw(canvas: Canvas) -> None:
        for each in drawings:
            each(canvas)

    return draw


def _car(x: float, y: float, scale: float, color: Color) -> Drawing:
    def draw(c: Canvas) -> None:
        body = np.array(
            [(-1, 0.4), (-1, -0.1), (-0.6, -0.15), (-0.4, -0.6), (0.4, -0.6), (0.6, -0.15), (1, -0.1), (1, 0.4)]
        )
        c.polygon(body * scale + [x, y], color)
        for wheel in (-0.6, 0.6):
            c.disc(x + wheel * scale, y + 0.42 * scale, 0.24 * scale, color)

    return draw


def _truck(c: Canvas) -> None:
    c.polygon([(-0.62, -0.32), (0.18, -0.32), (0.18, 0.2), (-0.62, 0.2)], BLACK)
    c.polygon([(0.24, -0.12), (0.44, -0.12), (0.6, 0.06), (0.6, 0.2), (0.24, 0.2)], BLACK)
    for x in (-0.42, -0.16, 0.42):
        c.disc(x, 0.26, 0.11, BLACK)


def _walker(x: float, y: float, scale: float, color: Color) -> Drawing:
    def draw(c: Canvas) -> None:
        def at(*points: tuple[float, float]) -> Points:
            return np.array(points) * scale + [x, y]

        c.disc(x + 0.05 * scale, y - 0.82 * scale, 0.17 * scale, color)
        c.line(at((0, -0.55), (-0.02, 0.05)), 0.26 * scale, color)
        c.line(at((-0.02, 0.05), (0.25, 0.45), (0.3, 0.95)), 0.15 * scale, color)
        c.line(at((-0.02, 0.05), (-0.2, 0.5), (-0.45, 0.9)), 0.15 * scale, color)
        c.line(at((0, -0.5), (0.35, -0.15), (0.5, 0.05)), 0.11 * scale, color)
        c.line(at((0, -0.5), (-0.35, -0.2), (-0.4, 0.1)), 0.11 * scale, color)

    return draw


def _bicycle(x: float, y: float, scale: float, color: Color) -> Drawing:
    def draw(c: Canvas) -> None:
        def at(*points: tuple[float, float]) -> Points:
            return np.array(points) * scale + [x, y]

        for wheel in (-0.55, 0.55):
            c.line(arc(x + wheel * scale, y + 0.3 * scale, 0.36 * scale, 0.36 * scale, 0, 360), 0.1 * scale, color)
        c.line(at((-0.55, 0.3), (-0.2, -0.25), (0.35, -0.25), (0.0, 0.3), (-0.55, 0.3)), 0.1 * scale, color)
        c.line(at((0.0, 0.3), (-0.28, -0.42)), 0.1 * scale, color)
        c.line(at((0.55, 0.3), (0.3, -0.5), (0.5, -0.52)), 0.1 * scale, color)
        c.line(at((-0.42, -0.42), (-0.14, -0.42)), 0.1 * scale, color)

    return draw


def _exclamation(c: Canvas) -> None:
    c.polygon([(-0.11, -0.42), (0.11, -0.42), (0.06, 0.28), (-0.06, 0.28)], BLACK)
    c.disc(0, 0.47, 0.1, BLACK)


def _traffic_light(c: Canvas) -> None:
    c.polygon([(-0.17, -0.38), (0.17, -0.38), (0.17, 0.62), (-0.17, 0.62)], BLACK)
    for y, color in ((-0.2, RED), (0.12, YELLOW), (0.44, GREEN)):
        c.disc(0, y, 0.12, color)


def _circling(c: Canvas) -> None:
    for start in (0, 120, 240):
        c.arrow(arc(0, 0, 0.52, 0.52, start + 80, start), 0.17, WHITE)


def _end_of_limits(c: Canvas) -> None:
    for offset in (-0.2, 0.0, 0.2):
        c.line([(-0.52 + offset, 0.52 + offset), (0.52 + offset, -0.52 + offset)], 0.07, BLACK)


def _curve(side: int) -> Drawing:
    return _arrow(
        (-0.15 * side, 0.6), (-0.15 * side, 0.2), (0.12 * side, -0.05), (0.12 * side, -0.25), color=BLACK, width=0.15
    )


def _turn(side: int, *, color: Color = WHITE) -> Drawing:
    return _arrow((-0.3 * side, 0.55), (-0.3 * side, -0.1), (0.4 * side, -0.1), color=color, width=0.19)


def _u_turn(c: Canvas) -> None:
    c.arrow(np.concatenate([[(0.3, 0.55)], arc(0, -0.15, 0.3, 0.3, 0, -180), [(-0.3, 0.35)]]), 0.16, BLACK)


def _zebra(c: Canvas) -> None:
    c.polygon([(0.0, -0.72), (0.72, 0.6), (-0.72, 0.6)], WHITE)
    _walker(0.0, 0.1, 0.42, BLACK)(c)
    for x in (-0.4, -0.13, 0.13, 0.4):
        c.line([(x * 0.8, 0.44), (x, 0.58)], 0.08, BLACK)


def _stop_text(c: Canvas) -> None:
    c.text("STOP", 0.0, 0.0, 0.62, WHITE, width=0.41)


def _dead_end(c: Canvas) -> None:
    c.line([(0, 0.65), (0, -0.35)], 0.26, WHITE)
    c.line([(-0.48, -0.42), (0.48, -0.42)], 0.26, RED)


def _bump(c: Canvas) -> None:
    c.polygon(np.concatenate([[(-0.6, 0.6)], arc(0, 0.42, 0.34, 0.36, 180, 360), [(0.6, 0.6)]]), BLACK)


def _narrows(c: Canvas) -> None:
    c.line([(-0.32, 0.6), (-0.3, 0.25), (-0.12, 0.0), (-0.12, -0.3)], 0.12, BLACK)
    c.line([(0.32, 0.6), (0.3, 0.25), (0.12, 0.0), (0.12, -0.3)], 0.12, BLACK)


def _no_stopping(c: Canvas) -> None:
    _around(DISC, BLUE, border=(RED, 0.19))(c)
    c.line([(-0.6, -0.6), (0.6, 0.6)], 0.16, RED)


def _crossed(c: Canvas) -> None:
    _no_stopping(c)
    c.line([(-0.6, 0.6), (0.6, -0.6)], 0.16, RED)


def _nothing(_: Canvas) -> None:
    return


_SIGNS: dict[str, tuple[Points, Drawing]] = {
    "speed limit 20": _speed("20"),
    "speed limit 30": _speed("30"),
    "speed limit 50": _speed("50"),
    "speed limit 60": _speed("60"),
    "speed limit 70": _speed("70"),
    "speed limit 80": _speed("80"),
    "speed limit 100": _speed("100"),
    "speed limit 120": _speed("120"),
    "no vehicles": _prohibition(_nothing),
    "no entry": _on(DISC, RED, lambda c: c.polygon([(-0.7, -0.17), (0.7, -0.17), (0.7, 0.17), (-0.7, 0.17)], WHITE)),
    "no overtaking": _prohibition(_both(_car(-0.35, 0.0, 0.32, RED), _car(0.35, 0.0, 0.32, BLACK))),
    "no trucks": _prohibition(_truck),
    "no pedestrians": _prohibition(_walker(0.0, 0.0, 0.6, BLACK), slash=True),
    "no bicycles": _prohibition(_bicycle(0.0, 0.0, 0.62, BLACK)),
    "no left turn": _prohibition(_turn(-1, color=BLACK), slash=True),
    "no right turn": _prohibition(_turn(1, color=BLACK), slash=True),
    "no U-turn": _prohibition(_u_turn, slash=True),
    "no stopping": (DISC, _crossed),
    "no parking": (DISC, _no_stopping),
    "end of limits": _on(DISC, WHITE, _end_of_limits, rim=BLACK),
    "danger": _warning(_exclamation),
    "curve left": _warning(_curve(-1)),
    "curve right": _warning(_curve(1)),
    "bump": _warning(_bump),
    "road narrows": _warning(_narrows),
    "crossroads": _warning(
        _both(
            lambda c: c.line([(-0.28, -0.08), (0.28, 0.52)], 0.15, BLACK),
            lambda c: c.line([(0.28, -0.08), (-0.28, 0.52)], 0.15, BLACK),
        )
    ),
    "two-way traffic": _warning(
        _both(
            _arrow((-0.18, 0.58), (-0.18, -0.08), color=BLACK, width=0.13),
            _arrow((0.18, -0.2), (0.18, 0.4), color=BLACK, width=0.13),
        )
    ),
    "traffic lights": _warning(_traffic_light),
    "pedestrians": _warning(_walker(0.0, 0.18, 0.46, BLACK)),
    "bicycles": _warning(_bicycle(0.0, 0.3, 0.46, BLACK)),
    "yield": (TRIANGLE_DOWN, _around(TRIANGLE_DOWN, WHITE, border=(RED, 0.3))),
    "stop": _on(OCTAGON, RED, _stop_text),
    "priority road": _on(DIAMOND, WHITE, lambda c: c.polygon(DIAMOND * 0.72, YELLOW), rim=BLACK),
    "ahead only": _on(DISC, BLUE, _arrow((0.0, 0.62), (0.0, -0.38), width=0.22)),
    "turn left": _on(DISC, BLUE, _arrow((0.62, 0.0), (-0.4, 0.0), width=0.22)),
    "turn right": _on(DISC, BLUE, _arrow((-0.62, 0.0), (0.4, 0.0), width=0.22)),
    "keep left": _on(DISC, BLUE, _arrow((0.42, -0.42), (-0.32, 0.32), width=0.22)),
    "keep right": _on(DISC, BLUE, _arrow((-0.42, -0.42), (0.32, 0.32), width=0.22)),
    "roundabout": _on(DISC, BLUE, _circling),
    "bicycle path": _on(DISC, BLUE, _bicycle(0.0, 0.02, 0.68, WHITE)),
    "parking": _on(SQUARE, BLUE, lambda c: c.text("P", 0.0, 0.0, 1.3, WHITE)),
    "hospital": _on(SQUARE, BLUE, lambda c: c.text("H", 0.0, 0.0, 1.2, WHITE)),
    "pedestrian crossing": _on(SQUARE, BLUE, _zebra),
    "dead end": _on(SQUARE, BLUE, _dead_end),
    "one way": _on(WIDE, BLUE, _arrow((-0.68, 0.0), (0.4, 0.0), width=0.24)),
}

LABELS: tuple[str, ...] = tuple(_SIGNS)
"""The classes; a class id is the place in this tuple."""


@cache
def sign_face(class_id: int) -> Face:
    """Draw the face of one class."""
    shape, draw = _SIGNS[LABELS[class_id]]
    canvas, mask = Canvas(FACE_PX), Canvas(FACE_PX)
    mask.polygon(shape, (255, 255, 255))
    draw(canvas)
    image, alpha = canvas.image, mask.image[:, :, 0]
    # Let the rim's colour run on beyond the mask.
    outside = cv2.dilate(image, np.ones((9, 9), np.uint8))
    image = np.where(alpha[:, :, None] < 255, outside, image)
    levels = [(image, alpha)]
    while levels[-1][0].shape[0] > 32:
        half = levels[-1][0].shape[0] // 2
        face, mask_half = (cv2.resize(each, (half, half), interpolation=cv2.INTER_AREA) for each in levels[-1])
        levels.append((np.asarray(face, np.uint8), np.asarray(mask_half, np.uint8)))
    return Face(tuple(levels))
