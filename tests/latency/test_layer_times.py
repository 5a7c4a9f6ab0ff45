from __future__ import annotations

import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.layer_times import LayerReport, LayerTime, layer_report

ORDER = ("input", "conv1", "fc", "output")
ROWS = {"a": ("conv1",), "b": ("conv1",), "c": ("conv1", "input"), "d": ("fc",)}
TIMES = (
    ("c", (10, 20, 30)),
    ("a", (1, 2, 3)),
    ("copy", (5, 5, 5)),
    ("b", (3, 2, 1)),
    ("d", (7, 8, 90)),
)


def report(times: object = TIMES, wall: tuple[int, ...] = (40, 50, 140)) -> LayerReport:
    return layer_report(times, ROWS, wall, order=ORDER, frames=2)  # type: ignore[arg-type]


def test_rows_are_the_sums_of_their_layers_in_the_order_of_table_1() -> None:
    result = report()
    assert [(row.row, row.median_ns) for row in result.rows] == [
        ("input + conv1", 20),  # fused: its time is not divided by guess
        ("conv1", 4),  # 4 in each inference, although the medians of its layers are 2 and 2
        ("fc", 8),
        ("other", 5),
    ]
    assert [(layer.name, layer.row) for layer in result.layers] == [
        ("c", "input + conv1"),
        ("a", "conv1"),
        ("copy", "other"),
        ("b", "conv1"),
        ("d", "fc"),
    ]
    assert (result.inferences, result.frames) == (3, 2)


def test_shares_are_of_all_the_time_and_add_up() -> None:
    result = report()
    total = 60 + 6 + 15 + 6 + 105
    assert [layer.share for layer in result.layers] == [pytest.approx(t / total) for t in (60, 6, 15, 6, 105)]
    assert sum(row.share for row in result.rows) == pytest.approx(1)


def test_what_no_layer_covers_stands_beside_the_sum() -> None:
    result = report()
    assert (result.layers_ns, result.wall_ns, result.not_covered_ns) == (37, 50, 13)  # sums: 26, 37, 129
    overlapping = report(wall=(20, 30, 100))
    assert overlapping.not_covered_ns == -7


def test_a_layer_that_runs_several_times_in_an_inference_counts_with_their_sum() -> None:
    result = report([("a", (1, 2, 10, 20)), ("b", (3, 4))], wall=(100, 200))
    assert result.layers[0] == LayerTime("a", ("conv1",), 3, 33 / 40)


@pytest.mark.parametrize(
    ("times", "wall", "message"),
    [
        ([("a", (1, 2, 3, 4))], (1, 2, 3), "layer 'a': got 4 times in 3 inferences, expected one in each"),
        ([("a", ())], (1,), "layer 'a': got 0 times"),
        ([("a", (1,))], (), "in 0 inferences"),
        ([], (1,), "got not one time"),
    ],
)
def test_times_that_do_not_fit_the_inferences_are_refused(times: object, wall: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        report(times, wall)
