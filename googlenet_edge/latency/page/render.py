"""Puts the page together."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from googlenet_edge.atomic import atomic_file
from googlenet_edge.latency.page import machine, sections
from googlenet_edge.latency.page.breakdown import breakdown, stage_definitions, stages_table
from googlenet_edge.latency.page.curve import percentile_curve
from googlenet_edge.latency.page.facts import facts
from googlenet_edge.latency.page.headline import headline
from googlenet_edge.latency.page.histogram import histogram
from googlenet_edge.latency.page.layers import layers
from googlenet_edge.latency.page.markup import Html, element, joined
from googlenet_edge.latency.page.outliers import Track, explain, fence_ns, tracks
from googlenet_edge.latency.page.scenario import scenario_parts, scenario_title
from googlenet_edge.latency.page.timeline import timeline
from googlenet_edge.latency.report_file import Report
from googlenet_edge.latency.report_format import ReportDocument
from googlenet_edge.latency.subject import subject_of

__all__ = ["render_page", "write_page"]

_LISTED_OUTLIERS = 12
_KNOWN = frozenset(ReportDocument.__struct_fields__)


def render_page(report: Report) -> str:
    """Return the page as HTML."""
    document = report.document
    style, script = _asset("page.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_asset("page.html")).substitute(
        title=joined([f"Latency of {_subject(document)}"]),
        script_hash=f"sha256-{digest}",
        style=style,
        script=script,
        subject=joined([_subject(document)]),
        source=joined([document.source.description]),
        when=joined([_when(document)]),
        body=joined(_body(report)),
        version=joined([document.run.version or ""]),
    )


def write_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all. Raises :class:`OutputError`."""
    data = render_page(report).encode("utf-8")
    with atomic_file(path, what="page") as file:
        file.write(data)


def _body(report: Report) -> Iterator[Html]:
    document, frames = report.document, tracks(report)
    stages, subject = document.latency.stages, subject_of(document)
    sampled = report.kept or document.frames.measured
    yield headline(document)
    early = sum(int((track.duration_ns(subject.stage) < 0).sum()) for track in frames)
    yield from filter(None, [sections.notes(report, subject, early)])
    if document.scenario is not None:
        yield from _section("scenario-title", scenario_title(document.scenario), *scenario_parts(document))
    yield from _section("percentiles-title", "Percentiles", percentile_curve(document, frames, sampled))
    yield from _section("histogram-title", "Histogram", histogram(subject, frames))
    yield from _section(
        "timeline-title",
        "Timeline and outliers",
        timeline(document, frames),
        _slowest(report, frames),
        sections.events(document),
    )
    if stages and not frames:
        yield element("p", "Histogram and timeline need the raw samples: run with --samples.", class_="hint")
    if stages:
        definitions = element(
            "details", element("summary", "What each figure contains"), stage_definitions(document), open=True
        )
        yield from _section("stages-title", "Stages", breakdown(document), stages_table(stages, subject), definitions)
    yield from _section("cameras-title", "Cameras", sections.cameras(document), _by_camera(document))
    yield from _section("layers-title", "Layers", layers(report.layers))
    yield from _section("sinks-title", "Outputs that failed", sections.sinks(document))
    yield from _section("machine-title", "What measured it", *_machine(report))
    rest = {name: value for name, value in report.raw.items() if name not in _KNOWN}
    yield from _section("more-title", "More in this report", facts(rest))
    yield from _section("definitions-title", "Definitions", _definitions(document))


def _section(name: str, title: str, *parts: Html | None) -> Iterator[Html]:
    """Yield a section, or nothing where none of its parts is there."""
    if any(parts):
        yield element("section", element("h2", title, id=name), *parts, aria_labelledby=name)


def _slowest(report: Report, frames: tuple[Track, ...]) -> Html | None:
    if not frames:
        return None
    subject = subject_of(report.document)
    durations = np.concatenate([track.duration_ns(subject.stage) for track in frames])
    number = int((durations > fence_ns(durations)).sum())
    several = len(report.document.cameras) > 1
    return sections.outlier_table(explain(report, frames, _LISTED_OUTLIERS), number, subject, several=several)


def _by_camera(document: ReportDocument) -> Html | None:
    if len(document.cameras) < 2:
        return None
    tables = [stages_table(camera.stages, caption=camera.name) for camera in document.cameras if camera.stages]
    return element("details", element("summary", "Stages of each camera"), *tables)


def _machine(report: Report) -> Iterator[Html | None]:
    document, raw = report.document, report.raw
    yield machine.state(document.state)
    yield machine.watch(document.watch)
    yield machine.energy(document.energy)
    for title, values in (
        ("Machine", raw.get("machine")),
        ("What computed", raw.get("classifier")),
        ("Run", raw.get("run")),
        ("Source", raw.get("source")),
        ("Warm-up", raw.get("warmup")),
    ):
        shown = facts(values) if isinstance(values, Mapping) else None
        if shown:
            yield element("details", element("summary", title), shown, open=title.startswith(("Machine", "What")))


def _definitions(document: ReportDocument) -> Html | None:
    stages = document.latency.stages  # those stand below their table
    items = [joined([element("dt", name), element("dd", text)])
             for name, text in document.definitions.items() if name not in stages]  # fmt: skip
    return element("dl", *items, class_="definitions") if items else None


def _subject(document: ReportDocument) -> str:
    known = [document.classifier.get(key) for key in ("model", "precision", "backend")]
    if document.scenario is not None:
        known.append(document.scenario.title)
    return ", ".join(str(value) for value in known if value) or "a run"


def _when(document: ReportDocument) -> str:
    run, board = document.run, document.machine.get("board") or document.machine.get("cpu")
    parts = [str(board) if board else None, run.ended_at and run.ended_at.replace("T", " ").replace("+00:00", " UTC"),
             f"ended: {run.ended}" if run.ended else None]  # fmt: skip
    return " · ".join(part for part in parts if part)


def _asset(name: str) -> str:
    return files("googlenet_edge.latency.page").joinpath(name).read_text(encoding="utf-8")
