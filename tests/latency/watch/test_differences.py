from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.differences import Difference, differences, in_short
from googlenet_edge.latency.watch.sensors.cpu import CpuLimit
from googlenet_edge.latency.watch.state import MachineState, machine_state


@pytest.fixture
def before(machine: Callable[[str], Path]) -> MachineState:
    return machine_state(machine("orin-nano"), clock=lambda: 100)


def later(state: MachineState, **changes: object) -> MachineState:
    return replace(state, taken_ns=200, **changes)  # type: ignore[arg-type]


def test_nothing_changed_is_no_difference(before: MachineState) -> None:
    assert differences(before, later(before)) == ()


def test_load_is_what_the_run_does_and_no_difference(before: MachineState) -> None:
    assert differences(before, later(before, load_average=(9.0, 4.0, 2.0))) == ()


def test_changed_settings_are_named(before: MachineState) -> None:
    found = differences(
        before,
        later(
            before,
            power_mode="15W (0)",
            jetson_clocks="off",
            cpu_limit=CpuLimit(2.0, "/sys/fs/cgroup/cpu.max"),
            cores=tuple(replace(core, governor="performance", highest_mhz=1984.0) for core in before.cores),
            gpus=(replace(before.gpus[0], lowest_mhz=306.0),),
        ),
    )
    assert {one.kind for one in found} == {"setting"}
    assert [str(one) for one in found] == [
        "power mode: MAXN_SUPER (2) -> 15W (0)",
        "jetson_clocks: on -> off",
        "CPU governor: schedutil -> performance",
        "CPU clock range in MHz: 1728 to 1728 -> 1728 to 1984",
        "CPU limit in cores: none -> 2",
        "17000000.gpu clock range in MHz: 1020 to 1020 -> 306 to 1020",
    ]


def test_throttling_in_between_is_found_by_counters_and_by_what_acts_now(before: MachineState) -> None:
    counts = {**before.throttle_counts, "momentary current too high": 31}
    cooling = tuple(replace(one, state=2) if one.name == "cpu-throttle-alert" else one for one in before.cooling)
    assert differences(before, later(before, throttle_counts=counts, cooling=cooling)) == (
        Difference("throttled", "momentary current too high", "27 times", "31 times"),
        Difference("throttled", "heat: cpu-throttle-alert", "no", "yes"),
    )


def test_counters_say_nothing_across_a_restart_or_of_another_machine(before: MachineState) -> None:
    more = {"momentary current too high": 99}
    assert differences(before, replace(before, taken_ns=5, throttle_counts=more)) == ()
    found = differences(before, later(before, gpus=(), throttle_counts=more))
    assert [(one.kind, str(one)) for one in found] == [("machine", "GPU: 17000000.gpu -> none")]


def test_clocks_and_heat_drift_only_beyond_what_is_usual(before: MachineState) -> None:
    def heated(by: float) -> MachineState:
        zones = tuple(
            zone if zone.celsius is None else replace(zone, celsius=zone.celsius + by) for zone in before.zones
        )
        return later(before, zones=zones)

    assert differences(before, heated(4.9)) == ()
    assert [str(one) for one in differences(before, heated(10.0))] == [
        "cpu-thermal in °C: 62.8 -> 72.8",
        "gpu-thermal in °C: 61.7 -> 71.7",
        "tj-thermal in °C: 62.8 -> 72.8",
    ]
    slower = tuple(replace(core, current_mhz=1500.0) if core.number == 5 else core for core in before.cores)
    gpus = (replace(before.gpus[0], current_mhz=306.0),)
    assert differences(before, later(before, cores=slower, gpus=gpus)) == (
        Difference("drift", "CPU clocks in MHz", "1728", "1500 to 1728"),
        Difference("drift", "17000000.gpu clock in MHz", "1020", "306"),
    )


def test_two_boards_differ_as_machines(before: MachineState, machine: Callable[[str], Path]) -> None:
    found = differences(before, machine_state(machine("desktop"), clock=lambda: 300))
    assert [one.what for one in found if one.kind == "machine"] == ["GPU"]
    assert "throttled" not in {one.kind for one in found}


def test_clocks_in_short() -> None:
    assert [in_short(values) for values in ([], [1510.2, 1510.4], [729.0, 1510.0])] == ["?", "1510", "729 to 1510"]
