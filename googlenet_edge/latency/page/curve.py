"""The percentile curve: how long the slowest share of the frames took, with each further "nine" given the same room."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.page.figure import figure, hover_points, legend
from googlenet_edge.latency.page.markup import Html, element, table
from googlenet_edge.latency.page.outliers import Track
from googlenet_edge.latency.page.scales import Frame, Scale, Size, drawing, grid, linear, tail
from googlenet_edge.latency.page.words import count, milliseconds, percent_name
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.scenario_format import QueryScenario
from googlenet_edge.latency.subject import Subject, subject_of
from googlenet_edge.latency.summary import PERCENTILES, nearest_rank

__all__ = ["percentile_curve", "reliable_up_to"]

OTHER_STAGE = "inference"
_LISTED = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999)
_MOST_RANKS = 10**9
"""The axis ends at the percentile that so many frames can tell: further "nines" would be lost in rounding."""


def reliable_up_to(samples: int) -> float:
    """Return the highest percentile, 0 to 100, that so many samples are enough for; 0 where they are for none.

    By the rule of :func:`~googlenet_edge.latency.summary.minimum_samples`, for percentiles that need not be whole.
    """

    def risk(q: float) -> float:
        return math.exp(samples * math.log(q)) + samples * (1 - q) * math.exp((samples - 1) * math.log(q))

    low, high = 1e-9, 1 - 1e-12
    if samples < 2 or risk(low) > 0.01:
        return 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if risk(middle) <= 0.01 else (low, middle)
    return 100 * low


def percentile_curve(document: ReportDocument, frames: tuple[Track, ...], sampled: int) -> Html | None:
    """Return the plot; None without statistics. Without raw samples it has the report's percentiles alone.

    ``sampled``: how many frames the percentiles come from.
    """
    subject = subject_of(document)
    main = document.latency.stages.get(subject.stage)
    if main is None or main.p50_ms is None:
        return None
    ordered = {
        name: np.sort(np.concatenate([track.duration_ns(name) for track in frames]))
        for name in (subject.stage, OTHER_STAGE)
        if frames
    }
    top = (main.max_ms if not ordered else max(main.max_ms, float(ordered[OTHER_STAGE][-1]) / 1e6)) * 1.06 or 1.0
    high = 100 * (1 - 0.5 / min(max(2, sampled), _MOST_RANKS))

    def axes(size: Size) -> Frame:
        x = tail(high, size.left, size.width - size.right)
        y = linear(0.0, top, size.height - size.bottom, size.top + 8)
        return Frame(size, x, y, f"percentile of {subject.many}", "ms")

    def draw(size: Size) -> Html:
        frame = axes(size)
        parts: list[str | None] = [_unreliable(frame, reliable_up_to(sampled)), grid(frame)]
        for name, kind in ((OTHER_STAGE, "other"), (subject.stage, "main")):
            if name in ordered:
                parts.append(element("path", class_=f"curve {kind}", d=_steps(frame, ordered[name]), data_stage=name))
        parts.append(_estimate(frame, document))
        parts += [_marker(frame, main, percent) for percent in PERCENTILES]
        label = f"Percentile curve of {subject.title}: " + ", ".join(
            f"p{percent} {milliseconds(main.percentile_ms(percent))} ms" for percent in PERCENTILES
        )
        return drawing(size, label, parts)

    keys = [("curve main", subject.title), ("curve other", subject.name_of(OTHER_STAGE))] if ordered else []
    keys += [("marker", "percentiles of the report")]
    if (bound := _bound(document)) is not None:
        keys.append(("bound", f"p{bound[0]} at most, at {100 * bound[2]:g} % confidence"))
    if reliable_up_to(sampled) < high:
        keys.append(("unreliable", f"too few {subject.many} to rely on"))
    return figure(
        "percentiles",
        draw,
        says=_sentence(main, subject),
        table=_table(ordered, main, sampled, subject),
        points=_points(ordered.get(subject.stage), high, top),
        key=legend(*keys),
    )


def _steps(frame: Frame, ordered: npt.NDArray[np.int64]) -> str:
    """Return the curve as steps: at each pixel the nearest-rank percentile, so that all of it was really measured."""
    left, right = math.ceil(frame.x.start), math.floor(frame.x.end)
    parts: list[str] = []
    last = None
    for pixel in range(left, right + 1):
        y = round(frame.y.place(nearest_rank(ordered, _percent_at(frame.x, pixel)) / 1e6), 1)
        if last is None:
            parts.append(f"M{pixel} {y:g}")
        elif y != last:
            parts.append(f"H{pixel}V{y:g}")
        last = y
    return "".join(parts) + f"H{right}"


def _percent_at(axis: Scale, pixel: float) -> float:
    share = (pixel - axis.start) / (axis.end - axis.start)
    return min(axis.high, max(1e-9, 100 * (1 - 10 ** (-share * axis.transform(axis.high)))))


def _marker(frame: Frame, stage: StageEntry, percent: int) -> Html | None:
    value = stage.percentile_ms(percent)
    if value is None or percent > frame.x.high:
        return None
    reliable = stage.reliable(percent)
    x, y = frame.x.place(percent), frame.y.place(value)
    unsure = "" if reliable else " ?"
    crowded = frame.size.width < 500 and percent == 95
    anchor = "middle" if x < frame.size.left + 60 else "end"
    return element(
        "g",
        element("circle", class_="marker" if reliable else "marker unsure", cx=x, cy=y, r=4.5),
        None if crowded else element(
            "text", f"{milliseconds(value)}{unsure}", class_="value", x=x if anchor == "middle" else x - 4, y=y - 11,
            text_anchor=anchor,
        ),
        element("title", f"p{percent} = {milliseconds(value)} ms{unsure}"),
        class_="percentile", data_percent=str(percent), data_ms=repr(value),
    )  # fmt: skip


def _bound(document: ReportDocument) -> tuple[int, float, float] | None:
    """Return the percentile of a scenario, what it is at most, milliseconds, and at which confidence; None for none."""
    scenario = document.scenario
    if not isinstance(scenario, QueryScenario) or scenario.estimate.latency_ms is None:
        return None
    return scenario.percent, scenario.estimate.latency_ms, scenario.estimate.confidence


def _estimate(frame: Frame, document: ReportDocument) -> Html | None:
    """Return a line from the percentile up to what it is at most."""
    bound, main = _bound(document), document.latency.stages[subject_of(document).stage]
    if bound is None or bound[0] > frame.x.high:
        return None
    percent, most, confidence = bound
    x, top = frame.x.place(percent), frame.y.place(most)
    return element(
        "g",
        element("path", class_="bound", d=f"M{x:.1f} {frame.y.place(main.percentile_ms(percent) or most):.1f}"
                f"V{top:.1f}M{x - 9:.1f} {top:.1f}h18"),
        element("title", f"p{percent} at most {milliseconds(most)} ms, at {100 * confidence:g} % confidence"),
        class_="estimate", data_percent=str(percent), data_ms=repr(most),
    )  # fmt: skip


def _unreliable(frame: Frame, limit: float) -> Html | None:
    if limit >= frame.x.high:
        return None
    x, size = frame.x.place(limit), frame.size
    return element(
        "rect", class_="unreliable", x=x, y=size.top, width=frame.x.end - x, height=size.inner_height,
    )  # fmt: skip


def _points(ordered: npt.NDArray[np.int64] | None, high: float, top: float) -> Html | None:
    if ordered is None:
        return None
    axis = tail(high, 0.0, 1.0)
    points = []
    for i in range(201):
        percent = _percent_at(axis, i / 200)
        value = nearest_rank(ordered, percent) / 1e6
        points.append((i / 200, value / top, f"{percent_name(round(percent, 4))}: {milliseconds(value)} ms"))
    return hover_points(points)


def _table(ordered: Mapping[str, npt.NDArray[np.int64]], main: StageEntry, sampled: int, subject: Subject) -> Html:
    limit = reliable_up_to(sampled)
    if not ordered:
        rows = [
            (f"p{p}", f"{milliseconds(main.percentile_ms(p))}{'' if main.reliable(p) else ' ?'}") for p in PERCENTILES
        ]
        return table(["percentile", "ms"], [*rows, ("max", milliseconds(main.max_ms))])
    rows_of = [
        (
            percent_name(percent),
            *(f"{milliseconds(nearest_rank(values, percent) / 1e6)}{'' if percent <= limit else ' ?'}"
              for values in ordered.values()),
        )
        for percent in _LISTED
        if percent < 100 * (1 - 0.5 / sampled)
    ]  # fmt: skip
    maxima = ("max", *(milliseconds(float(values[-1]) / 1e6) for values in ordered.values()))
    return table(["percentile", *(f"{subject.name_of(name)}, ms" for name in ordered)], [*rows_of, maxima])


def _sentence(main: StageEntry, subject: Subject) -> str:
    parts = [f"Half of the {subject.many} {subject.within.format(f'{milliseconds(main.p50_ms)} ms')}"]
    if main.p99_ms is not None:
        unsure = "" if main.reliable(99) else f" (a guess, from {count(main.count)} {subject.many})"
        parts.append(f"99 of 100 within {milliseconds(main.p99_ms)} ms{unsure}")
    parts.append(f"and the slowest took {milliseconds(main.max_ms)} ms")
    return ", ".join(parts) + "."
