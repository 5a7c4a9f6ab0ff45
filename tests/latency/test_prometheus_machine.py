from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from googlenet_edge.latency.prometheus import prometheus_text
from googlenet_edge.latency.report_file import read_report
from tests.latency.report_files import Run, steady, write_run

parser = pytest.importorskip("prometheus_client.parser")

WATCH = {
    "seconds": 10.0,
    "looks": 11,
    "throttled": [
        {"cause": "heat: cpu", "from_s": 1.0, "to_s": 3.0},
        {"cause": "heat: cpu", "from_s": 6.0, "to_s": 7.0},
        {"cause": 'a "quoted" one', "from_s": 2.0, "to_s": 4.5},
    ],
    "timeline": {
        "from_s": [0.0, 5.0],
        "to_s": [4.0, 9.0],
        "channels": [
            {"name": "tj-thermal", "unit": "C", "values": [[50.0, 61.5], None]},
            {"name": "cpu0", "unit": "MHz", "values": [[1510.4, 1728.0], [729.6, 1728.0]]},
            {"name": "gpu", "unit": "MHz", "values": [None, None]},
        ],
    },
}
ENERGY = {
    "seconds": 4.0,
    "frames": 200,
    "joules": 28.8,
    "watts": 7.2,
    "joules_per_frame": 0.144,
    "included": ["VDD_IN"],
    "rails": [
        {"name": "VDD_IN", "meter": "ina3221", "counted": True, "joules": 28.8, "watts": 7.2},
        {"name": "VDD_SOC", "meter": "ina3221", "watts": 2.5},
        {"name": "VDD_CPU", "meter": "ina3221"},
    ],
}


def gauges(folder: Path, **sections: Any) -> dict[str, dict[str, float]]:
    """Return the values by metric and by the value of its first label."""
    path = write_run(folder / "r.json", Run({None: steady(20)}, samples=False), **sections)
    text = prometheus_text(read_report(path).document)
    return {
        family.name.removeprefix("googlenet_edge_"): {
            next(iter(sample.labels.values()), ""): sample.value for sample in family.samples
        }
        for family in parser.text_string_to_metric_families(text)
        if "machine" in family.name or "energy" in family.name
    }


def test_throttling_heat_clocks_and_power_are_gauges(tmp_path: Path) -> None:
    assert gauges(tmp_path, watch=WATCH, energy=ENERGY) == {
        "machine_throttled_seconds": {"": 4.5, "heat: cpu": 3.0, 'a "quoted" one': 2.5},
        "machine_temperature_celsius": {"tj-thermal": 61.5},
        "machine_clock_hertz": {"cpu0": 729.6e6},
        "machine_power_watts": {"VDD_IN": 7.2, "VDD_SOC": 2.5},
        "energy_joules_per_frame": {"": 0.144},
    }


def test_a_calm_run_without_power_says_that_it_was_calm(tmp_path: Path) -> None:
    found = gauges(tmp_path, watch={"seconds": 1.0, "looks": 2}, energy={"seconds": 1.0, "frames": 9})
    assert found == {"machine_throttled_seconds": {"": 0.0}}


def test_a_report_of_a_machine_that_was_not_watched_has_no_gauges_of_it(tmp_path: Path) -> None:
    assert gauges(tmp_path) == {}
