from __future__ import annotations

import json
from pathlib import Path

from googlenet_edge.latency.machine import machine_info


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_is_described_in_json_values() -> None:
    machine = machine_info()
    assert machine.cpu
    assert 1 <= machine.usable_cores <= machine.cores
    json.dumps(machine.to_dict(), allow_nan=False)


def test_a_board_is_named_by_its_device_tree(tmp_path: Path) -> None:
    write(tmp_path / "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\x00")
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1510400\n")
    machine = machine_info(tmp_path)
    assert machine.board == "NVIDIA Jetson Orin Nano Developer Kit"
    assert machine.cpu.endswith("implementer 0x41 part 0xd42")
    assert (machine.cpu_governor, machine.cpu_mhz) == ("schedutil", 1510.4)


def test_a_desktop_is_named_by_its_cpu(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nmodel name\t: Example CPU @ 3.00GHz\nflags\t: a b\n")
    machine = machine_info(tmp_path)
    assert machine.cpu == "Example CPU @ 3.00GHz"
    assert (machine.board, machine.cpu_governor, machine.cpu_mhz) == (None, None, None)


def test_nothing_to_read_is_no_error(tmp_path: Path) -> None:
    machine = machine_info(tmp_path)
    assert machine.cpu
    assert machine.board is None
