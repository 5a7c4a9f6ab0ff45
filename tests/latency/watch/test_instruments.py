from __future__ import annotations

import os
import sys
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
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert names(machine("desktop")) == (["rapl"], ["nvml"])


@pytest.mark.parametrize(
    ("driver", "said"),
    [(True, "nvml: the package nvidia-ml-py is not installed: pip"), (False, "nvml: no driver of NVIDIA's is loaded")],
)
def test_the_package_for_nvidia_is_asked_for_only_where_there_is_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, *, driver: bool
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    if driver:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    with open_instruments(tmp_path) as instruments:
        assert str(instruments.unreadable[0]).startswith(said)


def test_power_can_be_left_out(machine: Callable[[str], Path]) -> None:
    with open_instruments(machine("orin-nano"), power=False) as instruments:
        assert list(instruments.meters) == []
        assert [str(one) for one in instruments.unreadable] == ["all meters: left out, as was asked for"]
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
