from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.sensors.cpu import CpuLimit
from googlenet_edge.latency.watch.sensors.gpu import Gpu
from googlenet_edge.latency.watch.state import MachineState, concerns, machine_state


def quiet(state: MachineState) -> MachineState:
    """Return the state without the load of the machine that runs this test."""
    return replace(state, load_average=(0.0, 0.0, 0.0))


def test_a_board_is_described_with_all_that_its_latency_depends_on(machine: Callable[[str], Path]) -> None:
    state = machine_state(machine("orin-nano"), clock=lambda: 42)
    assert state.taken_ns == 42
    assert (state.power_mode, state.jetson_clocks) == ("MAXN_SUPER (2)", "on")
    assert [core.current_mhz for core in state.cores] == [1728.0] * 6
    assert [gpu.current_mhz for gpu in state.gpus] == [1020.0]
    assert state.hottest is not None
    assert state.hottest.celsius == 62.843
    assert state.throttle_counts["momentary current too high"] == 27
    assert state.throttling == ()


def test_a_desktop_has_no_power_mode(machine: Callable[[str], Path]) -> None:
    state = machine_state(machine("desktop"))
    assert (state.power_mode, state.jetson_clocks, state.turbo) == (None, None, True)
    assert state.cpu_limit is not None
    assert state.cpu_limit.cores == 1.5


def test_a_state_goes_through_json_unchanged(machine: Callable[[str], Path]) -> None:
    for name in ("orin-nano", "thor", "desktop"):
        state = machine_state(machine(name))
        text = json.dumps(state.to_dict(), allow_nan=False)
        assert MachineState.from_dict(json.loads(text)) == state


@pytest.mark.parametrize("document", [{}, {"taken_ns": "now", "usable_cores": 1}, {"taken_ns": 1}])
def test_other_json_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"machine state: .*expected what MachineState.to_dict"):
        MachineState.from_dict(document)


def test_this_machine_and_an_empty_one_can_be_described(tmp_path: Path) -> None:
    for root in (Path("/"), tmp_path):
        json.dumps(machine_state(root).to_dict(), allow_nan=False)


def test_throttling_names_heat_and_the_gpus_reasons(machine: Callable[[str], Path]) -> None:
    state = machine_state(machine("thor"))
    hot = replace(state, gpus=(Gpu("NVIDIA Thor", "nvml", throttles=("power limit",)),))
    assert hot.throttling == ("heat: cpufreq-cpu0", "GPU: power limit")


def test_a_locked_and_quiet_board_gives_no_concern(machine: Callable[[str], Path]) -> None:
    assert concerns(quiet(machine_state(machine("orin-nano")))) == []


def test_what_makes_figures_doubtful_is_said_with_a_remedy(machine: Callable[[str], Path]) -> None:
    state = quiet(machine_state(machine("orin-nano")))
    state = replace(state, usable_cores=6)
    assert "sudo jetson_clocks" in concerns(replace(state, jetson_clocks="partly"))[0]
    assert "give no more threads" in concerns(replace(state, cpu_limit=CpuLimit(1.5, "/sys/fs/cgroup/cpu.max")))[0]
    usual = replace(state, load_average=(1.4, 1.0, 1.0))
    assert concerns(usual) == []
    busy = replace(state, load_average=(3.0, 1.0, 1.0))
    assert concerns(busy) == ["the machine was busy in the minute before the run: load 3.0 on 6 cores"]
    hot = replace(state, zones=(replace(state.zones[0], celsius=96.5), *state.zones[1:]))
    assert concerns(hot) == ["cpu-thermal has 96 °C, and is slowed down from 99 °C"]
    thor = quiet(machine_state(machine("thor")))
    assert concerns(thor)[0] == "the machine is slowed down before the run (heat: cpufreq-cpu0)"
    desktop = replace(quiet(machine_state(machine("desktop"))), cpu_limit=None)
    assert concerns(desktop) == [
        "CPU governor powersave: clocks follow the load; for steady figures: sudo cpupower frequency-set -g performance"
    ]
