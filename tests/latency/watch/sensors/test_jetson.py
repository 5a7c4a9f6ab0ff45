from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.sensors.cpu import read_cores
from googlenet_edge.latency.watch.sensors.jetson import (
    DevfreqProbe,
    is_jetson,
    jetson_clocks,
    overcurrents,
    power_mode,
    read_gpus,
)


def nvpmodel(root: Path, script: str) -> None:
    path = root / "usr/sbin/nvpmodel"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_board_is_known_by_its_device_tree_or_its_kernel(machine: Callable[[str], Path], tmp_path: Path) -> None:
    assert is_jetson(machine("orin-nano"))
    assert not is_jetson(machine("desktop"))
    container = tmp_path / "container/proc/sys/kernel/osrelease"
    container.parent.mkdir(parents=True)
    container.write_text("6.8.12-1021-tegra\n")
    assert is_jetson(tmp_path / "container")


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        ("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER (2)"),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: 15W\n0\n", "15W (0)"),
        ("NV Power Mode: MODE_30W", "MODE_30W"),
    ],
)
def test_nvpmodel_is_asked_for_the_power_mode(said: str, mode: str, tmp_path: Path) -> None:
    nvpmodel(tmp_path, f'[ "$*" = "-q" ] && printf "{said}"')
    assert power_mode(tmp_path) == mode


def test_where_nvpmodel_fails_its_records_are_read(machine: Callable[[str], Path]) -> None:
    root = machine("agx-orin")
    assert power_mode(root) == "MODE_30W (2)"
    nvpmodel(root, "exit 1")
    assert power_mode(root) == "MODE_30W (2)"
    (root / "etc/nvpmodel.conf").unlink()
    assert power_mode(root) == "mode 2"


def test_another_machine_has_no_power_mode(tmp_path: Path) -> None:
    assert power_mode(tmp_path) is None


def test_the_gpus_clocks_are_in_megahertz(machine: Callable[[str], Path]) -> None:
    (gpu,) = read_gpus(machine("orin-nano"))
    assert (gpu.name, gpu.current_mhz, gpu.lowest_mhz, gpu.highest_mhz) == ("17000000.gpu", 1020.0, 1020.0, 1020.0)
    assert [gpu.name for gpu in read_gpus(machine("thor"))] == ["gpu-gpc-0", "gpu-nvd-0"]
    assert read_gpus(machine("desktop")) == ()


def test_locked_clocks_are_seen_without_root(machine: Callable[[str], Path]) -> None:
    locked = machine("orin-nano")
    cores, gpus = read_cores(locked), read_gpus(locked)
    assert jetson_clocks(cores, gpus) == "on"
    assert jetson_clocks(cores, [replace(gpus[0], lowest_mhz=306.0)]) == "partly"
    free = machine("agx-orin")
    assert jetson_clocks(read_cores(free), read_gpus(free)) == "off"
    assert jetson_clocks((), ()) is None


def test_overcurrent_events_are_counted_by_their_cause(machine: Callable[[str], Path]) -> None:
    assert overcurrents(machine("orin-nano")) == {
        "supply's voltage too low": 0,
        "average current too high": 0,
        "momentary current too high": 27,
    }
    assert overcurrents(machine("desktop")) == {}


def test_a_probe_follows_the_gpus_clock_and_new_events(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    probe = DevfreqProbe(root)
    assert (probe.look().values, probe.look().throttles) == ([1020.0], [])
    (root / "sys/class/devfreq/17000000.gpu/cur_freq").write_text("306000000\n")
    (root / "sys/class/hwmon/hwmon3/oc3_event_cnt").write_text("28\n")
    look = probe.look()
    assert (look.values, look.throttles) == ([306.0], ["momentary current too high"])
    assert probe.look().throttles == []
    probe.close()
