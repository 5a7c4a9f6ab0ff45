"""A machine's state before and after a run, and the energy it used, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from googlenet_edge.latency.watch.differences import differences, in_short
from googlenet_edge.latency.watch.energy import Energy, per_frame
from googlenet_edge.latency.watch.sampler import SamplerRecord
from googlenet_edge.latency.watch.sensors.rail import Unreadable
from googlenet_edge.latency.watch.state import MachineState

__all__ = ["energy_notes", "energy_table", "sampler_notes", "state_notes", "state_table"]

_MOST_NOTES = 8
_UNKNOWN = "-"


def state_table(before: MachineState, after: MachineState) -> Table:
    """Return one row for each thing that is known, before and after the run."""
    table = _table("machine", "before", "after")
    rows_after = dict(_rows(after))
    rows_before = dict(_rows(before))
    for what in [*rows_before, *(what for what in rows_after if what not in rows_before)]:
        cells = (what, rows_before.get(what, _UNKNOWN), rows_after.get(what, _UNKNOWN))
        table.add_row(*(escape(cell) for cell in cells))
    return table


def state_notes(before: MachineState, after: MachineState) -> list[str]:
    """Return the sentences that belong under the table: what changed that should not have."""
    found = [one for one in differences(before, after) if one.kind != "drift"]
    notes = {
        "machine": "another machine: {}",
        "setting": "changed during the run: {}",
        "throttled": "slowed down during the run: {}",
    }
    return _few([notes[one.kind].format(one) for one in found])


def sampler_notes(record: SamplerRecord) -> list[str]:
    """Return one sentence for each thing that slowed the machine down, with when and how long."""
    by_cause: dict[str, list[str]] = {}
    for episode in record.episodes:
        first, last = (max(0, at_ns - record.started_ns) / 1e9 for at_ns in (episode.started_ns, episode.ended_ns))
        by_cause.setdefault(episode.cause, []).append(f"{first:.0f} to {last:.0f} s")
    notes = [
        f"slowed down by {cause}: {', '.join(times[:3])}{f' and {len(times) - 3} times more' if len(times) > 3 else ''}"
        for cause, times in by_cause.items()
    ]
    if record.error is not None:
        notes.append(f"the machine was not watched to the end: {record.error}")
    return _few(notes)


def energy_table(energy: Energy) -> Table:
    """Return one row a rail: mean power, energy, and what it includes; those in the total are marked with "+"."""
    table = _table("power", "mean W", "J", "", "includes")
    for one in energy.rails:
        table.add_row(
            escape(one.rail.name),
            _UNKNOWN if one.watts is None else f"{one.watts:.2f}",
            _UNKNOWN if one.joules is None else f"{one.joules:.1f}",
            "+" if one.rail.counted else "",
            one.rail.covers,
        )
    return table


def energy_notes(
    energy: Energy, frames: int, unreadable: Sequence[Unreadable] = (), *, idle_watts: float | None = None
) -> list[str]:
    """Return the sentences about energy: joules per frame and what they include, or why there are none."""
    notes = []
    joules = per_frame(energy, frames)
    if joules is not None:
        notes.append(f"{joules:.3f} J per frame, of {frames} frames in {energy.seconds:.1f} s: {_parts(energy)}")
        added = per_frame(energy, frames, idle_watts=idle_watts) if idle_watts is not None else None
        if added is not None:
            notes.append(f"of it {added:.3f} J more than the {idle_watts:.2f} W that the machine used before the run")
    elif energy.joules is None:
        notes.append("no power is known: no meter of this machine gave enough readings")
    return notes + [f"not measured: {one}" for one in unreadable]


def _parts(energy: Energy) -> str:
    meters = {one.rail.name: one.rail for one in energy.rails}
    return " + ".join(f"{name} ({meters[name].covers})" for name in energy.included)


def _rows(state: MachineState) -> Iterator[tuple[str, str]]:
    clocks = [core.current_mhz for core in state.cores if core.current_mhz is not None]
    limits = [core.highest_mhz for core in state.cores if core.highest_mhz is not None]
    if state.power_mode is not None:
        yield "power mode", state.power_mode
    if state.jetson_clocks is not None:
        yield "jetson_clocks", state.jetson_clocks
    if clocks:
        most = f" of at most {in_short(limits)}" if limits else ""
        yield "CPU clocks, MHz", f"{in_short(clocks)}{most}"
    governors = sorted({core.governor for core in state.cores if core.governor})
    if governors:
        yield "CPU governor", ", ".join(governors)
    if state.turbo is not None:
        yield "turbo", "on" if state.turbo else "off"
    if state.cpu_limit is not None:
        yield "CPU limit, cores", f"{state.cpu_limit.cores:g}"
    for gpu in state.gpus:
        if gpu.current_mhz is not None:
            most = "" if gpu.highest_mhz is None else f" of at most {gpu.highest_mhz:.0f}"
            yield f"{gpu.name}, MHz", f"{gpu.current_mhz:.0f}{most}"
        if gpu.celsius is not None:
            yield f"{gpu.name}, °C", f"{gpu.celsius:.0f}"
    for zone in state.zones:
        if zone.celsius is not None:
            slows = "" if zone.slows_down_at_c is None else f" (slows down at {zone.slows_down_at_c:.0f})"
            yield f"{zone.name}, °C", f"{zone.celsius:.1f}{slows}"
    load = state.machine.load_average
    if load is not None:
        yield "load, 1 minute", f"{load[0]:.2f} on {state.machine.cores} cores"
    yield "slowed down by", ", ".join(state.throttling) or "nothing"


def _table(title: str, *headings: str) -> Table:
    # No lines and little space between columns: it must fit 80 characters.
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("", overflow="fold")
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in ("mean W", "J") else "left")
    return table


def _few(notes: list[str]) -> list[str]:
    if len(notes) <= _MOST_NOTES:
        return notes
    return [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} more of the kind"]
