"""Energy counters of x86 processors: RAPL ("running average power limit") through the kernel's powercap.

Source: https://docs.kernel.org/power/powercap/powercap.html: ``energy_uj`` is a counter in microjoules that starts
again at 0 after ``max_energy_range_uj``. Zones ``intel-rapl:N`` (AMD's too) are packages, or the whole platform
("psys"); ``intel-rapl:N:M`` are parts: core, uncore, dram. The same packages under ``intel-rapl-mmio`` are left out.
Since 2020 only root may read the counters, because they let other processes be spied on (CVE-2020-8694).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from googlenet_edge.latency.watch.sensors.files import OpenFile, in_order, read_int, read_text
from googlenet_edge.latency.watch.sensors.rail import Meter, Rail, Unreadable

__all__ = ["RaplMeter", "open_rapl"]

_POWERCAP = "sys/class/powercap"
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
_COVERS = {
    "package": "processor package: cores, caches, graphics inside it; without RAM",
    "dram": "RAM",
    "core": "cores alone",
    "uncore": "graphics inside the processor",
    "psys": "whole platform, as far as the firmware measures it",
}


class RaplMeter:
    """Reads the counters; see :class:`~googlenet_edge.latency.watch.sensors.rail.Meter`."""

    def __init__(self, zones: Sequence[Path]) -> None:
        names = [read_text(zone / "name") or zone.name for zone in zones]
        self.rails: Sequence[Rail] = [
            _rail(_full_name(zone, name, zones), name, zone) for zone, name in zip(zones, names, strict=True)
        ]
        self._files = [OpenFile(zone / "energy_uj") for zone in zones]

    def read(self) -> list[int | None]:
        """Return the counters in microjoules."""
        return [file.read_int() for file in self._files]

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()


def open_rapl(root: Path) -> Meter | Unreadable:
    """Return the processor's energy counters, or why there are none."""
    zones = [zone for zone in in_order((root / _POWERCAP).glob("intel-rapl*")) if _ZONE.fullmatch(zone.name)]
    if not zones:
        return Unreadable("rapl", "no energy counters under /sys/class/powercap: virtual machines lack them")
    readable = [zone for zone in zones if read_int(zone / "energy_uj") is not None]
    if not readable:
        return Unreadable(
            "rapl",
            "permission denied: only root may read the processor's energy counters; run as root, or allow it: "
            "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj (until the next start)"
            if any(_denied(zone / "energy_uj") for zone in zones)
            else "the processor's energy counters are there, but cannot be read: containers hide them",
        )
    return RaplMeter(readable)


def _rail(full_name: str, name: str, zone: Path) -> Rail:
    kind = name.partition("-")[0]
    wraps = read_int(zone / "max_energy_range_uj")
    return Rail(
        name=full_name,
        meter="rapl",
        kind="energy",
        covers=_COVERS.get(kind, "part of the processor"),
        counted=kind in ("package", "dram"),
        wraps_at_uj=wraps if wraps and wraps > 0 else None,
    )


def _full_name(zone: Path, name: str, zones: Sequence[Path]) -> str:
    """Name a part after its package where there are several: "package-1 dram"."""
    parent = zone.name.rpartition(":")[0]
    if parent.count(":") < 1:
        return name
    package = next((read_text(other / "name") for other in zones if other.name == parent), None)
    return name if package is None else f"{package} {name}"


def _denied(path: Path) -> bool:
    try:
        with path.open():
            return False
    except PermissionError:
        return True
    except OSError:
        return False
