"""What the machine's watch saw of a cell: energy a frame, and what slowed the machine down while it was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from googlenet_edge.latency.watch.energy import Energy
from googlenet_edge.latency.watch.timeline import Episode
from googlenet_edge.scenarios.matrix.cell import Cell

__all__ = ["CellMachine", "cell_machine"]


@dataclass(frozen=True)
class CellMachine:
    """The machine during the measured batches of a cell."""

    joules_per_frame: float | None = None
    """None where no power is known for all of its rounds."""
    throttled: tuple[str, ...] = ()
    """Causes."""


def cell_machine(cell: Cell, energy: Callable[[int, int], Energy], episodes: Sequence[Episode]) -> CellMachine:
    """Return what is known of a cell. ``energy`` is asked for stretches of time, from and to, in nanoseconds."""
    stretches = [(one.started_ns, one.ended_ns) for one in cell.rounds]
    joules = [energy(*stretch).joules for stretch in stretches]
    known = [one for one in joules if one is not None]
    frames = cell.batches * cell.setting.batch
    causes = [
        episode.cause
        for episode in episodes
        if any(episode.started_ns < ended_ns and started_ns < episode.ended_ns for started_ns, ended_ns in stretches)
    ]
    per_frame = sum(known) / frames if frames and len(known) == len(joules) else None
    return CellMachine(per_frame, tuple(dict.fromkeys(causes)))
