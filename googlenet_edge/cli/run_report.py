"""What ``googlenet-edge run`` says at the end: on the terminal and in the report file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from googlenet_edge.cli.run_settings import RunSettings, settings_facts
from googlenet_edge.cli.streams import discard
from googlenet_edge.errors import OutputError
from googlenet_edge.latency.cameras import (
    FAIRNESS_DEFINITION,
    CameraFigures,
    camera_document,
    cameras_table,
    fairness,
    fairness_document,
)
from googlenet_edge.latency.report import RunFacts
from googlenet_edge.latency.table import latency_notes, latency_table, stage_lines
from googlenet_edge.plain import counted

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source
    from googlenet_edge.cli.machine_watch import Watched
    from googlenet_edge.stream import Accuracy, StreamReport

__all__ = ["camera_figures", "print_line", "print_report", "run_facts"]

_WIDTH = 1000


def camera_figures(report: StreamReport, sources: Sequence[Source]) -> tuple[CameraFigures, ...]:
    """Return what a run says of each camera; ``sources`` are in the order of the report's cameras."""
    return tuple(
        CameraFigures(
            name=camera.name,
            description=camera.description,
            live=camera.live,
            captured=camera.captured,
            frames=camera.frames,
            unfinished=camera.unfinished,
            summary=camera.latency,
            outages=camera.outages,
            ended=camera.ended,
            error=None if camera.error is None else str(camera.error),
            more={
                "accuracy": _accuracy_facts(camera.accuracy),
                "skipped": getattr(source, "skipped", 0),  # images that could not be read
            },
        )
        for camera, source in zip(report.cameras, sources, strict=True)
    )


def run_facts(
    report: StreamReport,
    cameras: Sequence[CameraFigures],
    classifier: Mapping[str, str],
    settings: RunSettings,
    watched: Watched,
    sinks: Sequence[Mapping[str, object]] = (),
) -> RunFacts:
    """Return what the report file says besides the statistics; ``classifier`` is what it says of itself."""
    return RunFacts(
        machine=watched.machine,
        source={
            "description": _described(cameras),
            "live": any(camera.live for camera in cameras),
            "dropped": report.latency.dropped,
            "skipped": sum(skipped for camera in cameras if isinstance(skipped := camera.more.get("skipped"), int)),
        },
        captured=report.captured,
        classifier=classifier,
        accuracy=_accuracy_facts(report.accuracy),
        run={
            "ended_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "ended": report.ended,
            "error": None if report.error is None else str(report.error),
            "frames": report.frames,
            "batches": {str(frames): batches for frames, batches in report.batches},
            **settings_facts(settings),
        },
        cameras=[camera_document(camera) for camera in cameras],
        fairness=fairness_document(cameras),
        sinks=sinks,
        events=_events(report),
        watched=watched.document,
    )


def _events(report: StreamReport) -> list[dict[str, object]]:
    return [
        {
            "kind": "lost",
            "from_s": round(from_ns / 1e9, 3),
            "to_s": round(to_ns / 1e9, 3),
            "text": "no frames from the source" if camera.name is None else f"no frames from {camera.name}",
            "camera": camera.name,
        }
        for camera in report.cameras
        for from_ns, to_ns in camera.absences_ns
    ]


def print_line(line: str, stream: TextIO) -> None:
    """Print a line before the run, which shall not begin if nothing can be printed. Raises :class:`OutputError`."""
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        discard(stream)
        raise OutputError(
            f"cannot print what computes: {error.strerror}; use --quiet where nobody reads the output"
        ) from error


def print_report(
    report: StreamReport,
    cameras: Sequence[CameraFigures],
    machine: Sequence[str],
    sinks: Sequence[Mapping[str, object]],
    stream: TextIO,
) -> None:
    """Print how the run ended, accuracy, the cameras, the latency table and its notes. Raises :class:`OutputError`.

    ``machine``: what is to be said of it.
    """
    # Wider than any table: rich would cut figures off at a narrow terminal's edge, where the terminal breaks the line.
    console = Console(file=stream, highlight=False, soft_wrap=True, width=_WIDTH)
    try:
        what = _described(cameras) if len(cameras) == 1 else f"{len(cameras)} sources"
        console.print(f"\n{what}: {report.ended} after {counted(report.frames, 'frame')}", markup=False)
        accuracy = _accuracy_line(report.accuracy)
        if accuracy:
            console.print(accuracy, markup=False)
        _print_cameras(console, cameras)
        if len(cameras) > 1 and report.batches:
            batches = ", ".join(f"{frames} x {batches}" for frames, batches in report.batches)
            console.print(f"computed together, frames x times: {batches}", markup=False)
        if report.latency.stages:
            console.print(latency_table(report.latency))
        for note in latency_notes(report.latency):
            console.print(note, markup=False)
        for line in stage_lines(report.latency):
            console.print(line, markup=False)
        if report.latency.stages:
            for definition in dict.fromkeys(camera.captured for camera in cameras):
                names = ", ".join(camera.name or "" for camera in cameras if camera.captured == definition)
                of = f" ({names})" if len({camera.captured for camera in cameras}) > 1 else ""
                console.print(f"captured{of} = {definition}", markup=False)
        for line in (*_sink_lines(sinks), *machine):
            console.print(line, markup=False)
        stream.flush()
    except OSError as error:
        discard(stream)
        raise OutputError(
            f"cannot print the latency table: {error.strerror}; use --report FILE where nobody reads the output"
        ) from error


def _print_cameras(console: Console, cameras: Sequence[CameraFigures]) -> None:
    if len(cameras) > 1:
        for camera in cameras:
            console.print(f"{camera.name} = {camera.description}", markup=False)
        console.print(cameras_table(cameras))
        fair = fairness(cameras)
        if fair is not None:
            console.print(f"fairness {fair:.3f} = {FAIRNESS_DEFINITION}", markup=False)
    for camera in cameras:
        outages, name = camera.outages, camera.name or "source"
        if outages.lost:
            console.print(
                f"{name}: lost {_times(outages.lost)}, back {_times(outages.reconnected)}, "
                f"attempts: {outages.attempts}, {outages.down_ns / 1e9:.1f} s without it",
                markup=False,
            )
        if len({each.ended for each in cameras}) > 1:
            console.print(f"{name} ended: {camera.ended}", markup=False)


def _times(number: object) -> str:
    return "once" if number == 1 else f"{number} times"


def _sink_lines(sinks: Sequence[Mapping[str, object]]) -> list[str]:
    return [
        f"{sink['sink']}: failed {_times(sink['failures'])}, {sink['dropped']} results dropped; the last error: "
        f"{sink['last_error']}"
        for sink in sinks
        if sink["failures"]
    ]


def _described(cameras: Sequence[CameraFigures]) -> str:
    return "; ".join(
        camera.description if camera.name is None else f"{camera.name} = {camera.description}" for camera in cameras
    )


def _accuracy_line(accuracy: Accuracy) -> str | None:
    if accuracy.unavailable is not None:
        return f"no accuracy: {accuracy.unavailable}"
    if accuracy.top1 is None:
        return None
    return f"top-1 accuracy: {100 * accuracy.top1:.2f} % ({accuracy.correct} of {accuracy.frames_with_truth} frames)"


def _accuracy_facts(accuracy: Accuracy) -> dict[str, object]:
    return {
        "frames_with_truth": accuracy.frames_with_truth,
        "correct": accuracy.correct if accuracy.unavailable is None else None,
        "top1_percent": None if accuracy.top1 is None else round(100 * accuracy.top1, 4),
        "compared_by": accuracy.compared_by,
        "unavailable": accuracy.unavailable,
    }
