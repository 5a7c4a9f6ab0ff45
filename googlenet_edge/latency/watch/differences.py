"""What changed in a machine between two states: before and after a run, or before each of two runs.

What a machine *is* (:class:`~googlenet_edge.latency.machine.MachineInfo`) is no part of its state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from googlenet_edge.latency.watch.sensors.cpu import Core
from googlenet_edge.latency.watch.state import MachineState

__all__ = ["CLOCK_SHARE", "HEAT_C", "Difference", "differences", "in_short"]

CLOCK_SHARE = 0.05
"""Present clocks that differ by a larger share are a difference; less is the governor at work."""
HEAT_C = 5.0
"""Temperatures that differ by more are a difference."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was."""

    kind: Literal["machine", "setting", "throttled", "drift"]
    """"machine": it has other GPUs; "setting": someone changed it; "throttled": it was slowed down in between; "drift":
    clocks and temperatures, which change by themselves."""
    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} -> {self.after}"


def differences(before: MachineState, after: MachineState) -> tuple[Difference, ...]:
    """Return what differs, the gravest first. Counters of throttling say nothing across a restart."""
    found = [*_machine(before, after), *_settings(before, after)]
    restarted = after.taken_ns < before.taken_ns  # the clock begins with the system
    if not restarted and not any(one.kind == "machine" for one in found):
        found += _throttled(before, after)
    return (*found, *_drift(before, after))


def in_short(values: list[float]) -> str:
    """Return clocks in MHz as "1510" where they are alike, or "729 to 1510"."""
    if not values:
        return "?"
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


def _machine(before: MachineState, after: MachineState) -> Iterator[Difference]:
    old, new = _gpu_names(before), _gpu_names(after)
    if old != new:
        yield Difference("machine", "GPU", old or "none", new or "none")


def _settings(before: MachineState, after: MachineState) -> Iterator[Difference]:
    pairs: list[tuple[str, str, str]] = [
        ("power mode", before.power_mode or "none", after.power_mode or "none"),
        ("jetson_clocks", before.jetson_clocks or "unknown", after.jetson_clocks or "unknown"),
        ("CPU governor", _governors(before), _governors(after)),
        ("CPU clock range in MHz", _range(before.cores), _range(after.cores)),
        ("turbo", _yes(before.turbo), _yes(after.turbo)),
        ("cores online", str(len(before.cores)), str(len(after.cores))),
        ("usable cores", str(before.usable_cores), str(after.usable_cores)),
        ("CPU limit in cores", _limit(before), _limit(after)),
    ]
    for old, new in zip(before.gpus, after.gpus, strict=False):
        if old.name == new.name:
            pairs.append((f"{new.name} clock range in MHz", _gpu_range(before, old.name), _gpu_range(after, new.name)))
            pairs.append((f"{new.name} power limit in W", _whole(old.power_limit_w), _whole(new.power_limit_w)))
    for what, was, is_now in pairs:
        if was != is_now:
            yield Difference("setting", what, was, is_now)


def _throttled(before: MachineState, after: MachineState) -> Iterator[Difference]:
    for cause, count in after.throttle_counts.items():
        earlier = before.throttle_counts.get(cause, 0)
        if count > earlier:
            yield Difference("throttled", cause, f"{earlier} times", f"{count} times")
    for cause in after.throttling:
        if cause not in before.throttling:
            yield Difference("throttled", cause, "no", "yes")


def _drift(before: MachineState, after: MachineState) -> Iterator[Difference]:
    now = {core.number: core for core in after.cores}
    shifts = [
        (core.current_mhz, later)
        for core in before.cores
        if core.current_mhz and core.number in now and (later := now[core.number].current_mhz) is not None
    ]
    if any(abs(new - old) > CLOCK_SHARE * old for old, new in shifts):
        old_clocks, new_clocks = [old for old, _ in shifts], [new for _, new in shifts]
        yield Difference("drift", "CPU clocks in MHz", in_short(old_clocks), in_short(new_clocks))
    for gpu, later_gpu in zip(before.gpus, after.gpus, strict=False):
        old_mhz, new_mhz = gpu.current_mhz, later_gpu.current_mhz
        if gpu.name != later_gpu.name or old_mhz is None or new_mhz is None:
            continue
        if abs(new_mhz - old_mhz) > CLOCK_SHARE * max(old_mhz, 1.0):
            yield Difference("drift", f"{gpu.name} clock in MHz", f"{old_mhz:.0f}", f"{new_mhz:.0f}")
    heat = _temperatures(after)
    for name, celsius in _temperatures(before).items():
        if name in heat and abs(heat[name] - celsius) > HEAT_C:
            yield Difference("drift", f"{name} in °C", f"{celsius:.1f}", f"{heat[name]:.1f}")


def _temperatures(state: MachineState) -> dict[str, float]:
    heat = {gpu.name: gpu.celsius for gpu in state.gpus if gpu.celsius is not None}
    return heat | {zone.name: zone.celsius for zone in state.zones if zone.celsius is not None}


def _gpu_names(state: MachineState) -> str:
    return ", ".join(gpu.name for gpu in state.gpus)


def _governors(state: MachineState) -> str:
    return ", ".join(sorted({core.governor for core in state.cores if core.governor})) or "unknown"


def _range(cores: tuple[Core, ...]) -> str:
    lowest = [core.lowest_mhz for core in cores if core.lowest_mhz is not None]
    highest = [core.highest_mhz for core in cores if core.highest_mhz is not None]
    return f"{min(lowest):.0f} to {max(highest):.0f}" if lowest and highest else "unknown"


def _gpu_range(state: MachineState, name: str) -> str:
    gpu = next(gpu for gpu in state.gpus if gpu.name == name)
    return f"{_whole(gpu.lowest_mhz)} to {_whole(gpu.highest_mhz)}"


def _limit(state: MachineState) -> str:
    return "none" if state.cpu_limit is None else f"{state.cpu_limit.cores:g}"


def _whole(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"


def _yes(value: bool | None) -> str:  # noqa: FBT001
    return "unknown" if value is None else "on" if value else "off"
