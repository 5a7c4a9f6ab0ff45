from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.latency.watch.sensors.tegrastats import parse_tegrastats


@pytest.mark.parametrize(
    ("board", "powers"),
    [
        ("nano, L4T 32", {"POM_5V_IN": 1997, "POM_5V_GPU": 40, "POM_5V_CPU": 203}),
        ("xavier-agx, L4T 32", {"GPU": 0, "CPU": 216, "SOC": 864, "CV": 0, "VDDRQ": 144, "SYS5V": 1889}),
        ("xavier-nx, L4T 35", {"VDD_IN": 6120, "VDD_CPU_GPU_CV": 2289, "VDD_SOC": 1244}),
        ("orin-nano, L4T 36", {"VDD_IN": 3913, "VDD_CPU_GPU_CV": 598, "VDD_SOC": 1238}),
        (
            "agx-orin, L4T 35",
            {"VDD_GPU_SOC": 3150, "VDD_CPU_CV": 14312, "VIN_SYS_5V0": 4968, "VDDQ_VDD2_1V8AO": 1091},
        ),
        ("thor, L4T 38", {"VDD_GPU": 6330, "VDD_CPU_SOC_MSS": 3924, "VIN_SYS_5V0": 6520, "VIN": 28906}),
        ("thor, L4T 39", {"VDD_GPU": 37939, "VDD_CPU_SOC_MSS": 30059, "VIN_SYS_5V0": 15486, "VIN": 124486}),
    ],
)
def test_the_present_power_of_each_rail_is_read(
    board: str, powers: dict[str, int], tegrastats_lines: dict[str, str]
) -> None:
    assert dict(parse_tegrastats(tegrastats_lines[board]).power_mw) == powers


@pytest.mark.parametrize(
    ("board", "load", "clocks"),
    [
        ("nano, L4T 32", 0, ()),
        ("xavier-agx, L4T 32", 35, (318,)),
        ("agx-orin, L4T 35", 14, (407, 407)),
        ("orin-nano, L4T 36", 1, ()),
        ("thor, L4T 38", None, (1574, 1574, 1574)),
        ("thor, L4T 39", 87, (1574, 1574, 1574)),
    ],
)
def test_the_gpus_load_and_clocks_are_read(
    board: str, load: int | None, clocks: tuple[int, ...], tegrastats_lines: dict[str, str]
) -> None:
    line = parse_tegrastats(tegrastats_lines[board])
    assert (line.gpu_load_percent, line.gpu_mhz) == (load, clocks)


def test_cores_that_are_off_have_no_load(tegrastats_lines: dict[str, str]) -> None:
    orin, thor = (parse_tegrastats(tegrastats_lines[name]) for name in ("orin-nano, L4T 36", "thor, L4T 39"))
    assert orin.cpu_loads_percent == (1, 0, 0, 0, None, None)
    assert orin.cpu_mhz == (729, 729, 729, 729, None, None)
    assert thor.cpu_loads_percent == (90, 75, None, 7)
    assert thor.cpu_mhz == (2601, 2601, None, 2601)
    assert thor.memory_mhz == 4266


def test_temperatures_are_read_without_sensors_that_are_off(tegrastats_lines: dict[str, str]) -> None:
    orin, thor = (parse_tegrastats(tegrastats_lines[name]) for name in ("orin-nano, L4T 36", "thor, L4T 39"))
    assert orin.temperatures_c == {
        "cpu": 62.843, "soc2": 61.968, "soc0": 60.625, "gpu": 61.687, "tj": 62.843, "soc1": 61.687,
    }  # fmt: skip
    assert thor.temperatures_c == {"cpu": 58.25, "tj": 66.625, "gpu": 56.937, "soc012": 55.375, "soc345": 55.812}


def test_power_below_zero_is_kept_as_it_is() -> None:
    assert parse_tegrastats("CPU [0%@972] VDD_GPU -392mW/-380mW VIN 9000mW/9000mW").power_mw == {
        "VDD_GPU": -392,
        "VIN": 9000,
    }


@given(st.text(max_size=200))
def test_any_other_text_is_no_error(text: str) -> None:
    parse_tegrastats(text)


def test_a_line_of_something_else_says_nothing() -> None:
    line = parse_tegrastats("tegrastats: command not found")
    assert not line.power_mw
    assert not line.temperatures_c
    assert line.gpu_load_percent is None
