"""The histogram: how many frames took how long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.page.figure import figure, legend
from googlenet_edge.latency.page.markup import Html, element, table
from googlenet_edge.latency.page.outliers import Track
from googlenet_edge.latency.page.scales import Frame, Size, drawing, grid, linear, nice_ticks
from googlenet_edge.latency.page.words import count, milliseconds
from googlenet_edge.latency.subject import Subject
from googlenet_edge.latency.summary import nearest_rank

__all__ = ["Bins", "bins", "histogram"]

_BINS = 60


@dataclass(frozen=True)
class Bins:
    """Counts between round limits, and what lies beyond the last."""

    edges_ms: tuple[float, ...]
    """One more than counts, ascending; a bin contains its lower edge."""
    counts: tuple[int, ...]
    beyond: int
    """Frames at or beyond the last edge."""


def bins(durations_ns: npt.NDArray[np.int64]) -> Bins:
    """Count durations (int64 (N,), nanoseconds, N >= 1) between round limits.

    A long thin tail does not squeeze the rest: where the slowest 0.5 % would take more than half of the axis, they are
    counted as one, "beyond".
    """
    ordered = np.sort(durations_ns)
    low, high = int(ordered[0]), int(ordered[-1])
    body = nearest_rank(ordered, 99.5)
    if high - low > 2 * (body - low):
        high = body
    span_ms = max((high - low) / 1e6, 1e-3)
    ticks = nice_ticks(0.0, span_ms, _BINS)
    step = round((ticks[1] - ticks[0]) * 1e6)  # whole nanoseconds: an edge is never between two samples' rounding
    first, last = low // step, high // step + 1
    edges = np.arange(first, last + 1, dtype=np.int64) * step
    places = np.searchsorted(edges, ordered, side="right") - 1
    counted = np.bincount(places, minlength=len(edges))
    return Bins(tuple((edges / 1e6).tolist()), tuple(counted[: len(edges) - 1].tolist()), int(counted[len(edges) - 1]))


def histogram(subject: Subject, frames: tuple[Track, ...]) -> Html | None:
    """Return the plot; None without raw samples."""
    if not frames:
        return None
    durations = np.concatenate([track.duration_ns(subject.stage) for track in frames])
    found = bins(durations)
    median = nearest_rank(np.sort(durations), 50) / 1e6
    edges, most = found.edges_ms, max(*found.counts, found.beyond, 1)
    width = edges[1] - edges[0]
    high = edges[-1] + (2 * width if found.beyond else 0)

    def draw(size: Size) -> Html:
        x = linear(edges[0], high, size.left, size.width - size.right, 8 if size.width > 500 else 5)
        y = linear(0.0, most * 1.12, size.height - size.bottom, size.top, min(5, most))
        frame = Frame(size, x, y, f"{subject.title}, ms", subject.many)
        parts: list[str | None] = [grid(frame)]
        parts += [
            _bar(frame, low, low + width, number, subject) for low, number in zip(edges, found.counts, strict=False)
        ]
        if found.beyond:
            parts.append(_bar(frame, edges[-1] + width, high, found.beyond, subject, beyond=True))
        place = frame.x.place(median)
        parts.append(
            element("line", class_="median", x1=place, x2=place, y1=size.top + 2, y2=size.height - size.bottom)
        )
        parts.append(element("text", f"median {milliseconds(median)}", class_="value", x=place + 6, y=size.top + 10))
        return drawing(size, f"Histogram of {subject.title}, median {milliseconds(median)} ms", parts)

    rows = [
        (_between(low, low + width), count(number))
        for low, number in zip(edges, found.counts, strict=False)
        if number
    ]  # fmt: skip
    if found.beyond:
        rows.append((f"{edges[-1]:g} ms or more", count(found.beyond)))
    says = f"How many {subject.many} took how long, in bins of {width:g} ms."
    if found.beyond:
        says += f" {count(found.beyond)} took {edges[-1]:g} ms or more and are counted as one, at the end."
    key = legend(("bar", subject.many), ("bar beyond", f"{edges[-1]:g} ms or more")) if found.beyond else None
    return figure("histogram", draw, says=says, table=table(["latency", subject.many], rows), key=key)


def _bar(frame: Frame, low: float, high: float, number: int, subject: Subject, *, beyond: bool = False) -> Html | None:
    if not number:
        return None
    left, right = frame.x.place(low), frame.x.place(high)
    top, bottom = frame.y.place(number), frame.size.height - frame.size.bottom
    top = min(top, bottom - 1)  # one frame among thousands is still there
    what = f"{count(number)} {subject.one if number == 1 else subject.many}"
    return element(
        "rect", element("title", f"{f'{low:g} ms or more' if beyond else _between(low, high)}: {what}"),
        class_="bar beyond" if beyond else "bar", x=left + 0.5, y=top, width=max(0.5, right - left - 1),
        height=bottom - top, data_low=f"{low:g}", data_count=str(number),
    )  # fmt: skip


def _between(low: float, high: float) -> str:
    return f"{low:g} to {high:g} ms"
