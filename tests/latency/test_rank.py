from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.latency.rank import rank_of


@pytest.mark.parametrize(
    ("percent", "count", "rank"),
    [(50, 1, 1), (50, 2, 1), (50, 3, 2), (99, 100, 99), (99, 101, 100), (100, 7, 7), (1e-9, 7, 1), (99.5, 200, 199)],
)
def test_it_is_the_smallest_that_so_many_percent_do_not_exceed(percent: float, count: int, rank: int) -> None:
    assert rank_of(percent, count) == rank


@given(st.integers(1, 1000), st.integers(1, 10**12))
def test_tenths_of_a_percent_are_what_they_are_written_as(tenths: int, count: int) -> None:
    assert rank_of(tenths / 10, count) == ceil(Fraction(tenths * count, 1000))


def test_a_product_that_is_whole_is_not_rounded_up() -> None:
    assert rank_of(99.9, 41_000) == 40_959
