from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.energy import MOST_POINTS, Energy, EnergyMeter, RailEnergy, per_frame
from googlenet_edge.latency.watch.sensors.rail import Rail

S = 1_000_000_000
POWER = Rail("VDD_IN", "ina3221", "power", "module", counted=True)
COUNTER = Rail("package-0", "rapl", "energy", "package", counted=True, wraps_at_uj=1_000_000)


def measured(rail: Rail, readings: list[tuple[int | None, int]]) -> EnergyMeter:
    """Return a meter with these readings: value, second."""
    meter = EnergyMeter(rail)
    for value, second in readings:
        meter.add(value, second * S)
    return meter


def test_steady_power_is_power_times_time() -> None:
    result = measured(POWER, [(5_000_000, t) for t in range(11)]).between(0, 10 * S)
    assert (result.joules, result.watts) == (50.0, 5.0)


def test_power_between_readings_is_taken_as_linear() -> None:
    # A triangle: from 0 to 10 W in 4 s and back.
    result = measured(POWER, [(0, 0), (10_000_000, 4), (0, 8)]).between(0, 8 * S)
    assert result.joules == pytest.approx(40.0)


def test_a_counter_gives_its_difference() -> None:
    assert measured(COUNTER, [(100_000, 0), (400_000, 3)]).between(0, 3 * S).joules == pytest.approx(0.3)


def test_a_counter_that_started_again_is_corrected_by_its_range() -> None:
    meter = measured(COUNTER, [(900_000, 0), (100_000, 1), (950_000, 2), (50_000, 3)])
    assert meter.between(0, 3 * S).joules == pytest.approx(0.2 + 0.85 + 0.1)


def test_a_counter_that_was_set_back_gives_nothing() -> None:
    plain = Rail("gpu", "nvml", "energy", "board", counted=True)
    result = measured(plain, [(900_000, 0), (100_000, 1), (200_000, 2)]).between(0, 2 * S)
    assert (result.joules, result.watts) == (None, None)


def test_a_missed_reading_is_bridged_and_counted() -> None:
    result = measured(POWER, [(2_000_000, 0), (None, 1), (4_000_000, 2)]).between(0, 2 * S)
    assert (result.joules, result.readings, result.missed) == (6.0, 2, 1)


def test_a_stretch_of_the_run_has_its_own_energy() -> None:
    meter = measured(POWER, [(1_000_000, 0), (1_000_000, 10), (9_000_000, 10), (9_000_000, 20)])
    assert meter.between(10 * S, 20 * S).joules == pytest.approx(90.0)
    assert meter.between(5 * S, 15 * S).joules == pytest.approx(5 + 45)
    assert meter.between(0, 20 * S).joules == pytest.approx(100.0)


def test_readings_that_span_less_than_half_give_nothing() -> None:
    meter = measured(POWER, [(1_000_000, 0), (1_000_000, 4)])
    assert meter.between(0, 10 * S).joules is None
    assert meter.between(0, 8 * S).joules == pytest.approx(8.0)


def test_one_reading_or_none_gives_nothing() -> None:
    assert measured(POWER, []).between(0, S).joules is None
    assert measured(POWER, [(1_000_000, 0)]).between(0, S).joules is None


def test_readings_out_of_order_are_refused() -> None:
    meter = measured(POWER, [(1, 5)])
    with pytest.raises(InputError, match="got a reading at 4000000000 ns, expected 5000000000 or more"):
        meter.add(1, 4 * S)
    with pytest.raises(InputError, match="expected an end after the start"):
        meter.between(5 * S, 4 * S)


@given(
    watts=st.lists(st.integers(-500_000, 300_000_000), min_size=2, max_size=60),
    steps=st.lists(st.integers(1_000_000, 3 * S), min_size=60, max_size=60),
    cut=st.floats(0.05, 0.95),
)
def test_the_parts_of_a_run_add_up_to_the_whole(watts: list[int], steps: list[int], cut: float) -> None:
    meter, at_ns = EnergyMeter(POWER), 0
    for value, step in zip(watts, steps, strict=False):
        meter.add(value, at_ns)
        last_ns = at_ns
        at_ns += step
    middle = int(last_ns * cut)
    parts = [meter.between(0, middle).joules, meter.between(middle, last_ns).joules]
    whole = meter.between(0, last_ns).joules
    assert whole is not None
    truth = sum((a + b) / 2 * t for a, b, t in zip(watts, watts[1:], steps, strict=False)) / 1e15
    assert math.isclose(whole, truth, rel_tol=1e-9, abs_tol=1e-9)
    assert all(part is not None for part in parts)
    assert math.isclose(sum(part or 0.0 for part in parts), whole, rel_tol=1e-6, abs_tol=1e-6)


def test_days_of_readings_stay_small_and_exact() -> None:
    meter = EnergyMeter(POWER)
    for second in range(100_000):
        meter.add(2_000_000 if second < 30_000 else 8_000_000, second * S)
    assert len(meter._times_ns) <= MOST_POINTS
    assert meter.between(0, 99_999 * S).joules == pytest.approx(2 * 29_999 + 5 + 8 * 69_999)
    # Within a reading of the step, a minute's energy may be on the wrong side of it.
    assert meter.between(20_000 * S, 29_900 * S).joules == pytest.approx(2 * 9_900)
    assert meter.between(30_100 * S, 40_000 * S).joules == pytest.approx(8 * 9_900)


def energy(*rails: RailEnergy) -> Energy:
    return Energy(0, 10 * S, rails)


def test_the_total_leaves_out_parts_and_what_is_not_known() -> None:
    part = Rail("VDD_SOC", "ina3221", "power", "chip", counted=False)
    broken = Rail("GPU 1", "nvml", "energy", "board", counted=True)
    total = energy(
        RailEnergy(POWER, 60.0, 6.0, 11, 0), RailEnergy(part, 20.0, 2.0, 11, 0), RailEnergy(broken, None, None, 0, 11)
    )
    assert (total.joules, total.watts, total.included) == (60.0, 6.0, ("VDD_IN",))
    assert energy().joules is None


def test_joules_per_frame_with_and_without_what_the_idle_machine_uses() -> None:
    total = energy(RailEnergy(POWER, 60.0, 6.0, 11, 0))
    assert per_frame(total, 300) == pytest.approx(0.2)
    assert per_frame(total, 300, idle_watts=4.0) == pytest.approx(0.2 - 40 / 300)
    assert per_frame(total, 0) is None
    assert per_frame(energy(), 300) is None
    with pytest.raises(InputError, match="got -1 frames"):
        per_frame(total, -1)
