"""Power sensors of NVIDIA's boards: INA3221 and INA238 under hwmon.

Sources: https://docs.kernel.org/hwmon/ina3221.html: ``inN_label`` names channel N of 1 to 3, ``inN_input`` is its
voltage in mV and ``currN_input`` its current in mA; in4 to in6 are shunt voltages and in7 is their sum, so neither is a
rail. https://docs.kernel.org/hwmon/ina238.html: one channel, ``power1_input`` in microwatts; its name is the device's
``label`` (https://docs.kernel.org/hwmon/sysfs-interface.html). NVIDIA's boards set the INA3221 to average over 0.43 s,
so readings once a second miss little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.latency.watch.sensors.board_rails import board_rails
from googlenet_edge.latency.watch.sensors.files import OpenFile, in_order, read_text
from googlenet_edge.latency.watch.sensors.rail import Meter, Rail, Unreadable

__all__ = ["HwmonMeter", "open_hwmon"]

_CHIP = re.compile(r"ina\d+x?")
_FOLDERS = ("sys/class/hwmon/hwmon*", "sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*")
"""The second is what NVIDIA's documents name; both lead to the same chips."""


@dataclass(frozen=True)
class _Source:
    """Where one rail is read: a power in microwatts, or a voltage in mV and a current in mA."""

    name: str
    chip: str
    files: tuple[OpenFile, ...]

    def read(self) -> int | None:
        """Return microwatts. A current below 0 is the sensor's offset at no load and counts as it is."""
        values = [file.read_int() for file in self.files]
        if any(value is None for value in values):
            return None
        product = 1
        for value in values:
            product *= value or 0
        return product


class HwmonMeter:
    """Reads the board's rails; see :class:`~googlenet_edge.latency.watch.sensors.rail.Meter`."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        self._sources = sources
        self.rails: Sequence[Rail] = board_rails(
            [source.name for source in sources], [source.chip for source in sources]
        )

    def read(self) -> list[int | None]:
        """Return the power of each rail in microwatts."""
        return [source.read() for source in self._sources]

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            for file in source.files:
                file.close()


def open_hwmon(root: Path) -> Meter | Unreadable:
    """Return the board's power sensors, or why there are none."""
    found: dict[Path, list[_Source]] = {}
    unreadable = 0
    for pattern in _FOLDERS:
        for folder in in_order(root.glob(pattern)):
            if folder.resolve() not in found and _CHIP.fullmatch(read_text(folder / "name") or ""):
                found[folder.resolve()] = list(_sources(folder.resolve()))
    sources = []
    for source in (source for chip in found.values() for source in chip):
        if source.read() is None:
            unreadable += 1
            for file in source.files:
                file.close()
        else:
            sources.append(source)
    if sources:
        return HwmonMeter(sources)
    if unreadable:
        return Unreadable("hwmon", f"{unreadable} power rails are there, but cannot be read now")
    return Unreadable("hwmon", "there is no INA3221 or INA238 power sensor under /sys/class/hwmon")


def _sources(folder: Path) -> Iterator[_Source]:
    chip = read_text(folder / "name") or "hwmon"
    if (folder / "power1_input").exists():
        name = read_text(folder / "power1_label") or read_text(folder / "label") or read_text(folder / "in1_label")
        # Only Thor has this chip, at its input: without its name its rails would be counted twice.
        yield _Source(name or ("VIN" if chip == "ina238" else chip), chip, (OpenFile(folder / "power1_input"),))
        return
    for label in in_order(folder.glob("in*_label")):
        name, number = read_text(label), label.name[2 : -len("_label")]
        files = (folder / f"in{number}_input", folder / f"curr{number}_input")
        if name and all(file.exists() for file in files):
            yield _Source(name, chip, tuple(OpenFile(file) for file in files))
