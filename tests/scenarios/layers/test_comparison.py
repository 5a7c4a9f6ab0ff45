from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.scenarios.layers.comparison import Comparison, Figures, Part, Spread, compare, merged
from tests.scenarios.layers.making import graph, rounds, timed

PAPER = {"conv1": 100_000_000, "lrn1": 0, "inception3a": 300_000_000, "inception3b": 200_000_000}
OTHER = {"conv1": 100_000_000, "inception3a": 150_000_000, "inception3b": 100_000_000}


def row(found: Comparison, name: str) -> tuple[Figures | None, ...]:
    return next(part.figures for part in found.rows if part.name == name)


def only(part: Part | None, index: int) -> Figures:
    assert part is not None
    figures = part.figures[index]
    assert figures is not None
    return figures


def test_ratios_are_made_within_a_round_and_the_modules_are_added_up() -> None:
    first = rounds([{"conv1": 2.0, "lrn1": 1.0, "inception3a": 6.0, "inception3b": 4.0}] * 3, [20.0, 30.0, 20.0])
    other = rounds(
        [{"conv1": 2.0, "inception3a": ms, "inception3b": 2.0} for ms in (3.0, 4.0, 8.0)], [10.0, 30.0, 12.0]
    )
    found = compare([first, other], [graph(PAPER), graph(OTHER)], "AB")
    whole = only(found.whole, 1)
    assert whole.ratio == Spread((0.5, 1.0, 0.6))
    assert (whole.ms.median, whole.ms.low, whole.ms.high) == (12, 10, 30)
    assert only(found.whole, 0).ratio == Spread((1.0, 1.0, 1.0))
    assert only(found.layers, 1).ms == Spread((7.0, 8.0, 12.0))
    modules = only(found.inception, 1)
    assert modules.ms == Spread((5.0, 6.0, 10.0))
    assert modules.ratio is not None
    assert modules.ratio.values == pytest.approx((0.5, 0.6, 1.0))
    assert (only(found.inception, 0).macs, modules.macs) == (500_000_000, 250_000_000)
    assert (only(found.whole, 0).macs, whole.macs) == (600_000_000, 350_000_000)
    assert only(found.inception, 0).macs_per_s == pytest.approx(50e9), "0.5 GMAC in 10 ms"
    assert found.notes == ()


def test_rows_are_joined_by_name_and_one_that_a_bundle_lacks_has_no_figures() -> None:
    first = rounds([{"conv1": 2.0, "inception3a": 6.0, "other": 0.5}] * 2)
    other = rounds([{"conv1": 1.0, "lrn1": 3.0, "inception3a": 6.0}] * 2)
    found = compare([first, other], [graph(OTHER), graph(PAPER)], "AB")
    assert [part.name for part in found.rows] == ["conv1", "lrn1", "inception3a", "other"]
    lacking, there = row(found, "lrn1")
    assert lacking is None
    assert there is not None
    assert (there.ratio, there.macs, there.macs_per_s) == (None, 0, None)
    assert row(found, "other")[1] is None


def test_graphs_without_a_row_in_common_are_compared_as_wholes() -> None:
    found = compare(
        [rounds([{"conv1": 2.0}] * 2), rounds([{"stem": 1.0}] * 2, [10.0, 10.0])],
        [graph({"conv1": 5}), ()],
        "AB",
    )
    assert found.inception is None
    assert only(found.whole, 1).ratio == Spread((0.5, 0.5))
    assert only(found.whole, 1).macs is None, "the bundle tells of no node"
    assert [part.name for part in found.rows] == ["stem", "conv1"]


def test_macs_are_of_all_frames_and_a_time_of_zero_makes_no_ratio() -> None:
    first, other = [timed({"conv1": 0.0}, frames=4)], [timed({"conv1": 2.0}, frames=4)]
    found = compare([first, other], [graph({"conv1": 1000})] * 2, "AB")
    before, after = row(found, "conv1")
    assert before is not None
    assert after is not None
    assert (before.macs, before.macs_per_s, after.ratio) == (4000, None, None)
    assert after.macs_per_s == pytest.approx(2e6)


def test_a_layer_that_computes_a_module_and_its_neighbour_is_told() -> None:
    """TensorRT fuses what it likes."""
    fused = {"conv1": 1.0, "maxpool3 + inception4a": 3.0, "inception4a": 2.0}
    macs = graph({"conv1": 10, "maxpool3": 0, "inception4a": 100})
    found = compare([rounds([fused] * 2)] * 2, [macs] * 2, "AB")
    modules = only(found.inception, 0)
    assert modules.ms.median == 5
    assert modules.macs == 100, "all of the module is in the two"
    assert [one.macs for part in found.rows[1:] for one in part.figures if one is not None] == [None] * 4
    assert found.notes == tuple(
        f"{letter}: inception modules: with maxpool3 + inception4a, whose layers compute nodes of both"
        for letter in "AB"
    )
    shared = {"conv1": 1.0, "conv1 + inception4a": 3.0}
    found = compare([rounds([shared] * 2)] * 2, [macs] * 2, "AB")
    assert only(found.inception, 0).macs is None, "how much of conv1's work is in it is not known"


def test_rounds_that_do_not_match_are_refused() -> None:
    one = timed({"conv1": 1.0})
    for count in (2, 0):
        with pytest.raises(InputError, match="expected equally many of each bundle"):
            compare([[one] * min(count, 1), [one] * count], [(), ()], "AB")
    with pytest.raises(InputError, match="of 1 graphs and 2 letters"):
        compare([[one], [one]], [()], "AB")
    with pytest.raises(InputError, match="expected one a round"):
        Spread(())


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=4))
def test_merging_keeps_the_first_order_and_each_name_once(orders: list[list[str]]) -> None:
    found = merged(orders)
    assert sorted(found) == sorted({name for names in orders for name in names})
    if orders:
        assert [name for name in found if name in orders[0]] == orders[0]


def test_what_the_first_lacks_comes_after_what_it_comes_after() -> None:
    assert merged([["a", "c", "other"], ["a", "b", "c"], ["z", "c", "d", "other"]]) == [
        "z",
        "a",
        "b",
        "c",
        "d",
        "other",
    ]
