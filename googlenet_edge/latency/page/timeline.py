"""The timeline: each frame's latency over the run, with the outliers and what happened around them.

Long runs are thinned honestly: of the frames in one column of pixels the shortest and the longest are drawn, and the
line between them; no outlier is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.page.figure import figure, hover_points, legend
from googlenet_edge.latency.page.markup import Html, element, table
from googlenet_edge.latency.page.outliers import Track, fence_ns
from googlenet_edge.latency.page.scales import Frame, Size, drawing, grid, linear
from googlenet_edge.latency.page.words import count, milliseconds
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.scenario_format import CameraScenario
from googlenet_edge.latency.subject import Subject, subject_of

__all__ = ["timeline"]

Floats = npt.NDArray[np.float64]

_DOTS = 3000
"""Up to so many frames are drawn one by one."""
_FEW = 400
"""Up to so many are drawn larger."""
_LARGE_MARKS = 150
"""More outliers than that are drawn small."""
_SLICES = 12
"""The table has the run in so many parts."""
_FAR_DEADLINE = 4
"""A deadline beyond so many times the longest latency is not drawn."""
_MOST_POINTS = 2000
"""The pointer finds so many outliers at most, the longest."""


def timeline(document: ReportDocument, frames: tuple[Track, ...]) -> Html | None:
    """Return the plot; None without raw samples."""
    if not frames:
        return None
    subject = subject_of(document)
    at_s = np.concatenate([track.at_s for track in frames])
    durations = np.concatenate([track.duration_ns(subject.stage) for track in frames])
    ms, fence, deadline = durations / 1e6, fence_ns(durations) / 1e6, _deadline_ms(document, durations)
    end, top = float(at_s.max()), max(float(ms.max()), deadline or 0.0) * 1.06 or 1.0
    far = ms > fence
    dropped = _drop_times(frames) if len(ms) == document.frames.measured else []
    # A scenario's time begins behind its warm-up.
    warmed_up = document.warmup.frames and document.scenario is None
    measured_from = min(float(track.columns["dequeued_ns"][0]) / 1e9 for track in frames)

    def draw(size: Size) -> Html:
        frame = Frame(
            size,
            linear(0.0, end, size.left, size.width - size.right, 8 if size.width > 500 else 5),
            linear(0.0, top, size.height - size.bottom, size.top + 8, 5),
            "seconds from the start",
            "ms",
        )
        parts: list[str | None] = [_warm_up(frame, measured_from) if warmed_up else None, grid(frame)]
        parts += [
            _event(frame, max(0.0, e.from_s), min(end, e.to_s), e.kind)
            for e in document.happenings
            if e.from_s <= end and e.to_s >= 0
        ]
        pixels = np.round(size.left + at_s / max(end, 1e-9) * size.inner_width, 1)
        heights = np.round(frame.y.place(0.0) + ms * (frame.y.place(1.0) - frame.y.place(0.0)), 1)
        kind = "span" if len(ms) > _DOTS else "span dots" if len(ms) > _FEW else "span dots few"
        parts.append(element("path", class_=kind, d=_spans(pixels[~far], heights[~far])))
        parts.append(_outliers(pixels[far], heights[far]))
        places = sorted({round(frame.x.place(at)) for at in dropped})
        d = "".join(f"M{x} {size.height - size.bottom - 1}v-7" for x in places)
        parts.append(element("path", class_="dropped", d=d) if d else None)
        parts.append(None if deadline is None else _limit(frame, deadline))
        label = f"{count(len(ms))} {subject.many} over {end:.0f} seconds, {count(int(far.sum()))} of them outliers"
        return drawing(size, label, parts)

    several = f"shortest to longest of neighbouring {subject.many}"
    keys = [("span dots", subject.many)] if len(ms) <= _DOTS else [("span", several)]
    mark = "outlier" if far.sum() <= _LARGE_MARKS else "outlier small"
    keys += [(mark, f"outlier, above {milliseconds(fence)} ms")] if far.any() else []
    keys += [("dropped", "frames dropped")] if dropped else []
    keys += [("warm-up", "warm-up, not measured")] if warmed_up else []
    keys += [("limit", f"deadline, {milliseconds(deadline)} ms")] if deadline is not None else []
    keys += [("event", ", ".join(sorted({event.kind for event in document.happenings})))] if document.happenings else []
    return figure(
        "timeline",
        draw,
        says=_sentence(int(far.sum()), len(ms), fence, subject),
        table=_table(at_s, ms, end, subject),
        points=_points(frames, (fence, end, top), subject),
        key=legend(*keys),
    )


def _spans(pixels: Floats, heights: Floats) -> str:
    if len(pixels) <= _DOTS:
        return "".join(f"M{x:g} {y:g}h0" for x, y in zip(pixels.tolist(), heights.tolist(), strict=True))
    columns: dict[int, tuple[float, float]] = {}
    for x, y in zip(np.round(pixels).astype(int).tolist(), heights.tolist(), strict=True):
        low, high = columns.get(x, (y, y))
        columns[x] = (min(low, y), max(high, y))
    return "".join(f"M{x} {low:g}V{high:g}" for x, (low, high) in sorted(columns.items()))


def _outliers(pixels: Floats, heights: Floats) -> Html | None:
    """Return a mark for each; many are drawn small, and those that would cover each other once."""
    number = str(len(pixels))
    if len(pixels) <= _LARGE_MARKS:
        cells = list(zip(pixels.tolist(), heights.tolist(), strict=True))
        d = "".join(f"M{x:g} {y - 4.5:g}l4.5 4.5l-4.5 4.5l-4.5 -4.5z" for x, y in cells)
        return element("path", class_="outlier", d=d, data_count=number) if d else None
    cells = sorted(set(zip(_even(pixels), _even(heights), strict=True)))
    return element("path", class_="outlier small", d="".join(f"M{x} {y}h0" for x, y in cells), data_count=number)


def _even(pixels: Floats) -> list[int]:
    """Return the nearest even pixels: a small mark is as wide as two."""
    even: list[int] = (2 * np.round(pixels / 2)).astype(int).tolist()
    return even


def _warm_up(frame: Frame, until_s: float) -> Html:
    left, right = frame.x.place(0.0), frame.x.place(until_s)
    return element(
        "rect", class_="warm-up", x=left, y=frame.size.top, width=max(1.0, right - left), height=frame.size.inner_height
    )


def _deadline_ms(document: ReportDocument, durations: npt.NDArray[np.int64]) -> float | None:
    """Return the deadline of a camera where it is not so far above all ages that they would be a flat line below it."""
    scenario = document.scenario
    if not isinstance(scenario, CameraScenario) or scenario.deadline_ms > _FAR_DEADLINE * float(durations.max()) / 1e6:
        return None
    return scenario.deadline_ms


def _limit(frame: Frame, deadline: float) -> Html:
    size, y = frame.size, frame.y.place(deadline)
    return element("line", class_="limit", x1=size.left, x2=size.width - size.right, y1=y, y2=y, data_ms=repr(deadline))


def _event(frame: Frame, from_s: float, to_s: float, kind: str) -> Html:
    left, right = frame.x.place(from_s), frame.x.place(to_s)
    return element(
        "rect", element("title", f"{kind}, {from_s:.1f} to {to_s:.1f} s"), class_="event", data_kind=kind,
        x=left, y=frame.size.top, width=max(2.0, right - left), height=frame.size.inner_height,
    )  # fmt: skip


def _drop_times(frames: Sequence[Track]) -> list[float]:
    """Return when frames were missing that gave way to newer ones: those before each frame whose number leaps."""
    return [
        float(at)
        for track in frames
        for at in track.at_s[1:][np.diff(track.columns["sequence"]) > 1]
    ]  # fmt: skip


def _points(frames: Sequence[Track], ends: tuple[float, float, float], subject: Subject) -> Html:
    """Return one point a column, the longest frame there, and the outliers; ``ends``: fence, end, top of the axes."""
    fence, end, top = ends
    best: dict[int, tuple[float, float, str]] = {}
    far: list[tuple[float, float, str]] = []
    for track in frames:
        name = "" if track.camera is None else f" of {track.camera}"
        values = (track.duration_ns(subject.stage) / 1e6).tolist()
        for at, value, number in zip(track.at_s.tolist(), values, track.columns["sequence"].tolist(), strict=True):
            column = int(at / max(end, 1e-9) * 400)
            if value <= fence and column in best and best[column][1] * top >= value:
                continue
            point = (
                at / max(end, 1e-9), value / top, f"{at:.1f} s, {subject.one} {number}{name}: {milliseconds(value)} ms"
            )  # fmt: skip
            if value > fence:
                far.append(point)
            else:
                best[column] = point
    far = sorted(far, key=lambda point: -point[1])[:_MOST_POINTS]
    return hover_points(sorted([*best.values(), *far]))


def _table(at_s: Floats, ms: Floats, end: float, subject: Subject) -> Html:
    rows = []
    for i in range(_SLICES):
        low, high = end * i / _SLICES, end * (i + 1) / _SLICES
        values = np.sort(ms[(at_s >= low) & ((at_s < high) | (i == _SLICES - 1))])
        if len(values):
            middle = float(values[(len(values) + 1) // 2 - 1])
            rows.append(
                (f"{low:.1f} to {high:.1f} s", count(len(values)), milliseconds(float(values[0])), milliseconds(middle),
                 milliseconds(float(values[-1])))
            )  # fmt: skip
    return table(["time", subject.many, "shortest, ms", "median, ms", "longest, ms"], rows)


def _sentence(number: int, frames: int, fence: float, subject: Subject) -> str:
    if not number:
        return f"No {subject.one} was an outlier: none took longer than {milliseconds(fence)} ms."
    return (
        f"{count(number)} of {count(frames)} {subject.many} took longer than {milliseconds(fence)} ms, which is far "
        "out: more than three times the distance of the quartiles above the upper one."
    )
