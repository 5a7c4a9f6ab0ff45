"""The few facts of this machine that a build depends on: a Jetson or not, a container or not, and its free memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MemoryFacts", "in_container", "is_jetson", "read_memory"]

ROOT = Path("/")


@dataclass(frozen=True)
class MemoryFacts:
    """What the kernel says of the memory, in bytes."""

    total_bytes: int
    available_bytes: int
    """What programs can have without swapping."""
    swap_free_bytes: int


def is_jetson(root: Path = ROOT) -> bool:
    """Say whether this is a Jetson: its GPU shares the memory of the CPU, and TensorRT comes with JetPack."""
    return (
        (root / "etc/nv_tegra_release").exists()
        or "nvidia,tegra" in _read(root / "proc/device-tree/compatible")
        # A container sees neither of these, but the kernel is the board's: 5.15.148-tegra.
        or _read(root / "proc/sys/kernel/osrelease").strip().endswith("-tegra")
    )


def in_container(root: Path = ROOT) -> bool:
    """Say whether this runs in a Docker or Podman container."""
    return any((root / name).exists() for name in (".dockerenv", "run/.containerenv"))


def read_memory(root: Path = ROOT) -> MemoryFacts | None:
    """Read ``/proc/meminfo``; None where there is none, or where it does not say."""
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE))
    if "MemTotal" not in fields or "MemAvailable" not in fields:
        return None
    total, available, swap = (int(fields.get(name, 0)) << 10 for name in ("MemTotal", "MemAvailable", "SwapFree"))
    return MemoryFacts(total, available, swap)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
