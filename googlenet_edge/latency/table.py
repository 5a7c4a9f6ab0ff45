"""The statistics of a run as a table for the terminal, in milliseconds."""

from __future__ import annotations

from rich.table import Table

from googlenet_edge.latency.histogram import RELATIVE_ERROR
from googlenet_edge.latency.stages import (
    DEVICE_STAGE_IN_SHORT,
    DEVICE_STAGE_PREFIX,
    POSTPROCESS,
    POSTPROCESS_DEFINITION,
    STAGES,
    WAIT,
    WAIT_IN_SHORT,
)
from googlenet_edge.latency.summary import PERCENTILES, LatencySummary, StageStatistics, minimum_samples
from googlenet_edge.plain import counted

__all__ = ["latency_notes", "latency_table", "stage_lines"]

_UNRELIABLE = "?"
_TITLES = {stage.name: stage.title for stage in STAGES}


def latency_table(summary: LatencySummary) -> Table:
    """Return one row a stage: percentiles, maximum with the frame and the time it happened at, and mean.

    A percentile from too few samples is marked with "?"; :func:`latency_notes` explains the mark.
    """
    # No lines and little space between columns: it must fit 80 characters.
    table = Table(title="latency in ms", title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for percent in PERCENTILES:
        table.add_column(f"p{percent}", justify="right", no_wrap=True)
    table.add_column("max", justify="right", no_wrap=True)
    table.add_column("max at", justify="right", no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    for stage in summary.stages:
        percentiles = {
            p.percent: _number(p.duration_ns) + ("" if p.reliable else _UNRELIABLE) for p in stage.percentiles
        }
        table.add_row(
            _TITLES.get(stage.name, stage.name),
            *(percentiles.get(percent, "-") for percent in PERCENTILES),
            _number(stage.maximum.duration_ns),
            f"#{stage.maximum.sequence}, {stage.maximum.at_ns / 1e9:.1f} s",
            _number(stage.mean_ns),
        )
    return table


def latency_notes(summary: LatencySummary) -> list[str]:
    """Return the sentences that belong under the table: counts, warm-up, and what its marks mean."""
    notes = []
    rate = "" if summary.fps is None else f", {summary.fps:.1f} frames/s"
    notes.append(
        f"{counted(summary.count, 'frame')} measured{rate}, {summary.dropped} dropped{_dropped_early(summary)}"
    )
    warmup = summary.warmup
    if warmup.frames:
        notes.append(
            f"warm-up, not measured: {counted(warmup.frames, 'frame')} in {_number(warmup.duration_ns)} ms, "
            f"the first in {_number(warmup.first_frame_ns)} ms"
        )
    elif summary.count:
        notes.append(f"no warm-up; the first frame took {_number(warmup.first_frame_ns)} ms and is measured")
    if warmup.frames and not summary.count:
        notes.append(
            "every frame was a warm-up frame, so there are no statistics; --warmup 0 measures from the first one"
        )
    lacking = [percent for percent in PERCENTILES if any(_is_unreliable(stage, percent) for stage in summary.stages)]
    if lacking:
        needed = ", ".join(f"p{percent} from {minimum_samples(percent)}" for percent in lacking)
        notes.append(f"{_UNRELIABLE} = too few frames to rely on (reliable at 99 % confidence: {needed} frames)")
    if not summary.exact:
        notes.append(
            f"percentiles from a histogram of all {summary.count} frames: at most {100 * RELATIVE_ERROR:.2g} % too "
            "high; count, max and mean are exact"
        )
    return notes


def stage_lines(summary: LatencySummary) -> list[str]:
    """Return a line for each stage in the table: what it contains. Those that nobody defined have none."""
    defined = {WAIT: WAIT_IN_SHORT, POSTPROCESS: POSTPROCESS_DEFINITION}
    defined |= {stage.name: stage.in_short for stage in STAGES}
    lines = []
    for stage in summary.stages:
        device = DEVICE_STAGE_IN_SHORT if stage.name.startswith(DEVICE_STAGE_PREFIX) else None
        if contains := defined.get(stage.name, device):
            lines.append(f"{_TITLES.get(stage.name, stage.name)} = {contains}")
    return lines


def _is_unreliable(stage: StageStatistics, percent: int) -> bool:
    return any(p.percent == percent and not p.reliable for p in stage.percentiles)


def _dropped_early(summary: LatencySummary) -> str:
    return f" ({summary.dropped_in_warmup} of them during warm-up)" if summary.dropped_in_warmup else ""


def _number(duration_ns: float) -> str:
    milliseconds = duration_ns / 1e6
    return f"{milliseconds:.2f}" if abs(milliseconds) < 100 else f"{milliseconds:.0f}"
