"""What only a Jetson says: power mode, locked clocks, the integrated GPU's clock, over-current events.

Sources: NVIDIA's Jetson Linux Developer Guide, "Platform Power and Performance": ``nvpmodel -q`` prints "NV Power Mode:
NAME" and the number of the mode; ``jetson_clocks`` sets the lowest clock of each core and of the GPU to its highest;
the GPU is a devfreq device (Hz; https://docs.kernel.org/driver-api/devfreq.html), named ``17000000.gpu`` or ``.ga10b``
on Orin, ``.gv11b`` on Xavier and ``gpu-gpc-0`` on Thor; the hwmon device ``soctherm_oc`` counts, since the start, how
often the hardware throttled because the supply's voltage was too low (``oc1_event_cnt``), the current too high on
average (``oc2``) or for a moment (``oc3``).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from googlenet_edge.latency.watch.sensors.cpu import Core
from googlenet_edge.latency.watch.sensors.files import OpenFile, in_order, read_int, read_text
from googlenet_edge.latency.watch.sensors.gpu import Gpu
from googlenet_edge.latency.watch.sensors.rail import Channel, Look

__all__ = ["DevfreqProbe", "JetsonClocks", "is_jetson", "jetson_clocks", "overcurrents", "power_mode", "read_gpus"]

JetsonClocks: TypeAlias = Literal["on", "partly", "off"]

_GPU_NAME = re.compile(r".*(gpu|ga10b|gv11b|gp10b|gm20b).*")
_NVPMODEL = ("usr/sbin/nvpmodel", "usr/bin/nvpmodel", "sbin/nvpmodel", "bin/nvpmodel")
_TIMEOUT_S = 5.0
_EVENTS = {
    "oc1_event_cnt": "supply's voltage too low",
    "oc2_event_cnt": "average current too high",
    "oc3_event_cnt": "momentary current too high",
}


def is_jetson(root: Path) -> bool:
    """Return whether this is one of NVIDIA's boards: by its device tree, or in a container by its kernel's name."""
    compatible = read_text(root / "proc/device-tree/compatible") or ""
    return "nvidia,tegra" in compatible or (read_text(root / "proc/sys/kernel/osrelease") or "").endswith("-tegra")


def power_mode(root: Path) -> str | None:
    """Return the power mode as "NAME (number)"; None where there is no nvpmodel.

    Asks ``nvpmodel -q``, for at most 5 s; where that may not be run, its own records are read.
    """
    said = _ask_nvpmodel(root)
    name = re.search(r"^NV Power Mode: *(\S.*?) *$", said, re.MULTILINE)
    number = re.search(r"^(\d+) *$", said, re.MULTILINE)
    if name is not None:
        return name.group(1) if number is None else f"{name.group(1)} ({number.group(1)})"
    recorded = re.search(r"^pmode:0*(\d+)", read_text(root / "var/lib/nvpmodel/status") or "", re.MULTILINE)
    if recorded is None:
        return None
    models = read_text(root / "etc/nvpmodel.conf") or ""
    named = re.search(rf"^\s*<\s*POWER_MODEL\s+ID={recorded.group(1)}\s+NAME=([^\s>]+)", models, re.MULTILINE)
    return f"mode {recorded.group(1)}" if named is None else f"{named.group(1)} ({recorded.group(1)})"


def jetson_clocks(cores: Sequence[Core], gpus: Sequence[Gpu]) -> JetsonClocks | None:
    """Return whether clocks are locked as ``jetson_clocks`` does it; None where too little can be read.

    ``jetson_clocks --show`` needs root. The clocks of cores and GPU do not: each is locked where the lowest that may be
    chosen is the highest. "partly": some are. The memory's clock is not looked at.
    """
    ranges = [(core.lowest_mhz, core.highest_mhz) for core in cores]
    ranges += [(gpu.lowest_mhz, gpu.highest_mhz) for gpu in gpus]
    locked = [low >= high for low, high in ranges if low is not None and high is not None]
    if not locked:
        return None
    return "on" if all(locked) else "partly" if any(locked) else "off"


def read_gpus(root: Path) -> tuple[Gpu, ...]:
    """Return the integrated GPU's clocks, one entry a clock domain."""
    return tuple(
        Gpu(
            name=folder.name,
            source="devfreq",
            current_mhz=_mhz(read_int(folder / "cur_freq")),
            lowest_mhz=_mhz(read_int(folder / "min_freq")),
            highest_mhz=_mhz(read_int(folder / "max_freq")),
            governor=read_text(folder / "governor"),
        )
        for folder in _gpu_folders(root)
    )


def overcurrents(root: Path) -> dict[str, int]:
    """Return how often the hardware throttled because of the supply, since the start, by the cause."""
    counters: dict[str, int] = {}
    for folder in _soctherm(root):
        for file, cause in _EVENTS.items():
            count = read_int(folder / file)
            if count is not None:
                counters[cause] = counters.get(cause, 0) + count
    return counters


class DevfreqProbe:
    """Follows the integrated GPU's clocks and the over-current events."""

    def __init__(self, root: Path) -> None:
        folders = _gpu_folders(root)
        self.channels: Sequence[Channel] = [Channel(f"gpu {folder.name}", "MHz") for folder in folders]
        self._clocks = [OpenFile(folder / "cur_freq") for folder in folders]
        self._events = [
            (cause, OpenFile(folder / file)) for folder in _soctherm(root) for file, cause in _EVENTS.items()
        ]
        self._before: dict[OpenFile, int] = {}

    def look(self) -> Look:
        """Look once; an event that was counted since the last look is a cause of throttling."""
        return Look([_mhz(file.read_int()) for file in self._clocks], list(dict.fromkeys(self._new_events())))

    def close(self) -> None:
        """Close the files."""
        for file in (*self._clocks, *(file for _, file in self._events)):
            file.close()

    def _new_events(self) -> list[str]:
        causes = []
        for cause, file in self._events:
            count = file.read_int()
            if count is not None:
                if count > self._before.get(file, count):
                    causes.append(cause)
                self._before[file] = count
        return causes


def _ask_nvpmodel(root: Path) -> str:
    program = next((found for name in _NVPMODEL if (found := shutil.which(root / name))), None)
    if program is None:
        return ""
    try:
        finished = subprocess.run(
            [program, "-q"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return finished.stdout.decode(errors="replace")


def _gpu_folders(root: Path) -> list[Path]:
    return [path for path in in_order((root / "sys/class/devfreq").glob("*")) if _GPU_NAME.fullmatch(path.name)]


def _soctherm(root: Path) -> list[Path]:
    folders = in_order((root / "sys/class/hwmon").glob("hwmon*"))
    return [folder for folder in folders if read_text(folder / "name") == "soctherm_oc"]


def _mhz(hz: int | None) -> float | None:
    return None if hz is None else hz / 1e6
