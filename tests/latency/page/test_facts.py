from __future__ import annotations

from typing import Any

from googlenet_edge.latency.page.facts import facts, side_by_side


def nested(depth: int) -> Any:
    value: Any = "deep"
    for i in range(depth):
        value = {"in": value} if i % 2 else [value, []]
    return value


def test_what_is_not_known_is_left_out() -> None:
    shown = facts({"cpu_mhz": 1500.0, "board": None, "rails": [], "turbo": False, "names": ["a", "b"]})
    assert shown is not None
    assert ">cpu mhz<" in shown
    assert ">1500<" in shown
    assert ">no<" in shown
    assert ">a, b<" in shown
    assert "board" not in shown
    assert "rails" not in shown
    assert facts({"board": None}) is None


def test_objects_of_the_same_keys_are_a_table() -> None:
    shown = facts({"rails": [{"name": "VDD_IN", "mean_w": 7.2}, {"name": "VDD_CPU", "mean_w": 1.2}]})
    assert shown is not None
    assert shown.count("<table>") == 2
    assert ">mean w</th>" in shown


def test_two_states_stand_side_by_side() -> None:
    before = {"taken_ns": 1, "zones": [{"name": "cpu", "celsius": 48.5}, {"name": "gpu", "celsius": None}], "gpus": []}
    after = {"taken_ns": 9, "zones": [{"name": "cpu", "celsius": 81.0}, {"name": "gpu", "celsius": None}], "gpus": []}
    shown = side_by_side(before, after)
    assert shown is not None
    assert ">zones cpu, celsius</th><td>48.5</td><td>81</td>" in shown
    assert "zones gpu, celsius" not in shown
    assert "taken" not in shown
    assert "gpus" not in shown
    assert side_by_side({}, {"a": None}) is None


def test_depth_has_an_end() -> None:
    for depth in (3, 300):
        shown = facts({"value": nested(depth)})
        assert shown is not None
        assert ("deep" in shown) == (depth == 3)
        assert side_by_side({"value": nested(depth)}, {"value": 1}) is not None
