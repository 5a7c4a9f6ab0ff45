"""Temperatures, and what the kernel does against heat.

Source: the kernel's thermal sysfs, https://docs.kernel.org/driver-api/thermal/sysfs-api.html: a zone's ``temp`` and
``trip_point_N_temp`` are in millidegrees Celsius; ``cdevN`` links to a cooling device that acts from the trip point
``cdevN_trip_point`` on; a cooling device does nothing in state 0, and most in ``max_state``.

A fan is a cooling device too, and a Jetson's "hot-surface-alert" only warns: neither slows anything down. So a cooling
device counts as throttling by its type: clocks that are capped (``cpufreq-cpu0``, ``thermal-devfreq-0``,
``devfreq-17000000.gpu``, ACPI's ``Processor``), cores that are made idle (``intel_powerclamp``), and the alerts that
NVIDIA's boards raise with it (``cpu-throttle-alert``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.latency.watch.sensors.files import OpenFile, in_order, read_int, read_text
from googlenet_edge.latency.watch.sensors.rail import Channel, Look

__all__ = ["CoolingDevice", "ThermalProbe", "Zone", "read_cooling", "read_zones"]

_THERMAL = "sys/class/thermal"
_SLOWS_DOWN = re.compile(
    r"(thermal-)?(cpufreq|devfreq|cpuidle|idle)[-_].*|processor|intel_powerclamp|.*throttl.*|.*-balanced",
    re.IGNORECASE,
)
_OFF_C = -200.0
"""Boards say -256 degrees where a sensor's part is switched off."""


@dataclass(frozen=True)
class Zone:
    """One temperature sensor. Degrees Celsius; what is not known is None."""

    name: str
    celsius: float | None
    """None: the part that it measures is switched off, or it cannot be read."""
    slows_down_at_c: float | None
    """From here on the kernel throttles."""
    shuts_down_at_c: float | None


@dataclass(frozen=True)
class CoolingDevice:
    """Something that the kernel uses against heat."""

    name: str
    state: int
    """0: does nothing."""
    most: int | None
    throttles: bool
    """It slows the machine down when its state is above 0; a fan does not."""

    @property
    def throttling(self) -> bool:
        """Whether it slows the machine down now."""
        return self.throttles and self.state > 0


def read_zones(root: Path) -> tuple[Zone, ...]:
    """Return the temperature sensors, by number."""
    zones = []
    for folder in in_order((root / _THERMAL).glob("thermal_zone[0-9]*")):
        name = read_text(folder / "type")
        if name:
            trips = _trips(folder)
            critical = [celsius for kind, celsius in trips.values() if kind == "critical"]
            slowing = [celsius for number, (_, celsius) in trips.items() if number in _slowing_trips(folder)]
            zones.append(Zone(name, _celsius(read_int(folder / "temp")), _lowest(slowing), _lowest(critical)))
    return tuple(zones)


def read_cooling(root: Path) -> tuple[CoolingDevice, ...]:
    """Return the cooling devices whose state can be read, by number."""
    devices = []
    for folder in in_order((root / _THERMAL).glob("cooling_device[0-9]*")):
        name, state = read_text(folder / "type"), read_int(folder / "cur_state")
        if name and state is not None:
            devices.append(CoolingDevice(name, state, read_int(folder / "max_state"), _slows_down(name)))
    return tuple(devices)


class ThermalProbe:
    """Follows temperatures, and what throttles because of them."""

    def __init__(self, root: Path) -> None:
        zones = in_order((root / _THERMAL).glob("thermal_zone[0-9]*"))
        named = [(folder, name) for folder in zones if (name := read_text(folder / "type"))]
        names = _distinct([name for _, name in named])
        self.channels: Sequence[Channel] = [Channel(name, "C") for name in names]
        self._temperatures = [OpenFile(folder / "temp") for folder, _ in named]
        cooling = in_order((root / _THERMAL).glob("cooling_device[0-9]*"))
        typed = [(folder, read_text(folder / "type") or "") for folder in cooling]
        self._states = [(name, OpenFile(folder / "cur_state")) for folder, name in typed if _slows_down(name)]

    def look(self) -> Look:
        """Look once; a cooling device that acts is a cause of throttling."""
        values = [_celsius(file.read_int()) for file in self._temperatures]
        acting = [name for name, file in self._states if (file.read_int() or 0) > 0]
        return Look(values, [f"heat: {name}" for name in dict.fromkeys(acting)])

    def close(self) -> None:
        """Close the files."""
        for file in (*self._temperatures, *(file for _, file in self._states)):
            file.close()


def _slows_down(cooling_device: str) -> bool:
    return _SLOWS_DOWN.fullmatch(cooling_device) is not None


def _trips(zone: Path) -> dict[int, tuple[str, float]]:
    """Return kind and temperature of the trip points that are set, by number."""
    trips = {}
    for file in in_order(zone.glob("trip_point_*_temp")):
        number = int(file.name.split("_")[2])
        celsius = _celsius(read_int(file))
        if celsius is not None and celsius > 0:  # 0 or less: the firmware set none
            trips[number] = (read_text(zone / f"trip_point_{number}_type") or "", celsius)
    return trips


def _slowing_trips(zone: Path) -> set[int]:
    """Return the numbers of the trip points from which something that slows the machine down acts."""
    numbers = set()
    for link in zone.glob("cdev[0-9]*"):
        if link.name[4:].isdigit() and _slows_down(read_text(link / "type") or ""):
            number = read_int(zone / f"{link.name}_trip_point")
            if number is not None:
                numbers.add(number)
    return numbers


def _celsius(millidegrees: int | None) -> float | None:
    celsius = None if millidegrees is None else millidegrees / 1000
    return None if celsius is None or celsius < _OFF_C else celsius


def _lowest(values: Sequence[float]) -> float | None:
    return min(values, default=None)


def _distinct(names: Sequence[str]) -> list[str]:
    """Number names that several zones share: "acpitz", "acpitz 2"."""
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return numbered
