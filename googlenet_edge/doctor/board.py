"""Reads what the machine is: board and JetPack release, power mode and clocks, memory and disk, cameras."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from googlenet_edge.doctor.facts import Board, Camera, Resources
from googlenet_edge.latency.machine import machine_info

if TYPE_CHECKING:
    from googlenet_edge.doctor.machine import Machine

__all__ = ["read_board", "read_cameras", "read_resources"]

JETPACK_OF_L4T = {
    "32": "4",
    "34": "5.0",
    "35": "5.1",
    "36.2": "6.0 Developer Preview",
    "36.3": "6.0",
    "36.4": "6.1 or 6.2",
    "38": "7.0 or 7.1",
    "39": "7.2",
}
"""By the longest beginning that fits; the package nvidia-jetpack, where it is installed, says it exactly."""


def read_board(machine: Machine) -> Board:
    """Read what kind of machine this is and how it is clocked."""
    info = machine_info(machine.root)
    l4t = info.l4t
    compatible = machine.read("proc/device-tree/compatible") or ""
    # A container sees neither the release nor the device tree, but the kernel is the board's: 5.15.148-tegra.
    of_tegra = (machine.read("proc/sys/kernel/osrelease") or "").strip().endswith("-tegra")
    is_jetson = l4t is not None or "nvidia,tegra" in compatible or "Jetson" in (info.board or "") or of_tegra
    clocks, locked = _clocks(machine)
    governor = machine.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    vendors = [
        machine.read(str(path.relative_to(machine.root))) for path in machine.glob("sys/bus/pci/devices/*/vendor")
    ]
    return Board(
        cpu=info.cpu,
        architecture=machine.architecture,
        system=_field(machine.read("etc/os-release") or "", r'^PRETTY_NAME="?([^"\n]*)') or "unknown",
        in_container=any((machine.root / name).exists() for name in (".dockerenv", "run/.containerenv")),
        nvidia_gpu_on_pci="0x10de" in vendors if vendors else None,
        model=info.board,
        is_jetson=is_jetson,
        l4t=l4t,
        jetpack=_jetpack(machine, l4t) if is_jetson else None,
        power_mode=_power_mode(machine) if is_jetson else None,
        fastest_mode=_fastest_mode(machine) if is_jetson else None,
        clocks=f"{clocks}, governor {governor}" if clocks and governor else clocks,
        clocks_locked=locked,
    )


def read_resources(machine: Machine) -> Resources:
    """Read free memory, and free space in the present folder."""
    meminfo = machine.read("proc/meminfo") or ""
    total, available = (_field(meminfo, rf"^{name}:\s+(\d+) kB") for name in ("MemTotal", "MemAvailable"))
    try:
        disk_free = shutil.disk_usage(machine.folder).free
    except OSError:
        disk_free = None
    return Resources(
        memory_total_bytes=int(total) * 1024 if total else None,
        memory_available_bytes=int(available) * 1024 if available else None,
        disk_free_bytes=disk_free,
    )


def read_cameras(machine: Machine) -> tuple[Camera, ...]:
    """List the video devices with the names that their drivers give them."""
    numbered = [(int(path.name[5:]), path) for path in machine.glob("dev/video*") if path.name[5:].isdigit()]
    return tuple(
        Camera(
            device=f"/dev/{path.name}",
            name=machine.read(f"sys/class/video4linux/{path.name}/name"),
            readable=os.access(path, os.R_OK | os.W_OK),
        )
        for _, path in sorted(numbered)
    )


def _field(text: str, pattern: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)
    return match.group(1).strip() if match else None


def _jetpack(machine: Machine, l4t: str | None) -> str | None:
    for entry in (machine.read("var/lib/dpkg/status") or "").split("\n\n"):
        if re.search(r"^Package: nvidia-jetpack$", entry, re.MULTILINE) and "Status: install ok installed" in entry:
            return _field(entry, r"^Version: (.*)$")
    fitting = [start for start in JETPACK_OF_L4T if l4t is not None and f"{l4t}.".startswith(f"{start}.")]
    return JETPACK_OF_L4T[max(fitting, key=len)] if fitting else None


def _power_mode(machine: Machine) -> str | None:
    said = machine.run("nvpmodel", "-q")
    if said is not None and (name := _field(said, r"^NV Power Mode: (.*)$")) is not None:
        number = _field(said, r"^(\d+)\s*$")
        return name if number is None else f"{name} ({number})"
    # Where nvpmodel may not be run, its own records are readable.
    number = _field(machine.read("var/lib/nvpmodel/status") or "", r"^pmode:0*(\d+)")
    if number is None:
        return None
    models = machine.read("etc/nvpmodel.conf") or ""
    name = _field(models, rf"^\s*<\s*POWER_MODEL\s+ID={number}\s+NAME=([^\s>]+)")
    return f"mode {number}" if name is None else f"{name} ({number})"


def _fastest_mode(machine: Machine) -> int | None:
    """MAXN is 0 on AGX Orin; on Orin Nano, 0 is the slowest mode and 2 is MAXN_SUPER."""
    models = machine.read("etc/nvpmodel.conf") or ""
    numbers = re.findall(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=MAXN", models, re.MULTILINE)
    return int(numbers[-1]) if numbers else None


def _clocks(machine: Machine) -> tuple[str | None, bool | None]:
    """Return the CPU's clock in words, and whether every core's lowest clock is its highest."""
    ranges = []
    for folder in machine.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq"):
        where = folder.relative_to(machine.root)
        low, high = machine.read(f"{where}/scaling_min_freq"), machine.read(f"{where}/scaling_max_freq")
        if low is not None and high is not None and low.isdigit() and high.isdigit():
            ranges.append((int(low) // 1000, int(high) // 1000))
    if not ranges:
        return None, None
    low_mhz, high_mhz = min(low for low, _ in ranges), max(high for _, high in ranges)
    locked = all(low == high for low, high in ranges)
    return (f"fixed at {high_mhz} MHz" if locked else f"{low_mhz} to {high_mhz} MHz"), locked
