"""What a machine is: board, processor, system and driver. What it is doing is its state, in ``watch``."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["MachineInfo", "machine_info"]


@dataclass(frozen=True)
class MachineInfo:
    """A machine, as far as it stays the same. What cannot be read is None."""

    platform: str
    python: str
    cpu: str
    cores: int
    """Logical cores."""
    board: str | None = None
    """The board's name from its device tree, for example "NVIDIA Jetson Orin Nano Developer Kit"."""
    l4t: str | None = None
    """Release of Jetson Linux, for example "36.4.3"."""
    nvidia_driver: str | None = None
    """Version of the loaded kernel driver, for example "570.86.15"."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return asdict(self)


def machine_info(root: Path = Path("/")) -> MachineInfo:
    """Look at this machine. ``root`` is where its /proc, /sys and /etc are found."""
    return MachineInfo(
        platform=platform.platform(),
        python=platform.python_version(),
        cpu=_cpu_model(root),
        cores=os.cpu_count() or 1,
        board=_first_line(root / "proc/device-tree/model"),
        l4t=_l4t(root),
        nvidia_driver=_nvidia_driver(root),
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


def _l4t(root: Path) -> str | None:
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", _first_line(root / "etc/nv_tegra_release") or "")
    return f"{match.group(1)}.{match.group(2)}" if match else None


def _nvidia_driver(root: Path) -> str | None:
    """Of the module that is loaded; a container shares its host's. Jetsons with the nvgpu driver alone have none."""
    said = _first_line(root / "sys/module/nvidia/version")
    if said is None:
        match = re.search(
            r"^NVRM version: .*?\s(\d+\.[\d.]+)\s", _text(root / "proc/driver/nvidia/version"), re.MULTILINE
        )
        said = match.group(1) if match else None
    return said


def _first_line(path: Path) -> str | None:
    return _text(path).strip("\x00\n ").split("\n")[0] or None  # device-tree strings end in a zero byte


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
