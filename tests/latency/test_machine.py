from __future__ import annotations

import json
from pathlib import Path

import pytest

from googlenet_edge.latency.machine import machine_info


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_is_described_in_json_values() -> None:
    machine = machine_info()
    assert machine.cpu
    assert machine.cores >= 1
    json.dumps(machine.to_dict(), allow_nan=False)


def test_a_board_is_named_by_its_device_tree_and_its_release(tmp_path: Path) -> None:
    write(tmp_path / "proc/device-tree/model", "NVIDIA Jetson Orin Nano Developer Kit\x00")
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n")
    write(tmp_path / "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    write(tmp_path / "sys/module/nvidia/version", "540.4.0\n")
    machine = machine_info(tmp_path)
    assert machine.board == "NVIDIA Jetson Orin Nano Developer Kit"
    assert machine.cpu.endswith("implementer 0x41 part 0xd42")
    assert (machine.l4t, machine.nvidia_driver) == ("36.4.3", "540.4.0")


def test_a_desktop_is_named_by_its_cpu(tmp_path: Path) -> None:
    write(tmp_path / "proc/cpuinfo", "processor\t: 0\nmodel name\t: Example CPU @ 3.00GHz\nflags\t: a b\n")
    machine = machine_info(tmp_path)
    assert machine.cpu == "Example CPU @ 3.00GHz"
    assert (machine.board, machine.l4t, machine.nvidia_driver) == (None, None, None)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024", "470.256.02"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  565.57.01  Release Build  (dvs)", "565.57.01"),
        ("GCC version:  gcc version 12.2.0", None),
    ],
)
def test_a_driver_that_gives_its_version_in_proc_alone(tmp_path: Path, said: str, version: str | None) -> None:
    write(tmp_path / "proc/driver/nvidia/version", f"{said}\nGCC version: gcc version 12.2.0 (Debian 12.2.0-14)\n")
    assert machine_info(tmp_path).nvidia_driver == version


def test_nothing_to_read_is_no_error(tmp_path: Path) -> None:
    machine = machine_info(tmp_path)
    assert machine.cpu
    assert machine.board is None
