from __future__ import annotations

import pytest

from googlenet_edge.latency.page.words import count, milliseconds, percent_name, quantity, share


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.00"), (0.0421, "0.042"), (4.567, "4.57"), (56.78, "56.78"), (123.45, "123.5"),
     (12345.6, "12\u2009346"), (-2.5, "-2.50")],
)  # fmt: skip
def test_milliseconds_have_the_figures_that_count(value: float | None, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(
    ("percent", "name"),
    [(50, "p50"), (99, "p99"), (99.9, "p99.9"), (99.99, "p99.99"), (99.999, "p99.999"), (100, "p100")],
)
def test_percentiles_have_as_many_nines_as_they_need(percent: float, name: str) -> None:
    assert percent_name(percent) == name


def test_quantities_have_three_figures_and_no_exponent() -> None:
    values = [None, 0.0, 0.14449, 7.2, 83.5014, 918.0, 36_000.4]
    assert [quantity(value) for value in values] == ["-", "0", "0.144", "7.2", "83.5", "918", "36\u2009000"]


def test_counts_and_shares_are_short() -> None:
    assert count(1234567) == "1\u2009234\u2009567"
    assert (share(0, 0), share(0, 9), share(1, 10_000), share(1, 8)) == ("0 %", "0 %", "< 0.1 %", "12.5 %")
