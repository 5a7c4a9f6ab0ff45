"""The machine during a run in a few lines for the terminal, from what its report says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from googlenet_edge.errors import InputError
from googlenet_edge.latency.machine_format import EnergyEntry, StateEntry, WatchEntry
from googlenet_edge.latency.watch.differences import in_short
from googlenet_edge.latency.watch.state import MachineState

__all__ = ["machine_lines"]

_MOST_LINES = 8
_MOST_TIMES = 3
_CHANGED = {"machine": "another machine: ", "setting": "changed during the run: ", "throttled": "slowed down by "}
"""What differed, by its kind; "drift" is told by no line: clocks and temperatures change by themselves."""


def machine_lines(
    machine: Mapping[str, object], state: StateEntry | None, watch: WatchEntry | None, energy: EnergyEntry | None
) -> list[str]:
    """Return what it was, what is doubtful about it, what changed, what slowed it down, and its power.

    The arguments are sections of the report, None where it lacks one.
    """
    lines = []
    if state is not None and watch is not None:
        lines.append(f"machine: {', '.join(_facts(machine, state))}; {_seen(watch)}")
        lines += [*state.concerns, *_few([*_throttled(watch), *_changed(state, watch)])]
        if watch.error is not None:
            lines.append(f"the machine was not watched to the end: {watch.error}")
    return lines + ([] if energy is None else _power(energy))


def _facts(machine: Mapping[str, object], state: StateEntry) -> list[str]:
    facts = [str(machine.get("board") or machine.get("cpu") or "unknown")]
    try:
        before = MachineState.from_dict(state.before)
    except InputError:  # of another version of this package: the rest can be told
        return facts
    if before.power_mode is not None:
        facts.append(f"power mode {before.power_mode}")
    facts.append(f"{before.usable_cores} of {machine.get('cores', '?')} cores")
    clocks = [core.current_mhz for core in before.cores if core.current_mhz is not None]
    if clocks:
        facts.append(f"{in_short(clocks)} MHz")
    governors = sorted({core.governor for core in before.cores if core.governor})
    if governors:
        facts.append(f"governor {', '.join(governors)}")
    return facts + [gpu.name for gpu in before.gpus if gpu.source == "nvml"]


def _seen(watch: WatchEntry) -> str:
    looks = f"in {watch.looks} look{'' if watch.looks == 1 else 's'}"
    return f"it was slowed down, {looks}" if watch.throttled else f"nothing was seen to slow it down, {looks}"


def _throttled(watch: WatchEntry) -> list[str]:
    """Return a sentence for each cause, with its times from the start of the run."""
    by_cause: dict[str, list[str]] = {}
    for one in watch.throttled:
        first, last = (at_s + watch.started_s for at_s in (one.from_s, one.to_s))
        by_cause.setdefault(one.cause, []).append(f"{first:.0f} to {last:.0f} s")
    return [f"slowed down by {cause}: {_joined(times)}" for cause, times in by_cause.items()]


def _joined(times: Sequence[str]) -> str:
    more = len(times) - _MOST_TIMES
    return ", ".join(times[:_MOST_TIMES]) + (f" and {more} times more" if more > 0 else "")


def _changed(state: StateEntry, watch: WatchEntry) -> list[str]:
    told = {one.cause for one in watch.throttled}
    return [
        f"{_CHANGED[one.kind]}{one.what}: {one.before} -> {one.after}"
        for one in state.differences
        if one.kind in _CHANGED and not (one.kind == "throttled" and one.what in told)
    ]


def _power(energy: EnergyEntry) -> list[str]:
    reasons = "; ".join(f"{one.meter}: {one.reason}" for one in energy.not_measured)
    if energy.joules is None or energy.watts is None:
        return [f"power: not measured ({reasons or 'no meter gave enough readings'})"]
    each = "" if energy.joules_per_frame is None else f", {energy.joules_per_frame:.3f} J per frame"
    lines = [f"power: {energy.watts:.2f} W{each}, over {energy.seconds:.1f} s: {_included(energy)}"]
    if energy.joules_per_frame_above_idle is not None and energy.idle_watts is not None:
        lines.append(
            f"of it {energy.joules_per_frame_above_idle:.3f} J more than the {energy.idle_watts:.2f} W that the "
            "machine used before the run"
        )
    return [*lines, f"power, not measured: {reasons}"] if reasons else lines


def _included(energy: EnergyEntry) -> str:
    covers = {rail.name: rail.covers for rail in energy.rails}
    return " + ".join(f"{name} ({covers[name]})" if covers.get(name) else name for name in energy.included)


def _few(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more of the kind"]
