"""Where a frame's time goes: the mean of each stage as a bar, and all statistics of all stages as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from googlenet_edge.latency.page.figure import figure
from googlenet_edge.latency.page.markup import Html, element, table
from googlenet_edge.latency.page.scales import Size, drawing
from googlenet_edge.latency.page.words import count, definition_of, milliseconds, share
from googlenet_edge.latency.report_format import ReportDocument, StageEntry
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX
from googlenet_edge.latency.subject import RUN, Subject, subject_of
from googlenet_edge.latency.summary import PERCENTILES

__all__ = ["breakdown", "stage_definitions", "stages_table"]

_CHAIN = ("queue", "preprocess", "inference", "emit")
"""Their means add up to that of capture to emitted, since a mean of sums is the sum of means; percentiles do not."""
_BAR = 38
_NAMES = 44
"""Room below a bar for two lines of names."""
_GAP = 2


def breakdown(document: ReportDocument) -> Html | None:
    """Return the bar of means; None where a stage is missing."""
    stages, subject = document.latency.stages, subject_of(document)
    if not all(name in stages for name in _CHAIN):
        return None
    chain = [(name, max(0.0, stages[name].mean_ms)) for name in _CHAIN]
    device = [(name, max(0.0, stage.mean_ms)) for name, stage in stages.items() if name.startswith(DEVICE_STAGE_PREFIX)]
    total = sum(value for _, value in chain)
    if total <= 0:
        return None

    def draw(size: Size) -> Html:
        height = (_BAR + _NAMES) * (2 if device else 1)
        here = Size(size.name, size.width, height, left=0, right=0)
        parts = _bar(here, [(subject.name_of(name), name, value) for name, value in chain if value], 0.0, 0.0, total)
        if device:
            before = sum(value for name, value in chain if name in ("queue", "preprocess"))
            parts += _bar(here, [(name, name, value) for name, value in device], _BAR + _NAMES, before, total)
        said = ", ".join(f"{subject.name_of(name)} {milliseconds(value)} ms" for name, value in chain)
        return drawing(here, f"Mean time of a {subject.one} by stage: {said}", parts)

    until = " from capture until all sinks have its result" if subject is RUN else ""
    says = f"A {subject.one} takes {milliseconds(total)} ms on average{until}. Means add up, percentiles do not."
    if device:
        says += " The second bar is what the device measured itself, within inference."
    rows = [(subject.name_of(name), milliseconds(value), share(value, total)) for name, value in [*chain, *device]]
    return figure("stages-bar", draw, says=says, table=table(["stage", "mean, ms", "share"], rows))


def stages_table(stages: Mapping[str, StageEntry], subject: Subject = RUN, *, caption: str | None = None) -> Html:
    """Return all statistics of all stages; "?" behind a percentile from too few frames."""
    rows = [
        (
            subject.name_of(name),
            *(_percentile(stage, percent) for percent in PERCENTILES),
            milliseconds(stage.max_ms),
            f"{stage.max_at_s:.1f} s, {subject.one} {stage.max_sequence}",
            milliseconds(stage.mean_ms),
            count(stage.count),
        )
        for name, stage in stages.items()
    ]
    headings = ["stage, ms", *(f"p{percent}" for percent in PERCENTILES), "max", "max at", "mean", subject.many]
    return table(headings, rows, caption=caption)


def stage_definitions(document: ReportDocument) -> Html:
    """Return what each stage of the report contains."""
    names: dict[str, list[str]] = {}
    subject = subject_of(document)
    for name in document.latency.stages:
        said = definition_of(name, document.definitions)
        if said:
            names.setdefault(said, []).append(subject.name_of(name))
    items = [part for said, of in names.items() for part in (element("dt", ", ".join(of)), element("dd", said))]
    return element("dl", *items, class_="definitions")


def _percentile(stage: StageEntry, percent: int) -> Html:
    value = stage.percentile_ms(percent)
    unsure = "" if value is None or stage.reliable(percent) else "\u202f?"
    return element("span", f"{milliseconds(value)}{unsure}", title="too few frames to rely on" if unsure else None)


def _bar(size: Size, parts: Sequence[tuple[str, str, float]], top: float, start: float, total: float) -> list[str]:
    """Return the segments (title, stage, milliseconds) from left to right, and below each its title.

    A title is in a second line where two would meet.
    """
    drawn: list[str] = []
    names: list[str] = []  # over the leaders
    scale, ends = size.width / total, [-1e9, -1e9]
    left = start * scale
    for i, (title, name, value) in enumerate(parts):
        wide = value * scale
        text = f"{title} {milliseconds(value)}"
        room = 6.6 * len(text)
        place = min(max(left + 2, 0.0), size.width - room)
        line = 0 if place > ends[0] + 10 else 1
        place = max(place, ends[line] + 10)
        ends[line] = place + room
        y = top + _BAR + 16 + 18 * line
        drawn += [
            element(
                "rect", element("title", f"{title}: {milliseconds(value)} ms on average"),
                class_=f"stage s{i % 4}", x=left, y=top, width=max(1.0, wide - _GAP), height=_BAR,
                data_stage=name, data_ms=repr(value),
            ),
            element("path", class_="leader", d=f"M{left + 1:.1f} {top + _BAR}v{y - top - _BAR - 11:.1f}"),
        ]  # fmt: skip
        names.append(element("text", text, class_="name", x=place, y=y))
        left += wide
    return drawn + names
