"""The state of a machine at one moment: what its latency depends on besides the program, and can change.

Taken before and after a run and put beside its figures; :mod:`~googlenet_edge.latency.watch.differences` says what
changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.sensors import cpu, jetson, thermal
from googlenet_edge.latency.watch.sensors.cpu import Core, CpuLimit
from googlenet_edge.latency.watch.sensors.gpu import Gpu
from googlenet_edge.latency.watch.sensors.jetson import JetsonClocks
from googlenet_edge.latency.watch.sensors.nvml import Nvml
from googlenet_edge.latency.watch.sensors.thermal import CoolingDevice, Zone
from googlenet_edge.types import Clock

__all__ = ["MachineState", "concerns", "machine_state"]

_BUSY = 0.25
"""Load before a run, a core, that is worth a word."""
_FAST_GOVERNORS = ("performance", "userspace")


@dataclass(frozen=True)
class MachineState:
    """A machine at one moment. What cannot be read is None, or missing from its list."""

    taken_ns: int
    """When, by the host's monotonic clock."""
    usable_cores: int
    """Logical cores that this process may run on."""
    load_average: tuple[float, float, float] | None = None
    """Over 1, 5 and 15 minutes."""
    cores: tuple[Core, ...] = ()
    """Those that are online."""
    turbo: bool | None = None
    """Whether cores may run above their base clock."""
    cpu_limit: CpuLimit | None = None
    """How much processor time a container allows; None: no limit."""
    gpus: tuple[Gpu, ...] = ()
    power_mode: str | None = None
    """Of a Jetson: nvpmodel's name and number, for example "MAXN_SUPER (2)"."""
    jetson_clocks: JetsonClocks | None = None
    """Of a Jetson: whether clocks are locked."""
    zones: tuple[Zone, ...] = ()
    cooling: tuple[CoolingDevice, ...] = ()
    throttle_counts: dict[str, int] = field(default_factory=dict)
    """How often the machine was throttled since it was started, by the cause."""

    @property
    def throttling(self) -> tuple[str, ...]:
        """What slows the machine down now."""
        heat = [f"heat: {device.name}" for device in self.cooling if device.throttling]
        return tuple(dict.fromkeys(heat + [f"GPU: {cause}" for gpu in self.gpus for cause in gpu.throttles]))

    @property
    def hottest(self) -> Zone | None:
        """The sensor that reads highest."""
        read = [zone for zone in self.zones if zone.celsius is not None]
        return max(read, key=lambda zone: zone.celsius or 0.0, default=None)

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        document: dict[str, object] = msgspec.to_builtins(self)
        return document

    @staticmethod
    def from_dict(document: Mapping[str, object]) -> MachineState:
        """Return what :meth:`to_dict` gave. Raises :class:`InputError` for anything else."""
        try:
            return msgspec.convert(dict(document), MachineState)
        except (msgspec.ValidationError, TypeError) as error:
            raise InputError(
                f"machine state: {error}; expected what MachineState.to_dict() gives, as a report has it"
            ) from error


def machine_state(
    root: Path = Path("/"), *, nvml: Nvml | None = None, clock: Clock = time.monotonic_ns
) -> MachineState:
    """Look at the machine. ``root`` is where /proc and /sys are; NVIDIA's library is asked where one is given.

    On a Jetson this runs ``nvpmodel -q``, which takes a few hundredths of a second; it is no call for a hot loop.
    """
    cores = cpu.read_cores(root)
    integrated = jetson.read_gpus(root)
    on_jetson = jetson.is_jetson(root)
    return MachineState(
        taken_ns=clock(),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_average=_load_average(),
        cores=cores,
        turbo=cpu.read_turbo(root),
        cpu_limit=cpu.read_limit(root),
        gpus=integrated + (() if nvml is None else nvml.gpus()),
        power_mode=jetson.power_mode(root) if on_jetson else None,
        jetson_clocks=jetson.jetson_clocks(cores, integrated) if on_jetson else None,
        zones=thermal.read_zones(root),
        cooling=thermal.read_cooling(root),
        throttle_counts={**cpu.cpu_counters(root), **jetson.overcurrents(root)},
    )


def concerns(before: MachineState) -> list[str]:
    """Return what makes a measurement on a machine in this state doubtful, each with a remedy; none: an empty list."""
    found = [f"the machine is slowed down before the run ({cause})" for cause in before.throttling]
    governors = {core.governor for core in before.cores if core.governor is not None}
    slow = sorted(governors.difference(_FAST_GOVERNORS))
    if before.jetson_clocks in ("off", "partly"):
        found.append("clocks are not locked and follow the load: sudo jetson_clocks locks them until the next start")
    elif slow and before.jetson_clocks is None:
        found.append(
            f"CPU governor {', '.join(slow)}: clocks follow the load; "
            "for steady figures: sudo cpupower frequency-set -g performance"
        )
    if before.cpu_limit is not None and before.cpu_limit.cores < before.usable_cores:
        found.append(
            f"a control group allows {before.cpu_limit.cores:g} cores' time, and {before.usable_cores} may be used: "
            "threads are stopped for the rest of each period; give no more threads than that, or raise the limit"
        )
    load, cores = before.load_average, len(before.cores) or before.usable_cores
    if load is not None and load[0] > _BUSY * cores:
        found.append(f"the machine was busy in the minute before the run: load {load[0]:.1f} on {cores} cores")
    hot = before.hottest
    if hot is not None and hot.celsius is not None and hot.slows_down_at_c and hot.celsius > hot.slows_down_at_c - 5:
        found.append(f"{hot.name} has {hot.celsius:.0f} °C, and is slowed down from {hot.slows_down_at_c:.0f} °C")
    return found


def _load_average() -> tuple[float, float, float] | None:
    try:
        return os.getloadavg()
    except (OSError, AttributeError):
        return None
