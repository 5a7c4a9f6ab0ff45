"""What a latency depends on besides the program: the machine, how busy it is and how its clocks are governed."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["MachineInfo", "machine_info"]


@dataclass(frozen=True)
class MachineInfo:
    """A machine as it was at one moment. What cannot be read is None."""

    platform: str
    python: str
    board: str | None
    """The board's name from its device tree, for example "NVIDIA Jetson Orin Nano Developer Kit"."""
    cpu: str
    cores: int
    """Logical cores of the machine."""
    usable_cores: int
    """Those of them that this process may run on."""
    cpu_governor: str | None
    """Frequency governor of core 0, for example "performance" or "schedutil"."""
    cpu_mhz: float | None
    """Present clock of core 0."""
    load_average: tuple[float, float, float] | None
    """Over 1, 5 and 15 minutes: what else kept the machine busy, if this is taken before the run."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return asdict(self)


def machine_info(root: Path = Path("/")) -> MachineInfo:
    """Look at this machine. ``root`` is where its /proc and /sys are found."""
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    khz = _first_line(frequency / "scaling_cur_freq")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return MachineInfo(
        platform=platform.platform(),
        python=platform.python_version(),
        board=_first_line(root / "proc/device-tree/model"),
        cpu=_cpu_model(root),
        cores=os.cpu_count() or 1,
        usable_cores=usable or 1,
        cpu_governor=_first_line(frequency / "scaling_governor"),
        cpu_mhz=int(khz) / 1000 if khz is not None and khz.isdigit() else None,
        load_average=_load_average(),
    )


def _cpu_model(root: Path) -> str:
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    # ARM kernels print the implementer's and the part's numbers instead of a name.
    if "model name" not in fields and "CPU part" in fields:
        return f"{platform.machine()} implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
    return fields.get("model name") or platform.processor() or platform.machine()


def _first_line(path: Path) -> str | None:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    return text.strip("\x00\n ").split("\n")[0] or None  # device-tree strings end in a zero byte


def _load_average() -> tuple[float, float, float] | None:
    try:
        return os.getloadavg()
    except (OSError, AttributeError):
        return None
