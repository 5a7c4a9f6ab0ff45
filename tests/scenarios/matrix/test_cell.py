from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.early_stopping import estimate
from googlenet_edge.scenarios.matrix.cell import Cell, Figure, Setting
from googlenet_edge.scenarios.matrix.jobs import Measured
from tests.scenarios.matrix.making import cell, measured
from tests.scenarios.scripted import rank

SETTING = Setting("fp32", "fp32", 4, "onnxruntime")


def test_a_cell_without_a_round_has_no_figures() -> None:
    empty = Cell(SETTING)
    assert (empty.latency_ms(99), empty.frames_per_second(), empty.peak_bytes) == (None, None, None)
    assert not empty.reliable(50)


def test_the_range_of_a_rate_is_that_of_the_rounds_and_its_value_their_median() -> None:
    found = cell("fp32", 4, [10, 40, 20]).frames_per_second()
    assert found == Figure(200.0, 100.0, 400.0)


def test_one_round_says_nothing_about_how_runs_differ() -> None:
    one = cell("fp32", 1, [10])
    assert one.frames_per_second() == Figure(100.0, None, None)
    assert one.latency_ms(50) == Figure(10.0, None, None)


def test_the_overlapped_rate_is_its_own_where_there_is_one() -> None:
    serial, both = cell("fp32", 2, [10, 10]), cell("fp32", 2, [10, 10], overlapped=350.0)
    assert not serial.overlaps
    assert serial.frames_per_second(overlapped=True) == serial.frames_per_second()
    assert both.overlaps
    assert both.frames_per_second(overlapped=True) == Figure(350.0, 350.0, 350.0)
    assert both.frames_per_second() == Figure(200.0, 200.0, 200.0)


def test_a_percentile_from_too_few_batches_has_no_upper_end() -> None:
    few, enough = cell("fp32", 1, [10, 12], count=330), cell("fp32", 1, [10, 12], count=331)
    assert not few.reliable(99)
    assert few.latency_ms(99) == Figure(12.0, 10.0, None)
    assert enough.reliable(99)
    assert enough.latency_ms(99) == Figure(12.0, 10.0, 12.0)


@given(
    rounds=st.lists(st.lists(st.integers(1_000, 10_000_000_000), min_size=1, max_size=200), min_size=2, max_size=4),
    percent=st.sampled_from([50, 90, 95, 99]),
)
def test_a_percentile_is_nearest_rank_of_all_and_its_range_holds_every_rounds_own(
    rounds: list[list[int]], percent: int
) -> None:
    found = Cell(SETTING, tuple(replace_durations(one) for one in rounds)).latency_ms(percent)
    assert found is not None
    every = [value for one in rounds for value in one]
    own = [rank(one, percent) / 1e6 for one in rounds]
    bound_ns = estimate(np.array(every, dtype=np.int64), percent).value_ns
    assert found.value == rank(every, percent) / 1e6
    assert found.low == min(own)
    assert found.high == (None if bound_ns is None else max(*own, bound_ns / 1e6))


def replace_durations(durations_ns: list[int]) -> Measured:
    return msgspec.structs.replace(measured([1.0]), durations_ns=tuple(durations_ns))


@given(
    ends=st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(sorted),
    limit=st.floats(0, 1e6),
)
def test_a_limit_is_met_by_all_of_a_range_missed_by_none_of_it_and_else_not_shown(
    ends: list[float], limit: float
) -> None:
    figure = Figure(ends[1], ends[0], ends[2])
    inside = [end <= limit for end in ends]
    assert figure.at_most(limit) == ("met" if all(inside) else "not shown" if any(inside) else "missed")
    inside = [end >= limit for end in ends]
    assert figure.at_least(limit) == ("met" if all(inside) else "not shown" if any(inside) else "missed")


@pytest.mark.parametrize("figure", [Figure(5, None, None), Figure(5, None, 6), Figure(5, 4, None)])
def test_an_unknown_end_is_never_within(figure: Figure) -> None:
    assert figure.at_most(1e9) == ("met" if figure.high is not None else "not shown")
    assert figure.at_least(0) == ("met" if figure.low is not None else "not shown")
    assert not figure.apart(Figure(100, 99, 101))


def test_ranges_are_apart_where_they_share_nothing() -> None:
    assert Figure(1, 0, 2).apart(Figure(4, 3, 5))
    assert Figure(4, 3, 5).apart(Figure(1, 0, 2))
    assert not Figure(1, 0, 3).apart(Figure(4, 3, 5))


@pytest.mark.parametrize("ends", [(2.0, 1.0, 3.0), (1.0, 4.0, 3.0), (1.0, float("nan"), 3.0)])
def test_a_figure_outside_its_own_range_is_refused(ends: tuple[float, float, float]) -> None:
    low, value, high = ends
    with pytest.raises(InputError, match="expected low <= value <= high"):
        Figure(value, low, high)


def test_something_added_moves_the_ends_that_are_known() -> None:
    assert Figure(5, 4, None).raised(10) == Figure(15, 14, None)


def test_a_setting_names_its_backend_where_there_are_several() -> None:
    assert SETTING.named(backends=False) == "fp32, batch 4"
    assert replace(SETTING, backend="tensorrt").named(backends=True) == "fp32, batch 4, tensorrt"
