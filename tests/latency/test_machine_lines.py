from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from googlenet_edge.latency.machine import machine_info
from googlenet_edge.latency.machine_format import EnergyEntry, StateEntry, WatchEntry
from googlenet_edge.latency.machine_lines import machine_lines
from googlenet_edge.latency.watch.document import states_document
from googlenet_edge.latency.watch.state import MachineState, machine_state
from tests.latency.watch.trees import build_tree

Told: TypeAlias = "Callable[..., tuple[dict[str, object], StateEntry]]"
CALM = WatchEntry(seconds=10.0, looks=11, started_s=-2.0)
ENERGY: dict[str, Any] = {
    "seconds": 10.0,
    "frames": 300,
    "joules": 60.0,
    "watts": 6.0,
    "joules_per_frame": 0.2,
    "included": ["VDD_IN"],
    "rails": [
        {"name": "VDD_IN", "meter": "ina3221", "covers": "whole module", "counted": True},
        {"name": "VDD_SOC", "meter": "ina3221", "covers": "the chip"},
    ],
    "not_measured": [{"meter": "nvml", "reason": "no GPU"}],
}


@pytest.fixture
def orin(tmp_path: Path) -> Told:
    """Return a function that gives a board, and its states; changed: what differs after the run."""
    root = build_tree("orin-nano", tmp_path)
    before = replace(machine_state(root, clock=lambda: 1), load_average=(0.0, 0.0, 0.0))

    def told(**changed: object) -> tuple[dict[str, object], StateEntry]:
        after: MachineState = replace(before, **changed)  # type: ignore[arg-type]
        machine = replace(machine_info(root), cores=6).to_dict()
        return machine, msgspec.convert(
            states_document(replace(before, usable_cores=6), replace(after, usable_cores=6)), StateEntry
        )

    return told


def test_the_machine_is_told_in_one_line(orin: Told) -> None:
    (line,) = machine_lines(*orin(), CALM, None)
    assert line == (
        "machine: NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super, power mode MAXN_SUPER (2), "
        "6 of 6 cores, 1728 MHz, governor schedutil; nothing was seen to slow it down, in 11 looks"
    )


def test_what_changed_is_told_but_not_what_drifts(orin: Told) -> None:
    machine, state = orin(jetson_clocks="off", throttle_counts={"momentary current too high": 30}, zones=())
    assert machine_lines(machine, state, CALM, None)[1:] == [
        "changed during the run: jetson_clocks: on -> off",
        "slowed down by momentary current too high: 27 times -> 30 times",
    ]


def test_throttling_is_told_with_its_times_and_once(orin: Told) -> None:
    cause = "momentary current too high"
    episodes = [{"cause": cause, "from_s": 2.0 + 2 * k, "to_s": 3.0 + 2 * k} for k in range(5)]
    watch = msgspec.convert({"seconds": 12.0, "looks": 13, "started_s": -2.0, "throttled": episodes}, WatchEntry)
    lines = machine_lines(
        *orin(throttle_counts={cause: 30}), msgspec.structs.replace(watch, error="OSError: gone"), None
    )
    assert lines[0].endswith("; it was slowed down, in 13 looks")
    assert lines[1:] == [
        f"slowed down by {cause}: 0 to 1 s, 2 to 3 s, 4 to 5 s and 2 times more",
        "the machine was not watched to the end: OSError: gone",
    ]


def test_many_causes_are_cut_short(orin: Told) -> None:
    episodes = [{"cause": f"cause {k}", "from_s": 0.0, "to_s": 1.0} for k in range(10)]
    watch = msgspec.convert({"seconds": 2.0, "looks": 3, "throttled": episodes}, WatchEntry)
    lines = machine_lines(*orin(), watch, None)
    assert len(lines) == 10
    assert lines[-1] == "and 2 more of the kind"


def test_power_is_told_with_what_it_includes() -> None:
    assert machine_lines({}, None, None, msgspec.convert(ENERGY, EnergyEntry)) == [
        "power: 6.00 W, 0.200 J per frame, over 10.0 s: VDD_IN (whole module)",
        "power, not measured: nvml: no GPU",
    ]
    idle = msgspec.convert(
        {**ENERGY, "idle_watts": 4.5, "joules_per_frame_above_idle": 0.05, "not_measured": []}, EnergyEntry
    )
    assert machine_lines({}, None, None, idle)[1:] == [
        "of it 0.050 J more than the 4.50 W that the machine used before the run"
    ]


def test_where_no_power_is_readable_that_is_said_with_the_reasons() -> None:
    nothing = {
        "seconds": 1.0,
        "frames": 9,
        "not_measured": [{"meter": "nvml", "reason": "no GPU"}, {"meter": "rapl", "reason": "permission denied"}],
    }
    assert machine_lines({}, None, None, msgspec.convert(nothing, EnergyEntry)) == [
        "power: not measured (nvml: no GPU; rapl: permission denied)"
    ]
    assert machine_lines({}, None, None, EnergyEntry(seconds=0.0, frames=0)) == [
        "power: not measured (no meter gave enough readings)"
    ]


def test_a_state_of_another_version_is_told_as_far_as_it_is_known() -> None:
    state = StateEntry(before={"celsius": 3}, after=None, concerns=("hot",))
    assert machine_lines({"cpu": "Some CPU"}, state, CALM, None) == [
        "machine: Some CPU; nothing was seen to slow it down, in 11 looks",
        "hot",
    ]


def test_a_report_without_these_sections_says_nothing_of_the_machine() -> None:
    assert machine_lines({"cpu": "Some CPU"}, None, None, None) == []
