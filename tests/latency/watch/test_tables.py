from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from googlenet_edge.latency.watch.document import energy_document, record_document, states_document
from googlenet_edge.latency.watch.energy import Energy, RailEnergy
from googlenet_edge.latency.watch.instruments import open_instruments
from googlenet_edge.latency.watch.sampler import MachineSampler, SamplerRecord
from googlenet_edge.latency.watch.sensors.rail import Rail, Unreadable
from googlenet_edge.latency.watch.state import machine_state
from googlenet_edge.latency.watch.tables import energy_notes, energy_table, sampler_notes, state_notes, state_table
from googlenet_edge.latency.watch.timeline import Episode

S = 1_000_000_000
ENERGY = Energy(
    0,
    10 * S,
    (
        RailEnergy(Rail("VDD_IN", "ina3221", "power", "whole module", counted=True), 60.0, 6.0, 11, 0),
        RailEnergy(Rail("VDD_SOC", "ina3221", "power", "the chip", counted=False), 20.0, 2.0, 11, 1),
        RailEnergy(Rail("VDD_CPU", "ina3221", "power", "CPU", counted=False), None, None, 0, 11),
    ),
)
DENIED = (Unreadable("rapl", "permission denied"),)


def printed(table: Table) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


@pytest.fixture
def record(machine: Callable[[str], Path]) -> SamplerRecord:
    """Two looks at a board, five seconds apart, of which the second sees heat."""
    root = machine("orin-nano")
    times = iter(second * S for second in range(100, 200, 5))
    with open_instruments(root) as instruments:
        sampler = MachineSampler(instruments, clock=lambda: next(times))
        sampler.start()
        (root / "sys/class/thermal/cooling_device5/cur_state").write_text("1\n")
        sampler.stop()
    return sampler.record()


def test_the_state_before_and_after_stands_side_by_side(machine: Callable[[str], Path]) -> None:
    before = machine_state(machine("orin-nano"))
    zones = (replace(before.zones[0], celsius=98.0), *before.zones[1:])
    text = printed(state_table(before, replace(before, zones=zones, power_mode="15W (0)")))
    odd = printed(state_table(before, replace(before, zones=(replace(before.zones[0], name="odd [red]"),))))
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "MAXN_SUPER (2)" in lines["power mode"]
    assert lines["power mode"].endswith("15W (0)")
    assert "1728 of at most 1728" in lines["CPU clocks, MHz"]
    assert "62.8 (slows down at 99)" in lines["cpu-thermal, °C"]
    assert lines["cpu-thermal, °C"].endswith("98.0 (slows down at 99)")
    assert "cv0-thermal, °C" not in lines
    assert "odd [red], °C" in odd
    assert all(len(line) <= 80 for line in text.splitlines())


def test_notes_name_what_changed_but_not_what_drifts(machine: Callable[[str], Path]) -> None:
    before = machine_state(machine("orin-nano"), clock=lambda: 1)
    zones = (replace(before.zones[0], celsius=98.0), *before.zones[1:])
    after = replace(before, zones=zones, jetson_clocks="off", throttle_counts={"momentary current too high": 30})
    assert state_notes(before, after) == [
        "changed during the run: jetson_clocks: on -> off",
        "slowed down during the run: momentary current too high: 27 times -> 30 times",
    ]


def test_energy_is_shown_rail_by_rail() -> None:
    lines = printed(energy_table(ENERGY)).splitlines()
    assert lines[2].split() == ["VDD_IN", "6.00", "60.0", "+", "whole", "module"]
    assert lines[3].split() == ["VDD_SOC", "2.00", "20.0", "the", "chip"]
    assert lines[4].split() == ["VDD_CPU", "-", "-", "CPU"]


def test_notes_say_what_joules_per_frame_include() -> None:
    assert energy_notes(ENERGY, 300, DENIED, idle_watts=4.5) == [
        "0.200 J per frame, of 300 frames in 10.0 s: VDD_IN (whole module)",
        "of it 0.050 J more than the 4.50 W that the machine used before the run",
        "not measured: rapl: permission denied",
    ]


def test_where_no_power_is_readable_that_is_said_with_the_reason() -> None:
    assert energy_notes(Energy(0, S, ()), 300, DENIED) == [
        "no power is known: no meter of this machine gave enough readings",
        "not measured: rapl: permission denied",
    ]


def test_throttling_is_told_with_its_times(record: SamplerRecord) -> None:
    assert sampler_notes(record) == ["slowed down by heat: cpu-throttle-alert: 0 to 10 s"]
    many = replace(record, episodes=tuple(Episode("quota", (100 + k) * S, (101 + k) * S, 1) for k in range(10, 20, 2)))
    assert sampler_notes(replace(many, error="OSError: gone")) == [
        "slowed down by quota: 0 to 1 s, 2 to 3 s, 4 to 5 s and 2 times more",
        "the machine was not watched to the end: OSError: gone",
    ]


def test_a_report_has_the_timeline_in_seconds_of_the_run(record: SamplerRecord) -> None:
    document = json.loads(json.dumps(record_document(record), allow_nan=False))
    assert document["throttled"] == [{"cause": "heat: cpu-throttle-alert", "from_s": 0.0, "to_s": 10.0, "looks": 1}]
    assert document["timeline"]["from_s"] == [0.0, 10.0]
    channels = {one["name"]: one for one in document["timeline"]["channels"]}
    assert channels["cpu-thermal"] == {"name": "cpu-thermal", "unit": "C", "values": [[62.843, 62.843]] * 2}
    assert channels["cv0-thermal"]["values"] == [None, None]


def test_a_report_has_joules_per_frame_and_their_parts() -> None:
    idle = Energy(0, 5 * S, (RailEnergy(ENERGY.rails[0].rail, 20.0, 4.0, 6, 0),))
    document = json.loads(json.dumps(energy_document(ENERGY, 300, DENIED, idle=idle), allow_nan=False))
    assert (document["joules"], document["watts"], document["idle_watts"]) == (60.0, 6.0, 4.0)
    assert document["joules_per_frame"] == 0.2
    assert document["joules_per_frame_above_idle"] == pytest.approx(20 / 300, abs=1e-6)
    assert document["included"] == ["VDD_IN"]
    assert document["rails"][2]["joules"] is None
    assert document["not_measured"] == [{"meter": "rapl", "reason": "permission denied"}]


def test_a_report_has_both_states_and_what_differs(machine: Callable[[str], Path]) -> None:
    before = machine_state(machine("orin-nano"), clock=lambda: 1)
    document = json.loads(json.dumps(states_document(before, replace(before, power_mode="15W (0)")), allow_nan=False))
    assert document["before"]["power_mode"] == "MAXN_SUPER (2)"
    assert document["differences"] == [
        {"kind": "setting", "what": "power mode", "before": "MAXN_SUPER (2)", "after": "15W (0)"}
    ]
