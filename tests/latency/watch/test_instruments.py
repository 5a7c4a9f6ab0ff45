from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.instruments import open_instruments


def names(root: Path) -> tuple[list[str], list[str]]:
    """Return the meters that measure there, and those that do not."""
    with open_instruments(root) as instruments:
        measuring = [rail.meter for meter in instruments.meters for rail in meter.rails]
        return list(dict.fromkeys(measuring)), [one.meter for one in instruments.unreadable]


@pytest.mark.parametrize("board", ["orin-nano", "agx-orin", "thor"])
def test_a_jetson_is_measured_by_its_own_sensors_alone(board: str, machine: Callable[[str], Path]) -> None:
    meters, unreadable = names(machine(board))
    assert meters == (["ina3221", "ina238"] if board == "thor" else ["ina3221"])
    assert unreadable == []  # NVML reports no power there, and would count the GPU twice if it did


def test_a_jetson_without_readable_sensors_says_why(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    for file in root.glob("sys/class/hwmon/hwmon*/name"):
        file.unlink()
    assert names(root) == ([], ["hwmon", "tegrastats"])


def test_another_machine_is_measured_by_graphics_boards_and_processor(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert names(machine("desktop")) == (["rapl"], ["nvml"])


def test_power_can_be_left_out(machine: Callable[[str], Path]) -> None:
    with open_instruments(machine("orin-nano"), power=False) as instruments:
        assert (list(instruments.meters), list(instruments.unreadable)) == ([], [])
        assert len(instruments.probes) >= 3


def test_closing_leaves_no_descriptor(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with open_instruments(root) as instruments:
        for probe in instruments.probes:
            probe.look()
        for meter in instruments.meters:
            meter.read()
        assert len(os.listdir("/proc/self/fd")) > len(before)  # noqa: PTH208
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
