from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from googlenet_edge.latency.watch.document import energy_document, record_document, states_document
from googlenet_edge.latency.watch.energy import Energy, RailEnergy
from googlenet_edge.latency.watch.instruments import open_instruments
from googlenet_edge.latency.watch.sampler import MachineSampler, SamplerRecord
from googlenet_edge.latency.watch.sensors.rail import Rail, Unreadable
from googlenet_edge.latency.watch.state import machine_state

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


def test_a_report_has_the_timeline_in_seconds_of_the_run(record: SamplerRecord) -> None:
    document = json.loads(json.dumps(record_document(record, record.started_ns + 2 * S), allow_nan=False))
    assert document["started_s"] == -2.0
    assert document["throttled"] == [{"cause": "heat: cpu-throttle-alert", "from_s": 0.0, "to_s": 10.0, "looks": 1}]
    assert document["timeline"]["from_s"] == [0.0, 10.0]
    channels = {one["name"]: one for one in document["timeline"]["channels"]}
    assert channels["cpu-thermal"] == {"name": "cpu-thermal", "unit": "C", "values": [[62.843, 62.843]] * 2}
    assert channels["cv0-thermal"]["values"] == [None, None]


def test_a_report_has_joules_per_frame_and_their_parts() -> None:
    idle = Energy(0, 5 * S, (RailEnergy(ENERGY.rails[0].rail, 20.0, 4.0, 6, 0),))
    document = json.loads(json.dumps(energy_document(ENERGY, 300, DENIED, idle=idle, run_ns=-5 * S), allow_nan=False))
    assert (document["from_s"], document["seconds"]) == (5.0, 10.0)
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
    unknown = states_document(before, None)
    assert (unknown["after"], unknown["differences"]) == (None, [])
