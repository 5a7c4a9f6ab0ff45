from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.sensors.cpu import (
    CORES_FOLLOWED,
    Core,
    CpuLimit,
    CpuProbe,
    cpu_counters,
    read_cores,
    read_limit,
    read_turbo,
)

QUOTA = "CPU quota of the control group used up"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_each_core_has_its_clocks_and_governor(machine: Callable[[str], Path]) -> None:
    cores = read_cores(machine("orin-nano"))
    assert len(cores) == 6
    assert cores[5] == Core(5, "schedutil", 1728.0, 1728.0, 1728.0, 1984.0)


def test_a_core_that_is_off_is_left_out(machine: Callable[[str], Path]) -> None:
    assert [core.number for core in read_cores(machine("agx-orin"))] == list(range(8))


def test_without_cpufreq_the_clock_is_that_of_cpuinfo(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2596.098\nprocessor\t: 1\ncpu MHz\t\t: 1200.5\n")
    for number in range(2):
        (tmp_path / f"sys/devices/system/cpu/cpu{number}").mkdir(parents=True)
    assert read_cores(tmp_path) == (
        Core(0, None, 2596.098, None, None, None),
        Core(1, None, 1200.5, None, None, None),
    )


def test_turbo_is_read_from_either_driver(machine: Callable[[str], Path], tmp_path: Path) -> None:
    assert read_turbo(machine("desktop")) is True
    write(tmp_path / "sys/devices/system/cpu/cpufreq/boost", "0\n")
    assert read_turbo(tmp_path) is False
    assert read_turbo(machine("orin-nano")) is None


def test_the_limit_is_that_of_the_control_group(machine: Callable[[str], Path]) -> None:
    limit = read_limit(machine("desktop"))
    assert limit == CpuLimit(1.5, "/sys/fs/cgroup/system.slice/docker-0123.scope/cpu.max")


def test_the_tightest_limit_of_all_groups_above_counts(machine: Callable[[str], Path]) -> None:
    root = machine("desktop")
    write(root / "sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n")
    looser = read_limit(root)
    assert looser is not None
    assert looser.cores == 1.5
    write(root / "sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n")
    limit = read_limit(root)
    assert limit is not None
    assert limit.cores == 0.5


def test_version_1_in_a_container_whose_path_is_the_hosts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "5:memory:/docker/01\n3:cpu,cpuacct:/docker/01\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "75000\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert read_limit(tmp_path) == CpuLimit(0.75, "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us")


@pytest.mark.parametrize("text", ["max 100000\n", "-1\n", "", "50000 0\n", "word 100000\n"])
def test_no_quota_is_no_limit(text: str, tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", text)
    assert read_limit(tmp_path) is None


def test_counters_of_throttling_are_added_up_once_a_package(machine: Callable[[str], Path]) -> None:
    assert cpu_counters(machine("desktop")) == {"core too hot": 3, "processor package too hot": 5, QUOTA: 12 + 2}


def test_a_probe_names_what_throttled_since_its_last_look(machine: Callable[[str], Path]) -> None:
    root = machine("desktop")
    probe = CpuProbe(root)
    first = probe.look()
    assert (first.values, first.throttles) == ([3999.998, 3999.998], [])
    stat = root / "sys/fs/cgroup/system.slice/docker-0123.scope/cpu.stat"
    stat.write_text("usage_usec 1\nnr_periods 950\nnr_throttled 13\nthrottled_usec 440000\n")
    write(root / "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "4\n")
    assert probe.look().throttles == ["core too hot", QUOTA]
    assert probe.look().throttles == []
    (root / "sys/fs/cgroup/system.slice/cpu.stat").write_text("usage_usec 1\nnr_throttled 3\n")
    assert probe.look().throttles == [QUOTA]
    probe.close()


def test_cores_that_share_a_clock_are_followed_once(machine: Callable[[str], Path]) -> None:
    assert [channel.name for channel in CpuProbe(machine("orin-nano")).channels] == ["cpu0", "cpu4"]


def test_of_many_cores_a_few_are_followed(tmp_path: Path) -> None:
    for number in range(96):
        write(tmp_path / f"sys/devices/system/cpu/cpufreq/policy{number}/scaling_cur_freq", f"{number}000\n")
    probe = CpuProbe(tmp_path)
    assert len(probe.channels) == CORES_FOLLOWED
    assert probe.look().values == [float(number) for number in range(0, 96, 6)]
    probe.close()


def test_this_machine_can_be_read() -> None:
    root = Path("/")
    assert read_cores(root)
    probe = CpuProbe(root)
    assert len(probe.look().values) == len(probe.channels)
    probe.close()
