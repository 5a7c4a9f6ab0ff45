"""The machine beside the figures of ``run`` and ``bench``: its arguments, and what is said of it at the end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from googlenet_edge.cli import run_types

if TYPE_CHECKING:
    from googlenet_edge.latency.machine import MachineInfo
    from googlenet_edge.latency.summary import LatencySummary
    from googlenet_edge.latency.watch.run import RunWatch

__all__ = ["Watched", "add_watch_arguments", "end_watch", "new_watch"]


@dataclass(frozen=True)
class Watched:
    """What was seen of the machine around a run."""

    machine: MachineInfo
    document: Mapping[str, object]
    """``state``, ``watch`` and ``energy`` of the report, JSON values."""
    lines: tuple[str, ...]
    """What the terminal says of it."""

    def with_machine(self) -> dict[str, object]:
        """Return these sections, and ``machine``."""
        return {"machine": self.machine.to_dict(), **self.document}


def add_watch_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the arguments about power; each is None where it was not given."""
    power = parser.add_mutually_exclusive_group()
    power.add_argument(
        "--no-power",
        action="store_true",
        default=None,
        help="read no power meter (default: those that can be read, once a second, for joules per frame)",
    )
    power.add_argument(
        "--idle-power",
        type=run_types.seconds,
        metavar="S",
        help="measure the idle machine's power for S seconds first, so as to tell what the run adds to it "
        "(default: not)",
    )


def new_watch(arguments: argparse.Namespace) -> RunWatch:
    """Return what watches the machine, as the arguments say; not entered yet."""
    from googlenet_edge.latency.watch.run import RunWatch, WatchConfig

    return RunWatch(WatchConfig(power=not arguments.no_power, idle_s=arguments.idle_power or 0.0))


def end_watch(watch: RunWatch, summary: LatencySummary | None = None, *, frames_each: int = 1) -> Watched:
    """End it, and return what it saw.

    ``summary``: of what was measured, whose results have ``frames_each`` frames each; None: nothing is told of energy.
    """
    import msgspec

    from googlenet_edge.latency.machine_format import EnergyEntry, StateEntry, WatchEntry
    from googlenet_edge.latency.machine_lines import machine_lines

    watch.end()
    times = None if summary is None else summary.times
    document = watch.document(times, 0 if times is None else times.frames * frames_each)
    if summary is None:
        del document["energy"]
    lines = machine_lines(
        watch.machine.to_dict(),
        msgspec.convert(document["state"], StateEntry),
        msgspec.convert(document["watch"], WatchEntry),
        msgspec.convert(document.get("energy"), EnergyEntry | None),
    )
    return Watched(watch.machine, document, tuple(lines))
