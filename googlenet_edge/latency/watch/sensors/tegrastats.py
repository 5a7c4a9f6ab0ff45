"""Lines of NVIDIA's ``tegrastats``, of all boards from Nano to Thor.

Source: NVIDIA's Jetson Linux Developer Guide, "tegrastats Utility". The fields vary with board and release; those that
are not known are skipped:

- ``12-23-2024 22:54:11`` in front (since L4T 35), in the board's local time.
- ``CPU [24%@1224,off,7%@1224]``, or ``CPU [0%,5%,off]@2601``: load, and clock in MHz.
- ``GR3D_FREQ 45%@318``, ``GR3D_FREQ 0%@[305,305]`` (Orin), ``GR3D_FREQ @[1574,1574,1574]`` (Thor), ``GR3D_FREQ 0%``.
- ``gpu@43.5C``, on Thor ``gpu@43.5C/50C`` (now, highest); -256C is a part that is switched off.
- ``VDD_IN 3913mW/3922mW`` (now, average), on Thor with the highest as third; until L4T 34 without the unit:
  ``POM_5V_IN 2545/2547``, ``GPU 0/0``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Tegrastats", "parse_tegrastats"]

_OFF_C = -200.0
_CPUS = re.compile(r"\bCPU \[([^]]*)\](?:@(\d+))?")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@(?:\[([^]]*)\]|(\d+)))?")
_EMC = re.compile(r"\bEMC_FREQ (?:(\d+)%)?(?:@(\d+))?")
_TEMPERATURE = re.compile(r"(?<![\w.])([A-Za-z][\w.-]*)@(-?\d+(?:\.\d+)?)C(?![A-Za-z])")
_POWER_WITH_UNIT = re.compile(r"(?<!\S)([A-Za-z]\w*) (-?\d+)mW(?:/-?\d+(?:mW)?)*(?!\S)")
_POWER_BARE = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (\d+)/\d+(?!\S)")


@dataclass(frozen=True)
class Tegrastats:
    """What one line says. What it does not say is None or empty."""

    cpu_loads_percent: tuple[int | None, ...]
    """Load of each core, 0 to 100; None: it is off."""
    cpu_mhz: tuple[int | None, ...]
    gpu_load_percent: int | None
    gpu_mhz: tuple[int, ...]
    """One a GPU cluster."""
    memory_mhz: int | None
    temperatures_c: Mapping[str, float]
    """By sensor; without those that are switched off."""
    power_mw: Mapping[str, int]
    """Present power by rail, in milliwatts; the averages and maxima that tegrastats adds are left out."""


def parse_tegrastats(line: str) -> Tegrastats:
    """Read one line. Text that is no line of tegrastats gives one in which all is None or empty."""
    loads, clocks = _cpus(line)
    gpu, memory = _GPU.search(line), _EMC.search(line)
    gpu_clocks = (gpu.group(2) or gpu.group(3) or "") if gpu else ""
    powers = _POWER_WITH_UNIT.findall(line) or _POWER_BARE.findall(line)
    return Tegrastats(
        cpu_loads_percent=loads,
        cpu_mhz=clocks,
        gpu_load_percent=int(gpu.group(1)) if gpu and gpu.group(1) else None,
        gpu_mhz=tuple(int(word) for word in re.findall(r"\d+", gpu_clocks)),
        memory_mhz=int(memory.group(2)) if memory and memory.group(2) else None,
        temperatures_c={name: float(value) for name, value in _TEMPERATURE.findall(line) if float(value) > _OFF_C},
        power_mw={name: int(value) for name, value in powers},
    )


def _cpus(line: str) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
    match = _CPUS.search(line)
    if match is None:
        return (), ()
    common = int(match.group(2)) if match.group(2) else None
    loads: list[int | None] = []
    clocks: list[int | None] = []
    for word in match.group(1).split(","):
        core = re.fullmatch(r"\s*(\d+)%(?:@(\d+))?\s*", word)
        loads.append(int(core.group(1)) if core else None)
        clocks.append((int(core.group(2)) if core.group(2) else common) if core else None)
    return tuple(loads), tuple(clocks)
