"""Clocks of the cores, limits of the process, and the counters of throttling.

Sources: cpufreq, https://docs.kernel.org/admin-guide/pm/cpufreq.html (frequencies in kHz); the throttle counters of
Intel's processors, https://docs.kernel.org/admin-guide/thermal/intel_thermal_throttle.html; the quota of a control
group, https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max, cpu.stat) and, for version 1,
https://docs.kernel.org/scheduler/sched-bwc.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.latency.watch.sensors.files import OpenFile, in_order, read_int, read_text
from googlenet_edge.latency.watch.sensors.rail import Channel, Look

__all__ = ["CORES_FOLLOWED", "Core", "CpuLimit", "CpuProbe", "cpu_counters", "read_cores", "read_limit", "read_turbo"]

CORES_FOLLOWED = 16
"""So many clocks are followed during a run; on a machine with more, evenly chosen ones."""

_CPU = "sys/devices/system/cpu"
_THROTTLE_FILES = {
    "core_throttle_count": "core too hot",
    "package_throttle_count": "processor package too hot",
}
_QUOTA = "CPU quota of the control group used up"


@dataclass(frozen=True)
class Core:
    """One logical core. Clocks in MHz; what is not known is None."""

    number: int
    governor: str | None
    current_mhz: float | None
    lowest_mhz: float | None
    """Lowest clock that the governor may choose."""
    highest_mhz: float | None
    """Highest clock that the governor may choose: by the power mode, or by someone's hand."""
    hardware_mhz: float | None
    """Highest clock that the hardware can do."""


@dataclass(frozen=True)
class CpuLimit:
    """How much processor time the control group of this process allows."""

    cores: float
    """For example 1.5: so many cores' worth of time in each period."""
    source: str
    """The file that says so."""


def read_cores(root: Path) -> tuple[Core, ...]:
    """Return the cores that are online, by number. Where cpufreq is absent, x86's /proc/cpuinfo gives the clock."""
    said = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    cores: list[Core] = []
    for folder in in_order((root / _CPU).glob("cpu[0-9]*")):
        number = int(folder.name[3:])
        if read_int(folder / "online") == 0:
            continue
        frequency = folder / "cpufreq"
        clocks = {
            name: _mhz(read_int(frequency / name))
            for name in ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq", "cpuinfo_max_freq")
        }
        if clocks["scaling_cur_freq"] is None and len(cores) < len(said):
            clocks["scaling_cur_freq"] = float(said[len(cores)])
        governor = read_text(frequency / "scaling_governor") or None
        cores.append(Core(number, governor, *clocks.values()))
    return tuple(cores)


def read_turbo(root: Path) -> bool | None:
    """Return whether cores may run above their base clock; None where nothing says so."""
    forbidden = read_int(root / _CPU / "intel_pstate/no_turbo")
    if forbidden is not None:
        return forbidden == 0
    boost = read_int(root / _CPU / "cpufreq/boost")
    return None if boost is None else boost == 1


def read_limit(root: Path) -> CpuLimit | None:
    """Return the tightest quota of this process's control group and the groups above it; None if there is none."""
    tightest: CpuLimit | None = None
    for folder in _groups(root):
        quota: list[str] = (read_text(folder / "cpu.max") or "").split()
        source = folder / "cpu.max"
        if not quota:
            source = folder / "cpu.cfs_quota_us"
            quota = [read_text(source) or "", read_text(folder / "cpu.cfs_period_us") or ""]
        if len(quota) != 2 or not all(re.fullmatch(r"\d+", word) for word in quota) or int(quota[1]) == 0:
            continue  # "max 100000", or -1 in version 1: no limit
        cores = int(quota[0]) / int(quota[1])
        if tightest is None or cores < tightest.cores:
            tightest = CpuLimit(round(cores, 3), f"/{source.relative_to(root)}")
    return tightest


def cpu_counters(root: Path) -> dict[str, int]:
    """Return how often the processor or its control group was throttled so far, by what throttled it."""
    counters: dict[str, int] = {}
    for name, paths in _counter_files(root).items():
        values = [value for path in paths if (value := _count(read_text(path))) is not None]
        if values:
            counters[name] = sum(values)
    return counters


class CpuProbe:
    """Follows the clocks of the cores, one a frequency domain, and the counters of throttling."""

    def __init__(self, root: Path) -> None:
        policies = in_order((root / _CPU / "cpufreq").glob("policy*"))
        chosen = policies[:: -(-len(policies) // CORES_FOLLOWED)] if policies else []
        self.channels: Sequence[Channel] = [Channel(f"cpu{path.name.removeprefix('policy')}", "MHz") for path in chosen]
        self._clocks = [OpenFile(path / "scaling_cur_freq") for path in chosen]
        self._counters = {name: [OpenFile(path) for path in paths] for name, paths in _counter_files(root).items()}
        self._before: dict[OpenFile, int] = {}

    def look(self) -> Look:
        """Look once; a counter that grew since the last look is a cause of throttling."""
        clocks = [_mhz(file.read_int()) for file in self._clocks]
        return Look(clocks, [name for name, files in self._counters.items() if self._grown(files)])

    def close(self) -> None:
        """Close the files."""
        for file in (*self._clocks, *(file for files in self._counters.values() for file in files)):
            file.close()

    def _grown(self, files: Sequence[OpenFile]) -> bool:
        grown = False
        for file in files:
            count = _count(file.read())
            if count is not None:
                grown |= count > self._before.get(file, count)
                self._before[file] = count
        return grown


def _counter_files(root: Path) -> dict[str, list[Path]]:
    """Return the files that count throttling, by what throttles; package counters once, they are alike on all cores."""
    found: dict[str, list[Path]] = {}
    for core in in_order((root / _CPU).glob("cpu[0-9]*")):
        folder = core / "thermal_throttle"
        for file, name in _THROTTLE_FILES.items():
            if (folder / file).exists():
                found.setdefault(name, []).append(folder / file)
    if len(found.get(_THROTTLE_FILES["core_throttle_count"], ())) > CORES_FOLLOWED:
        # The package's counter grows with any core's; reading hundreds of files each second would disturb the run.
        del found[_THROTTLE_FILES["core_throttle_count"]]
    package = _THROTTLE_FILES["package_throttle_count"]
    if package in found:
        found[package] = _one_a_package(found[package])
    # The group that has the quota counts, which may be one above that of this process.
    groups = [folder / "cpu.stat" for folder in _groups(root)]
    if counting := [path for path in groups if "nr_throttled" in (read_text(path) or "")]:
        found[_QUOTA] = counting
    return found


def _one_a_package(paths: list[Path]) -> list[Path]:
    packages: dict[int | None, Path] = {}
    for path in paths:
        packages.setdefault(read_int(path.parents[1] / "topology/physical_package_id"), path)
    return list(packages.values())


def _count(text: str | None) -> int | None:
    """Return a counter that is the whole file, or ``nr_throttled`` of a cpu.stat."""
    if text is None:
        return None
    match = re.search(r"^(?:nr_throttled )?(\d+)$", text, re.MULTILINE)
    return int(match.group(1)) if match else None


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control group for the CPU, from the innermost outwards.

    In a container the path may be the host's, which does not exist here: the outermost folder is then the container's.
    """
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            tops = ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        elif "cpu" in controllers.split(","):
            tops = [f"sys/fs/cgroup/{controllers}", "sys/fs/cgroup/cpu"]
        else:
            continue
        top = next((root / name for name in tops if (root / name).is_dir()), None)
        if top is None:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for length in range(len(parts), -1, -1):
            folder = top.joinpath(*parts[:length])
            if folder.is_dir():
                yield folder


def _mhz(khz: int | None) -> float | None:
    return None if khz is None else khz / 1000
