"""From values to places on a drawing, and back: the axes of the plots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from googlenet_edge.latency.page.markup import Html, element, joined

__all__ = ["NARROW", "WIDE", "Frame", "Scale", "Size", "drawing", "grid", "linear", "nice_ticks", "tail"]


@dataclass(frozen=True)
class Size:
    """How large a plot is drawn, in CSS pixels. Each plot is drawn twice, so that text stays readable on a phone."""

    name: str
    width: int
    height: int
    left: int = 52
    right: int = 14
    top: int = 14
    bottom: int = 40

    @property
    def inner_width(self) -> int:
        """Width between the axes' ends."""
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> int:
        """Height between the axes' ends."""
        return self.height - self.top - self.bottom


WIDE: Final = Size("wide", 860, 300)
NARROW: Final = Size("narrow", 350, 250, left=42, right=10)


@dataclass(frozen=True)
class Scale:
    """An axis: its ticks are values in its own unit, and ``place`` says where in the drawing a value is."""

    low: float
    high: float
    start: float
    """Where ``low`` is drawn, pixels."""
    end: float
    """Where ``high`` is drawn, pixels."""
    ticks: tuple[tuple[float, str], ...] = ()
    transform: Callable[[float], float] = field(default=lambda value: value)
    """Between the value and what is linear on the drawing."""

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self.transform(self.low), self.transform(self.high)
        share = (self.transform(value) - low) / (high - low) if high != low else 0.0
        return self.start + share * (self.end - self.start)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers from ``low`` to ``high``, about ``most``, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def linear(low: float, high: float, start: float, end: float, most: int = 6) -> Scale:
    """Return an axis that is linear, with round ticks."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    ticks = nice_ticks(low, high, most)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    labels = tuple((tick, f"{tick:.{decimals}f}") for tick in ticks)
    return Scale(low, high, start, end, labels)


def tail(high: float, start: float, end: float) -> Scale:
    """Return an axis of percentiles from 0 to ``high`` (below 100) that gives each further "nine" the same room.

    A percentile p lies at -log10(1 - p / 100), as in plots of high dynamic range histograms.
    """
    marks = [0.0, 50.0, 90.0, 99.0]
    while marks[-1] + 0.9 * (100 - marks[-1]) <= high * (1 + 1e-12):
        marks.append(marks[-1] + 0.9 * (100 - marks[-1]))
    ticks = tuple((mark, f"{mark:.{max(0, i - 3)}f}") for i, mark in enumerate(marks) if mark <= high)
    return Scale(0.0, high, start, end, ticks, transform=lambda percent: -math.log10(1 - min(percent, high) / 100))


@dataclass(frozen=True)
class Frame:
    """The two axes of a plot."""

    size: Size
    x: Scale
    y: Scale
    x_title: str
    y_title: str


def grid(frame: Frame) -> Html:
    """Return the grid's lines, the ticks' labels and the axes' titles. Each tick says its value: data-value."""
    size = frame.size
    bottom = size.height - size.bottom
    parts: list[str] = []
    for value, label in frame.y.ticks:
        y = frame.y.place(value)
        parts.append(element("line", class_="grid", x1=size.left, x2=size.width - size.right, y1=y, y2=y))
        parts.append(
            element("text", label, class_="tick y", x=size.left - 8, y=y + 4, text_anchor="end", data_value=repr(value))
        )
    for value, label in frame.x.ticks:
        x = frame.x.place(value)
        anchor = "end" if x > size.width - size.right - 8 else "middle"
        parts.append(element("line", class_="mark", x1=x, x2=x, y1=bottom, y2=bottom + 4))
        parts.append(
            element("text", label, class_="tick x", x=x, y=bottom + 18, text_anchor=anchor, data_value=repr(value))
        )
    parts.append(element("line", class_="axis", x1=size.left, x2=size.width - size.right, y1=bottom, y2=bottom))
    parts.append(
        element("text", frame.x_title, class_="title", x=size.width - size.right, y=size.height - 4, text_anchor="end")
    )
    parts.append(element("text", frame.y_title, class_="title", x=0, y=10))
    return joined(parts)


def drawing(size: Size, label: str, parts: Sequence[str | None], **attributes: str | None) -> Html:
    """Return a picture of the parts; ``label`` says in words what it shows."""
    return element(
        "svg",
        *parts,
        class_=f"plot {size.name}",
        data_top=size.top + 8,
        viewBox=f"0 0 {size.width} {size.height}",
        role="img",
        aria_label=label,
        **attributes,
    )
