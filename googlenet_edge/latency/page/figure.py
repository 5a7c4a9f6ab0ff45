"""A plot on the page: the picture in two sizes, what it says in words, and the same figures as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from googlenet_edge.latency.page.markup import Html, element, joined, raw
from googlenet_edge.latency.page.scales import NARROW, WIDE, Size

__all__ = ["figure", "hover_points", "legend"]


def figure(
    name: str,
    draw: Callable[[Size], Html],
    *,
    says: str,
    table: Html,
    points: Html | None = None,
    key: Html | None = None,
) -> Html:
    """Return a plot with all that belongs to it.

    Args:
        name: Its id on the page.
        draw: Makes the picture in a size.
        says: What to see in it, in a sentence or two.
        table: The same figures to read.
        points: What the pointer finds: :func:`hover_points`.
        key: What the marks mean: :func:`legend`.
    """
    return element(
        "figure",
        key,
        element("div", draw(WIDE), draw(NARROW), points, class_="canvas", data_plot=name),
        element("figcaption", says),
        element("details", element("summary", "The same as a table"), table),
        id=name,
    )


def legend(*entries: tuple[str, str]) -> Html:
    """Return what marks mean, each as (the mark's class, its meaning)."""
    items = [
        element(
            "li",
            element("svg", _mark(mark), class_="key", viewBox="0 0 26 12", aria_hidden="true"),
            meaning,
        )
        for mark, meaning in entries
    ]
    return element("ul", *items, class_="legend")


def hover_points(points: Sequence[tuple[float, float, str]]) -> Html:
    """Return what the page's script shows at the pointer: (x, y, text), both from 0 to 1 within the axes, y upward."""
    rounded = [[round(x, 4), round(y, 4), text] for x, y, text in points]
    text = json.dumps(rounded, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return element("script", raw(text), type="application/json")


def _mark(mark: str) -> Html:
    if mark in ("curve main", "curve other", "span", "limit"):
        return element("path", d="M1 6H25", class_=mark)
    if mark in ("span dots", "outlier small"):
        return element("path", d="M13 6h0", class_=mark)
    if mark == "bound":
        return element("path", d="M13 11V2M7 2h12", class_=mark)
    if mark == "marker" or mark.startswith("trial"):
        return element("circle", class_=mark, cx=13, cy=6, r=4)
    if mark == "outlier":
        return element("path", d="M13 1.5L17.5 6L13 10.5L8.5 6Z", class_=mark)
    if mark == "dropped":
        return element("path", d="M13 2V10", class_=mark)
    return joined([element("rect", class_=mark, x=5, y=0.5, width=16, height=11)])
