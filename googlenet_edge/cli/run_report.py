"""What ``googlenet-edge run`` says at the end: on the terminal and in the report file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from googlenet_edge import __version__
from googlenet_edge.cli.streams import discard
from googlenet_edge.errors import OutputError
from googlenet_edge.latency.machine import MachineInfo
from googlenet_edge.latency.report import RunFacts
from googlenet_edge.latency.table import latency_notes, latency_table

if TYPE_CHECKING:
    from googlenet_edge.capture.source import Source
    from googlenet_edge.stream import Accuracy, StreamConfig, StreamReport

__all__ = ["print_line", "print_report", "run_facts"]


def run_facts(
    report: StreamReport, source: Source, classifier: Mapping[str, str], config: StreamConfig, machine: MachineInfo
) -> RunFacts:
    """Return what the report file says besides the statistics; ``classifier`` is what it says of itself."""
    region = config.region
    return RunFacts(
        machine=machine,
        source={
            "description": source.description,
            "live": source.live,
            "dropped": source.dropped,
            "skipped": getattr(source, "skipped", 0),  # images that could not be read
        },
        captured=report.captured,
        classifier=classifier,
        accuracy=_accuracy_facts(report.accuracy),
        run={
            "version": __version__,
            "ended_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "ended": report.ended,
            "error": None if report.error is None else str(report.error),
            "frames": report.frames,
            "warmup_frames": config.warmup_frames,
            "max_frames": config.max_frames,
            "max_duration_s": config.max_duration_s,
            "top_k": config.top_k,
            "region_px": None if region is None else [region.x_px, region.y_px, region.width_px, region.height_px],
        },
    )


def print_line(line: str, stream: TextIO) -> None:
    """Print a line before the run, which shall not begin if nothing can be printed. Raises :class:`OutputError`."""
    try:
        print(line, file=stream, flush=True)
    except OSError as error:
        discard(stream)
        raise OutputError(
            f"cannot print what computes: {error.strerror}; use --quiet where nobody reads the output"
        ) from error


def print_report(report: StreamReport, source: Source, machine: MachineInfo, stream: TextIO) -> None:
    """Print how the run ended, accuracy, the latency table and its notes. Raises :class:`OutputError`."""
    console = Console(file=stream, highlight=False, soft_wrap=True)
    try:
        console.print(f"\n{source.description}: {report.ended} after {report.frames} frames", markup=False)
        accuracy = _accuracy_line(report.accuracy)
        if accuracy:
            console.print(accuracy, markup=False)
        if report.latency.stages:
            console.print(latency_table(report.latency))
        for note in latency_notes(report.latency):
            console.print(note, markup=False)
        if report.latency.stages:
            console.print(f"captured = {report.captured}", markup=False)
        load = machine.load_average[0] if machine.load_average else 0.0
        if load > machine.usable_cores:
            console.print(
                f"the machine was busy before the run (load {load:.1f} on {machine.usable_cores} cores), so these "
                "latencies are longer than it can do",
                markup=False,
            )
        stream.flush()
    except OSError as error:
        discard(stream)
        raise OutputError(
            f"cannot print the latency table: {error.strerror}; use --report FILE where nobody reads the output"
        ) from error


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
