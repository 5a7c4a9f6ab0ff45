from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.sensors.hwmon import open_hwmon
from googlenet_edge.latency.watch.sensors.rail import Rail, Unreadable
from googlenet_edge.latency.watch.sensors.rapl import open_rapl
from googlenet_edge.latency.watch.sensors.tegrastats_meter import open_tegrastats


def powers(root: Path) -> tuple[dict[str, int | None], list[str]]:
    """Return the microwatts of each rail, and the rails that make the total."""
    meter = open_hwmon(root)
    assert not isinstance(meter, Unreadable), meter
    values = dict(zip([rail.name for rail in meter.rails], meter.read(), strict=True))
    meter.close()
    return values, [rail.name for rail in meter.rails if rail.counted]


def test_power_is_voltage_times_current(machine: Callable[[str], Path]) -> None:
    values, counted = powers(machine("orin-nano"))
    assert values == {"VDD_IN": 4984 * 1856, "VDD_CPU_GPU_CV": 4984 * 664, "VDD_SOC": 4976 * 320}
    assert counted == ["VDD_IN"]  # the others are parts of it


def test_without_an_input_rail_the_total_is_the_sum_of_the_others(machine: Callable[[str], Path]) -> None:
    values, counted = powers(machine("agx-orin"))
    assert counted == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert values["VDDQ_VDD2_1V8AO"] == 4968 * 220  # read, but fed by VIN_SYS_5V0


def test_thors_input_is_measured_by_another_chip(machine: Callable[[str], Path]) -> None:
    values, counted = powers(machine("thor"))
    assert values["VIN"] == 124_486_000
    assert values["VDD_GPU"] == 12040 * 3151
    assert counted == ["VIN"]


def test_thors_input_is_known_also_without_its_name(machine: Callable[[str], Path]) -> None:
    root = machine("thor")
    (root / "sys/class/hwmon/hwmon6/label").unlink()
    values, counted = powers(root)
    assert (values["VIN"], counted) == (124_486_000, ["VIN"])


def test_a_board_without_sensors_says_so(tmp_path: Path) -> None:
    meter = open_hwmon(tmp_path)
    assert isinstance(meter, Unreadable)
    assert "no INA3221 or INA238" in str(meter)


def test_sensors_that_cannot_be_read_are_not_taken_for_absent(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    for file in (root / "sys/class/hwmon/hwmon1").glob("curr*_input"):
        file.write_text("")
    meter = open_hwmon(root)
    assert isinstance(meter, Unreadable)
    assert "3 power rails are there, but cannot be read" in str(meter)


def test_a_reading_that_fails_is_none_and_comes_back(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    meter = open_hwmon(root)
    assert not isinstance(meter, Unreadable)
    current = root / "sys/class/hwmon/hwmon1/curr1_input"
    current.write_text("")
    assert meter.read()[0] is None
    current.write_text("1000\n")
    assert meter.read()[0] == 4_984_000
    meter.close()


def test_processor_counters_are_read_and_parts_stay_out_of_the_total(machine: Callable[[str], Path]) -> None:
    meter = open_rapl(machine("desktop"))
    assert not isinstance(meter, Unreadable)
    assert dict(zip([rail.name for rail in meter.rails], meter.read(), strict=True)) == {
        "package-0": 261_890_250_000,
        "package-0 core": 1_000_000,
        "package-0 uncore": 2_000_000,
        "package-0 dram": 3_000_000,
        "psys": 5_000_000,
    }
    assert [rail.name for rail in meter.rails if rail.counted] == ["package-0", "package-0 dram"]
    assert [rail.wraps_at_uj for rail in meter.rails][3:] == [65_712_999_613, 262_143_328_850]
    meter.close()


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    meter = open_rapl(tmp_path)
    assert isinstance(meter, Unreadable)
    assert "no energy counters" in str(meter)


def test_counters_that_only_root_may_read_say_how_to_allow_it(
    machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = machine("desktop")
    if os.geteuid() == 0:  # root reads everything: the kernel's refusal has to be played

        def refuse(*_: object, **__: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("googlenet_edge.latency.watch.sensors.files.Path.read_bytes", refuse)
        monkeypatch.setattr("googlenet_edge.latency.watch.sensors.rapl.Path.open", refuse)
    else:
        for file in root.glob("sys/class/powercap/*/energy_uj"):
            file.chmod(0)
    meter = open_rapl(root)
    assert isinstance(meter, Unreadable)
    assert "permission denied" in str(meter)
    assert "sudo chmod a+r" in str(meter)


def test_a_rail_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="expected a positive wrap of an energy counter"):
        Rail("VDD_IN", "ina3221", "power", "module", counted=True, wraps_at_uj=100)


def program(root: Path, script: str) -> Path:
    """Put a tegrastats below the root."""
    path = root / "usr/bin/tegrastats"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_tegrastats_is_read_where_there_are_no_files(tmp_path: Path, tegrastats_lines: dict[str, str]) -> None:
    line = tegrastats_lines["xavier-agx, L4T 32"]
    program(tmp_path, f'echo "asked $*" > {tmp_path}/asked; echo "{line}"; sleep 0.2; echo "{line}"; exec sleep 60')
    meter = open_tegrastats(tmp_path)
    assert not isinstance(meter, Unreadable), meter
    try:
        assert (tmp_path / "asked").read_text() == "asked --interval 500\n"
        assert meter.read() == [0, 216_000, 864_000, 0, 144_000, 1_889_000]
        assert wait_for(lambda: meter.read()[1] == 216_000)  # the second line
        assert meter.read() == [None] * 6  # and none since
    finally:
        meter.close()


def test_closing_ends_the_process_even_if_it_does_not_listen(tmp_path: Path, tegrastats_lines: dict[str, str]) -> None:
    line = tegrastats_lines["orin-nano, L4T 36"]
    program(tmp_path, f'trap "" TERM; echo $$ > {tmp_path}/pid; echo "{line}"; while :; do sleep 0.1; done')
    meter = open_tegrastats(tmp_path)
    assert not isinstance(meter, Unreadable), meter
    pid = int((tmp_path / "pid").read_text())
    meter.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("script", ["exit 1", "echo 'needs root'; exit 0"])
def test_a_tegrastats_that_prints_no_power_is_ended_and_named(script: str, tmp_path: Path) -> None:
    program(tmp_path, script)
    meter = open_tegrastats(tmp_path)
    assert isinstance(meter, Unreadable)
    assert "printed no power" in str(meter)


def test_a_machine_without_tegrastats_says_so(tmp_path: Path) -> None:
    meter = open_tegrastats(tmp_path)
    assert isinstance(meter, Unreadable)
    assert "there is no tegrastats" in str(meter)
