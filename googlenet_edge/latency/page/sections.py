"""The parts of the page that are text and tables: what the report has is shown, what it lacks is left out."""

from __future__ import annotations

from collections.abc import Sequence

from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.outliers import MAIN_STAGE, Outlier
from googlenet_edge.latency.page.words import count, milliseconds, quantity, share
from googlenet_edge.latency.report_format import CameraEntry, LayersEntry, ReportDocument, StageEntry
from googlenet_edge.latency.summary import minimum_samples

__all__ = ["cameras", "events", "headline", "layers", "notes", "outlier_table", "sinks"]

AGE_STAGE = "capture_to_emitted"


def headline(document: ReportDocument) -> Html:
    """Return the figures that one looks for first."""
    frames, stages = document.frames, document.latency.stages
    main, age = stages.get(MAIN_STAGE), stages.get(AGE_STAGE)
    tiles = []
    if main is not None:
        tiles.append(_tile("median", milliseconds(main.p50_ms), "ms", "capture to result", key="p50"))
        tiles.append(_tile("99 of 100 within", milliseconds(main.p99_ms), "ms", _p99_note(main), key="p99"))
        tiles.append(
            _tile(
                "slowest",
                milliseconds(main.max_ms),
                "ms",
                f"frame {main.max_sequence}, at {main.max_at_s:.1f} s",
                key="max",
            )
        )
    rate = "-" if frames.fps is None else f"{frames.fps:.1f}"
    tiles.append(_tile("frame rate", rate, "frames/s", f"{count(frames.measured)} frames measured", key="fps"))
    offered = frames.measured + frames.warmup + frames.dropped
    tiles.append(
        _tile("dropped", count(frames.dropped), "", f"{share(frames.dropped, offered)} of the frames", key="dropped")
    )
    if age is not None:
        note = f"p99, until all sinks had it; median {milliseconds(age.p50_ms)}"
        tiles.append(_tile("frame age", milliseconds(age.p99_ms), "ms", note, key="age"))
    energy = document.energy
    if energy is not None and energy.joules_per_frame is not None:
        note = f"{quantity(energy.watts)} W, of {', '.join(energy.included)}"
        tiles.append(_tile("energy", quantity(energy.joules_per_frame), "J/frame", note, key="energy"))
    accuracy = document.accuracy
    if accuracy.top1_percent is not None:
        note = f"{count(accuracy.correct)} of {count(accuracy.frames_with_truth)} frames"
        tiles.append(_tile("top-1 accuracy", f"{accuracy.top1_percent:.1f}", "%", note, key="accuracy"))
    return element("dl", *tiles, class_="tiles")


def notes(document: ReportDocument) -> Html | None:
    """Return what a reader must know before believing the figures; None where there is nothing."""
    found: list[tuple[str, str]] = []
    if document.state is not None:
        found += [("The machine before the run", concern) for concern in document.state.concerns]
    if document.run.error:
        found.append(("The run ended with an error", document.run.error))
    found += [(f"{camera.name or 'The source'} ended with an error", camera.error)
              for camera in document.cameras if camera.error and camera.error != document.run.error]  # fmt: skip
    if not document.frames.measured:
        found.append(("No frame was measured", "every frame was a warm-up frame, or there was none: run for longer."))
    lacking = sorted({int(name[1:]) for stage in document.latency.stages.values() for name in stage.unreliable
                      if name[1:].isdigit() and 0 < int(name[1:]) < 100})  # fmt: skip
    if lacking:
        needed = ", ".join(f"p{percent} needs {minimum_samples(percent)}" for percent in lacking)
        found.append(("Figures with ? come from too few frames", f"for 99 % confidence {needed} frames."))
    if document.state is None:
        found += _concerns(document)
    if document.latency.percentiles_from != "all measured frames":
        found.append(("Percentiles are of a sample", document.latency.percentiles_from + "."))
    items = [element("li", element("strong", what), ": ", why) for what, why in found]
    return element("ul", *items, class_="notes") if items else None


def _concerns(document: ReportDocument) -> list[tuple[str, str]]:
    """Return what little is known of the machine where it was not watched."""
    found = []
    load, cores = document.machine.get("load_average"), document.machine.get("usable_cores")
    if (
        isinstance(load, list)
        and load
        and isinstance(load[0], (int, float))
        and isinstance(cores, int)
        and load[0] > cores
    ):
        found.append(("The machine was busy before the run", f"load {load[0]:.1f} on {cores} cores: it can do better."))
    governor = document.machine.get("cpu_governor")
    if isinstance(governor, str) and governor != "performance":
        found.append(("Clocks were not fixed", f"the CPU governor was {governor}, so latencies depend on the load."))
    return found


def outlier_table(outliers: Sequence[Outlier], number: int, *, several: bool) -> Html | None:
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
    headings = ["frame", *(["camera"] if several else []), "at", "ms", "cause, and what took longest beyond its median"]
    more = f" of {count(number)} outliers" if number > len(rows) else ""
    return table(headings, rows, caption=f"The {len(rows)} slowest{more}", numbers=False)


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


def layers(entry: LayersEntry | None) -> Html | None:
    """Return the time by row of Table 1; None where it was not measured."""
    if entry is None:
        return None
    widest = max((row.share for row in entry.rows), default=0.0) or 1.0
    rows = [
        (
            row.name,
            milliseconds(row.median_ms),
            f"{100 * row.share:.1f} %",
            element("span", class_="meter", style=f"width:{100 * row.share / widest:.1f}%", aria_hidden="true"),
        )
        for row in entry.rows
    ]
    says = (
        f"Median of {count(entry.inferences)} inferences of {_frames(entry.frames_per_inference)}, with the layers' "
        f"profiler on: {milliseconds(entry.wall_ms)} ms on the wall, {milliseconds(entry.layers_ms)} ms in layers, "
        f"{milliseconds(entry.not_covered_ms)} ms in none."
    )
    every = [
        (layer.name, " + ".join(layer.rows) or "other", milliseconds(layer.median_ms), f"{100 * layer.share:.1f} %")
        for layer in entry.layers
    ]
    return joined([
        element("p", says),
        table(["row of Table 1", "median, ms", "share", ""], rows),
        element("details", element("summary", f"All {count(len(every))} layers"),
                table(["layer", "row", "median, ms", "share"], every)),
    ])  # fmt: skip


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


def _tile(title: str, value: str, unit: str, note: str, *, key: str) -> Html:
    return element(
        "div",
        element("dt", title),
        element("dd", element("b", value, data_figure=key), element("i", unit) if unit else None),
        element("dd", note, class_="note"),
        class_="tile",
    )


def _frames(number: int) -> str:
    return f"{count(number)} frame{'' if number == 1 else 's'}"


def _p99_note(stage: StageEntry) -> str:
    if stage.p99_ms is None:
        return "no samples"
    if stage.reliable(99):
        return f"p99, from {count(stage.count)} frames"
    return f"p99, not reliable: {count(stage.count)} frames, needs {minimum_samples(99)}"


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
