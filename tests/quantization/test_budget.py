"""The search for layers to keep, on networks of numbers: the least that will do, with few measurements."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from googlenet_edge.quantization.budget import BudgetSearch, RankedLayer, rank_layers, search_budget
from googlenet_edge.quantization.sensitivity import LayerSensitivity


def layers(count: int) -> list[RankedLayer]:
    """Layers n0, n1, ..., highest gain first."""
    return [RankedLayer(f"n{index}", "row", 10, float(count - index)) for index in range(count)]


def search(losses: dict[str, float], count: int, budget: float) -> tuple[BudgetSearch, list[tuple[str, ...]]]:
    """Search a network in which each layer in INT8 costs its points."""
    asked: list[tuple[str, ...]] = []

    def measure(kept: tuple[str, ...]) -> float:
        asked.append(kept)
        return 90 - sum(points for node, points in losses.items() if node not in kept)

    return search_budget(measure, lambda: layers(count), float_percent=90, budget_points=budget), asked


def test_within_the_budget_nothing_is_ranked() -> None:
    def rank() -> list[RankedLayer]:
        raise AssertionError("the sensitivity was measured though nobody needs it")

    found = search_budget(lambda kept: 89.95, rank, float_percent=90, budget_points=0.1)
    assert found.met
    assert found.kept == ()
    assert len(found.measurements) == 1
    # A loss of exactly the budget is within it, whatever the floats say.
    assert search_budget(lambda kept: 98.4 - 0.1, rank, float_percent=98.4, budget_points=0.1).met


def test_the_fewest_from_the_top() -> None:
    found, asked = search({f"n{index}": 1.0 for index in range(5)}, 30, 0.5)
    assert found.met
    assert [layer.node for layer in found.kept] == [f"n{index}" for index in range(5)]
    assert (found.before_percent, found.after_percent) == (85, 90)
    assert all(layer.top1_percent_without == 89 for layer in found.kept)
    # Doubling to 8, bisection of 4 to 8, and each of the five given back once.
    assert [len(kept) for kept in asked[:6]] == [0, 1, 2, 4, 8, 6]
    assert len(asked) <= 12
    assert len(set(asked)) == len(asked)


def test_a_layer_that_does_not_help_is_given_back() -> None:
    found, _ = search({"n0": 0.0, "n1": 0.05, "n6": 3.0}, 20, 0.1)
    assert [layer.node for layer in found.kept] == ["n6"]
    assert found.after_percent == pytest.approx(89.95)
    assert found.kept[0].top1_percent_without == pytest.approx(86.95)


def test_keeping_all_is_no_answer() -> None:
    found, asked = search({f"n{index}": 1.0 for index in range(4)}, 4, 0.5)
    assert not found.met
    assert found.kept == ()
    assert found.after_percent == found.before_percent
    assert len(asked) <= 8
    single, _ = search({"n0": 1.0}, 1, 0.5)
    assert not single.met
    nothing = search_budget(lambda kept: 80.0, list, float_percent=90, budget_points=0.1)
    assert not nothing.met


def test_a_ranking_that_is_upside_down_still_finds_the_layer() -> None:
    found, _ = search({"n3": 1.0}, 4, 0.5)
    assert [layer.node for layer in found.kept] == ["n3"]


@example(costs=[0.0] * 10 + [0.3] * 9, budget=0.1)
@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.02, 0.3, 1.0]), min_size=2, max_size=40), st.sampled_from([0.1, 0.5]))
def test_what_is_found_meets_the_budget_and_needs_every_layer(costs: list[float], budget: float) -> None:
    losses = {f"n{index}": cost for index, cost in enumerate(costs)}
    found, asked = search(losses, len(costs), budget)
    names = [layer.node for layer in found.kept]
    assert found.met == (not costs or any(cost <= budget for cost in costs))
    if found.met:
        assert 90 - found.after_percent <= budget + 1e-6
        assert all(90 - layer.top1_percent_without > budget for layer in found.kept)
    # Doubling and bisection; each layer given back once; and each one that stays measured once more, to say what it is
    # worth: what was given back after it has changed that.
    assert len(asked) <= 16 + len(costs) + len(names)
    assert set(names) <= set(losses)


def test_ranking() -> None:
    def layer(node: str, macs: int, kept: float) -> LayerSensitivity:
        return LayerSensitivity(node, "row", macs, 30.0, 1.0, kept, 1.0)

    ranked = rank_layers([layer("a", 5, 21.0), layer("b", 9, 24.0), layer("c", 3, 21.0)], 20.0)
    assert [(entry.node, entry.gain_db) for entry in ranked] == [("b", 4.0), ("c", 1.0), ("a", 1.0)]
