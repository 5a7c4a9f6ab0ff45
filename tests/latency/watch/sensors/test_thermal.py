from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.sensors.thermal import ThermalProbe, Zone, read_cooling, read_zones


def test_zones_say_where_the_kernel_slows_down_and_shuts_down(machine: Callable[[str], Path]) -> None:
    zones = read_zones(machine("orin-nano"))
    # At 70 degrees only the alert of a hot surface acts: nothing is slowed down there.
    assert zones[0] == Zone("cpu-thermal", 62.843, slows_down_at_c=99.0, shuts_down_at_c=104.5)
    # The fan acts at 51 degrees.
    assert zones[3] == Zone("tj-thermal", 62.843, slows_down_at_c=None, shuts_down_at_c=105.0)


def test_a_sensor_that_is_switched_off_has_no_temperature(machine: Callable[[str], Path]) -> None:
    assert {zone.name: zone.celsius for zone in read_zones(machine("orin-nano"))}["cv0-thermal"] is None


def test_trip_points_that_are_not_set_do_not_count(machine: Callable[[str], Path]) -> None:
    # Those at -274 and at 0 degrees are ones that the firmware left empty.
    assert read_zones(machine("desktop"))[1] == Zone("x86_pkg_temp", 71.0, slows_down_at_c=95.0, shuts_down_at_c=None)


def test_fans_alerts_and_offsets_are_no_throttling(machine: Callable[[str], Path]) -> None:
    for name in ("orin-nano", "desktop"):
        devices = read_cooling(machine(name))
        assert sum(device.state > 0 for device in devices) == 2
        assert not any(device.throttling for device in devices)


def test_capped_clocks_are_throttling(machine: Callable[[str], Path]) -> None:
    acting = [device for device in read_cooling(machine("thor")) if device.throttling]
    assert [(device.name, device.state, device.most) for device in acting] == [("cpufreq-cpu0", 3, 48)]


@pytest.mark.parametrize(
    "name",
    ["thermal-cpufreq-0", "thermal-devfreq-0", "cpufreq-cpu4", "devfreq-17000000.gpu", "Processor", "intel_powerclamp",
     "soc012-throttle-alert", "CPU-balanced"],
)  # fmt: skip
def test_what_slows_down_is_known_by_its_type(name: str, tmp_path: Path) -> None:
    device = tmp_path / "sys/class/thermal/cooling_device0"
    device.mkdir(parents=True)
    (device / "type").write_text(name)
    (device / "cur_state").write_text("1")
    assert read_cooling(tmp_path)[0].throttling


def test_a_probe_follows_temperatures_and_what_acts(machine: Callable[[str], Path]) -> None:
    root = machine("orin-nano")
    probe = ThermalProbe(root)
    assert [channel.name for channel in probe.channels] == ["cpu-thermal", "gpu-thermal", "cv0-thermal", "tj-thermal"]
    assert (probe.look().values, probe.look().throttles) == ([62.843, 61.687, None, 62.843], [])
    (root / "sys/class/thermal/thermal_zone0/temp").write_text("99250\n")
    (root / "sys/class/thermal/cooling_device0/cur_state").write_text("5\n")
    (root / "sys/class/thermal/cooling_device5/cur_state").write_text("1\n")
    look = probe.look()
    assert look.values[0] == 99.25
    assert look.throttles == ["heat: cpufreq-cpu0", "heat: cpu-throttle-alert"]
    (root / "sys/class/thermal/cooling_device0/cur_state").write_text("0\n")
    (root / "sys/class/thermal/cooling_device5/cur_state").write_text("0\n")
    assert not probe.look().throttles
    probe.close()


def test_zones_of_the_same_name_are_numbered(tmp_path: Path) -> None:
    for number in range(2):
        zone = tmp_path / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text("acpitz")
        (zone / "temp").write_text("30000")
    assert [channel.name for channel in ThermalProbe(tmp_path).channels] == ["acpitz", "acpitz 2"]


def test_a_machine_without_sensors_is_no_error(tmp_path: Path) -> None:
    probe = ThermalProbe(tmp_path)
    assert (read_zones(tmp_path), read_cooling(tmp_path), probe.look().values) == ((), (), [])
