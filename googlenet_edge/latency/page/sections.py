"""The parts of the page that are text and tables: what the report has is shown, what it lacks is left out."""

from __future__ import annotations

from collections.abc import Sequence

from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.outliers import Outlier
from googlenet_edge.latency.page.words import count, milliseconds
from googlenet_edge.latency.report_file import Report
from googlenet_edge.latency.report_format import CameraEntry, ReportDocument
from googlenet_edge.latency.subject import Subject
from googlenet_edge.latency.summary import minimum_samples

__all__ = ["cameras", "events", "notes", "outlier_table", "sinks"]


def notes(report: Report, subject: Subject, early: int = 0) -> Html | None:
    """Return what a reader must know before believing the figures; None where there is nothing.

    ``early``: how many frames have a result from before their capture.
    """
    document = report.document
    found: list[tuple[str, str]] = []
    if document.state is not None:
        found += [("The machine before the run", concern) for concern in document.state.concerns]
    if document.run.error:
        found.append(("The run ended with an error", document.run.error))
    found += [(f"{camera.name or 'The source'} ended with an error", camera.error)
              for camera in document.cameras if camera.error and camera.error != document.run.error]  # fmt: skip
    if not document.frames.measured:
        why = f"every {subject.one} was of the warm-up, or there was none: run for longer."
        found.append((f"No {subject.one} was measured", why))
    lacking = sorted({int(name[1:]) for stage in document.latency.stages.values() for name in stage.unreliable
                      if name[1:].isdigit() and 0 < int(name[1:]) < 100})  # fmt: skip
    if lacking:
        needed = ", ".join(f"p{percent} needs {minimum_samples(percent)}" for percent in lacking)
        what = f"Figures with ? come from too few {subject.many}"
        found.append((what, f"for 99 % confidence {needed} {subject.many}."))
    if early:
        why = f"{count(early)}. The clock that stamped them was set meanwhile: what counts from the capture is wrong."
        found.append((f"{subject.many.capitalize()} with a result from before their capture", why))
    if not report.exact:
        found.append(("Percentiles are from", document.latency.percentiles_from + "."))
    if report.samples and not report.complete:
        drawn = f"{count(report.kept)} of {count(document.frames.measured)} {subject.many}, drawn at random."
        found.append(("Curve, histogram and timeline show", drawn))
    items = [element("li", element("strong", what), ": ", why) for what, why in found]
    return element("ul", *items, class_="notes") if items else None


def outlier_table(outliers: Sequence[Outlier], number: int, subject: Subject, *, several: bool) -> Html | None:
    """Return the slowest outliers with their causes; ``number``: how many there are."""
    if not outliers:
        return None
    rows = [
        (
            str(outlier.sequence),
            *([outlier.camera or ""] if several else []),
            f"{outlier.at_s:.1f} s",
            milliseconds(outlier.latency_ms),
            joined([outlier.cause or "not known", element("div", outlier.where, class_="note")]),
        )
        for outlier in outliers
    ]
    headings = [
        subject.one,
        *(["camera"] if several else []),
        "at",
        "ms",
        "cause, and what took longest beyond its median",
    ]
    many = "outlier" if len(rows) == 1 else f"{len(rows)} slowest"
    more = f" of {count(number)} outliers" if number > len(rows) else ""
    return table(headings, rows, caption=f"The {many}{more}", numbers=False)


def cameras(document: ReportDocument) -> Html | None:
    """Return a row a camera; None for a source alone that was never lost."""
    if len(document.cameras) < 2 and not any(camera.outages.lost for camera in document.cameras):
        return None
    rows = [_camera_row(camera) for camera in document.cameras]
    headings = ["camera", "frames", "frames/s", "dropped", "age p50, ms", "p99", "max", "lost", "back", "away", "ended"]
    parts: list[str] = [table(headings, rows)]
    if document.fairness is not None:
        fair = document.fairness
        parts.append(element("p", f"Fairness {fair.jain_index:.3f}: {fair.definition}."))
    names = [(camera.name or "source", camera.description) for camera in document.cameras]
    parts.append(element("dl", *(joined([element("dt", a), element("dd", b)]) for a, b in names), class_="definitions"))
    return joined(parts)


def sinks(document: ReportDocument) -> Html | None:
    """Return what the outputs had to drop; None where they dropped nothing."""
    rows = [(sink.sink, count(sink.dropped), count(sink.failures), sink.last_error or "")
            for sink in document.sinks if sink.failures]  # fmt: skip
    return table(["output", "results dropped", "failures", "last error"], rows, numbers=False) if rows else None


def events(document: ReportDocument) -> Html | None:
    """Return what happened during the run; None where nothing is known of."""
    rows = [
        (event.kind if event.camera is None else f"{event.kind}, {event.camera}", f"{event.from_s:.1f} s",
         f"{event.to_s:.1f} s", event.text)
        for event in document.happenings
    ]  # fmt: skip
    return table(["what happened", "from", "to", ""], rows, numbers=False) if rows else None


def _camera_row(camera: CameraEntry) -> tuple[str, ...]:
    age, away = camera.frame_age_ms, camera.outages
    p50, p99, most = (None, None, None) if age is None else (age.p50, age.p99, age.max)
    unsure = "\u202f?" if age is not None and "p99" in age.unreliable else ""
    return (
        camera.name or "source",
        count(camera.frames),
        "-" if camera.fps is None else f"{camera.fps:.1f}",
        count(camera.dropped),
        milliseconds(p50),
        milliseconds(p99) + unsure,
        milliseconds(most),
        count(away.lost),
        count(away.reconnected),
        f"{away.down_s:.1f} s",
        camera.ended,
    )
