from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.bundle import Precision
from googlenet_edge.errors import InputError
from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy
from googlenet_edge.scenarios.matrix.cell import Cell
from googlenet_edge.scenarios.matrix.recommend import accuracy_key, pareto_best, recommend
from googlenet_edge.scenarios.matrix.target import Target, standing
from tests.scenarios.matrix.making import accuracy, cell, measured

FP32, FP16, INT8 = (f"{name}, onnxruntime" for name in ("fp32", "fp16", "int8"))
KNOWN = {
    FP32: accuracy(98.0, drop=(0.0, 0.0, 0.0)),
    FP16: accuracy(97.9, drop=(-0.1, 0.1, 0.3)),
    INT8: accuracy(96.0, drop=(1.5, 2.0, 2.5)),
}
UNKNOWN: dict[str, CellAccuracy | None] = {}


def three(batch: int = 1) -> list[Cell]:
    """FP32 takes 40 ms a batch, FP16 20, INT8 10."""
    return [cell("fp32", batch, [40, 41]), cell("fp16", batch, [20, 21]), cell("int8", batch, [10, 11])]


def test_of_those_that_meet_it_the_most_accurate_is_recommended() -> None:
    found = recommend(three(), KNOWN, Target(latency_ms=50))
    assert (found.chosen, found.nearest) == (0, None)
    assert found.why[0].startswith("of the 3 settings that are shown to meet it, it has the highest top-1")


def test_one_that_is_too_slow_is_passed_over() -> None:
    found = recommend(three(), KNOWN, Target(latency_ms=30))
    assert found.chosen == 1
    assert [standing(checks) for checks in found.checks] == ["missed", "met", "met"]


def test_of_equal_accuracy_the_one_with_least_time_a_frame_is_recommended() -> None:
    batches = [cell("fp32", 1, [40, 41]), cell("fp32", 4, [120, 121]), cell("fp32", 2, [70, 71])]
    assert recommend(batches, KNOWN, Target(latency_ms=200)).chosen == 1
    assert recommend(batches, KNOWN, Target(latency_ms=100)).chosen == 2


def test_where_the_accuracy_that_is_enough_is_given_the_fastest_is_recommended() -> None:
    assert recommend(three(), KNOWN, Target(latency_ms=50, max_drop_points=0.5)).chosen == 1
    assert recommend(three(), KNOWN, Target(latency_ms=50, min_top1_percent=90)).chosen == 2
    found = recommend(three(), KNOWN, Target(latency_ms=50, min_top1_percent=90))
    assert found.why == ("of the 3 settings that are shown to meet it, it takes the least time a frame (10.48 ms)",)


def test_a_drop_whose_interval_straddles_the_limit_is_not_shown_to_be_within() -> None:
    found = recommend(three(), KNOWN, Target(max_drop_points=0.2))
    assert [standing(checks) for checks in found.checks] == ["met", "not shown", "missed"]
    assert found.chosen == 0


def test_a_range_that_straddles_the_target_is_not_shown_to_meet_it() -> None:
    straddling = cell("fp32", 1, [29, 31])
    found = recommend([straddling], KNOWN, Target(latency_ms=30))
    assert (found.chosen, found.nearest) == (None, 0)
    assert found.checks[0][0].standing == "not shown"
    assert found.checks[0][0].said == "p99 31.0 (29.0 to 31.0) ms, of at most 30"


def test_a_percentile_of_too_few_batches_is_not_shown_to_meet_it() -> None:
    found = recommend([cell("fp32", 1, [10, 11], count=20)], KNOWN, Target(latency_ms=50))
    assert found.chosen is None
    assert found.checks[0][0].said.endswith("; 40 batches, it takes 662")


def test_where_none_meets_it_the_nearest_is_named() -> None:
    found = recommend(three(), KNOWN, Target(latency_ms=8))
    assert (found.chosen, found.nearest, found.why) == (None, 2, ())


def test_where_nothing_was_measured_nothing_is_nearest() -> None:
    empty = [replace(one, rounds=(), failure="no") for one in three()]
    found = recommend(empty, KNOWN, Target(latency_ms=8))
    assert (found.chosen, found.nearest) == (None, None)


def test_a_cell_that_failed_in_a_later_round_is_not_recommended() -> None:
    failed = replace(cell("int8", 1, [10, 11]), failure="round 3: it died")
    found = recommend([failed, cell("fp32", 1, [40, 41])], KNOWN, Target(latency_ms=50))
    assert found.chosen == 1


def test_without_known_accuracies_the_widest_number_format_is_recommended_and_this_is_said() -> None:
    found = recommend(three(), UNKNOWN, Target(latency_ms=30))
    assert found.chosen == 1
    assert "--dataset measures them" in found.why[0]
    assert recommend(three(), UNKNOWN, Target(latency_ms=30, max_drop_points=1)).chosen is None


def test_accuracies_on_different_images_are_not_compared() -> None:
    other = {**KNOWN, FP16: replace(KNOWN[FP16], dataset="another", top1=accuracy(99.0).top1)}
    found = recommend(three(), other, Target(latency_ms=50))
    assert found.chosen == 0
    assert "not all known on the same images" in found.why[0]


def test_a_faster_one_whose_accuracy_is_not_shown_to_differ_is_named() -> None:
    found = recommend(three(), KNOWN, Target(latency_ms=50))
    assert found.why[1].startswith("fp16, batch 1 takes 49 % less time a frame, and no difference in accuracy")
    clear = {**KNOWN, FP16: accuracy(97.0, drop=(0.6, 1.0, 1.4))}
    assert len(recommend(three(), clear, Target(latency_ms=50)).why) == 1


def test_a_frame_rate_is_kept_up_with_by_the_slowest_round() -> None:
    batches = [cell("fp32", 1, [20, 25])]
    assert recommend(batches, KNOWN, Target(frames_per_second=40)).chosen == 0
    assert recommend(batches, KNOWN, Target(frames_per_second=41)).checks[0][0].standing == "not shown"
    assert recommend(batches, KNOWN, Target(frames_per_second=51)).checks[0][0].standing == "missed"


def test_a_rate_alone_counts_overlapped_batches_and_a_latency_does_not() -> None:
    batches = [cell("fp32", 2, [20, 20], overlapped=180.0)]
    assert recommend(batches, KNOWN, Target(frames_per_second=150)).chosen == 0
    assert recommend(batches, KNOWN, Target(frames_per_second=150, latency_ms=900)).chosen is None


def test_with_a_frame_rate_the_oldest_frame_waits_for_its_batch_to_fill() -> None:
    four = [cell("fp32", 4, [20, 20])]
    assert Target(latency_ms=50).wait_ms(4) == 0
    assert Target(frames_per_second=100).wait_ms(4) == 0
    assert Target(latency_ms=50, frames_per_second=100).wait_ms(4) == 30
    assert recommend(four, KNOWN, Target(latency_ms=50, frames_per_second=100)).chosen == 0
    found = recommend(four, KNOWN, Target(latency_ms=49, frames_per_second=100))
    assert found.chosen is None
    assert (
        "p99 50.0 (50.0 to 50.0) ms, of at most 49, 30.0 of it waiting for the batch to fill" in found.checks[0][0].said
    )


def test_more_batches_are_wanted_only_where_they_can_help() -> None:
    one = Cell(three()[0].setting).with_round(measured([40.0] * 10))
    assert Target().batches_wanted(one) == 0
    assert Target(frames_per_second=1).batches_wanted(one) == 0
    assert Target(latency_ms=40).batches_wanted(one) == 662
    assert Target(latency_ms=40, percent=90).batches_wanted(one) == 64
    assert Target(latency_ms=39).batches_wanted(one) == 0, "half of them take longer"
    four = Cell(cell("fp32", 4, []).setting).with_round(measured([40.0] * 10))
    assert Target(latency_ms=50, frames_per_second=200).batches_wanted(four) == 0, "the wait is in it"


@pytest.mark.parametrize(
    "wrong",
    [
        {"latency_ms": 0},
        {"latency_ms": float("inf")},
        {"frames_per_second": -1},
        {"percent": 97},
        {"min_top1_percent": 101},
        {"max_drop_points": -0.1},
    ],
)
def test_a_target_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="target: got "):
        Target(**wrong)  # type: ignore[arg-type]


names = st.sampled_from(["fp32", "fp16", "int8"])
many = st.lists(
    st.tuples(names, st.integers(1, 8), st.lists(st.integers(1, 60), min_size=2, max_size=3)), min_size=1, max_size=8
)


@given(settings=many, latency=st.integers(1, 60), rate=st.none() | st.integers(1, 500), known=st.booleans())
def test_whatever_is_recommended_is_shown_to_meet_the_target_and_nothing_as_accurate_is_faster(
    settings: list[tuple[Precision, int, list[float]]], latency: float, rate: float | None, known: bool
) -> None:
    cells = [cell(*one) for one in settings]
    accuracies = KNOWN if known else UNKNOWN
    found = recommend(cells, accuracies, Target(latency_ms=latency, frames_per_second=rate))
    wait = [0.0 if rate is None else (one.setting.batch - 1) * 1000 / rate for one in cells]
    meets = [
        max(rounds) + wait[index] <= latency and (rate is None or batch * 1000 / max(rounds) >= rate)
        for index, (_, batch, rounds) in enumerate(settings)
    ]
    assert (found.chosen is None) == (not any(meets))
    if found.chosen is None:
        assert found.nearest is not None
        return
    assert meets[found.chosen]
    chosen = cells[found.chosen]
    for index, one in enumerate(cells):
        if not meets[index]:
            continue
        mine, other = (("fp32", "fp16", "int8").index(each.setting.precision) for each in (chosen, one))
        assert mine <= other, "fewer points of top-1, by KNOWN and by the width of the format alike"
        if mine == other:
            rates = [each.frames_per_second() for each in (chosen, one)]
            assert rates[0] is not None
            assert rates[1] is not None
            assert rates[0].value >= rates[1].value


def test_a_setting_is_unbeaten_unless_another_is_as_good_in_all_and_clearly_better_in_one() -> None:
    cells = [
        cell("fp32", 1, [40, 41]),
        cell("fp32", 2, [60, 61]),  # more frames a second, longer
        cell("fp32", 4, [200, 201]),  # longer than batch 2, and slower
        cell("int8", 1, [50, 51]),  # slower and less accurate than FP32
        cell("fp16", 1, [20, 21]),
    ]
    assert pareto_best(cells, KNOWN, 99) == {0, 1, 4}


def test_settings_that_noise_alone_tells_apart_are_both_unbeaten() -> None:
    cells = [cell("fp32", 1, [40, 44]), cell("fp32", 1, [41, 45])]
    assert pareto_best(cells, KNOWN, 99) == {0, 1}


def test_without_known_accuracies_only_settings_of_one_bundle_are_compared() -> None:
    cells = [cell("fp32", 1, [40, 41]), cell("int8", 1, [50, 51]), cell("int8", 1, [80, 81])]
    assert pareto_best(cells, UNKNOWN, 99) == {0, 1}


def test_a_setting_that_failed_is_not_among_the_unbeaten() -> None:
    cells = [replace(cell("fp32", 1, [40, 41]), failure="round 2: it died"), Cell(cell("int8", 1, []).setting)]
    assert pareto_best(cells, KNOWN, 99) == frozenset()


@given(settings=many, known=st.booleans())
def test_no_unbeaten_setting_is_beaten_by_another_unbeaten_one(
    settings: list[tuple[Precision, int, list[float]]], known: bool
) -> None:
    cells = [cell(*one) for one in settings]
    accuracies = KNOWN if known else UNKNOWN
    best = sorted(pareto_best(cells, accuracies, 50))
    assert best
    assert pareto_best([cells[index] for index in best], accuracies, 50) == set(range(len(best)))


def test_accuracies_are_found_by_bundle_and_backend_whatever_the_batch() -> None:
    assert accuracy_key(cell("int8", 1, [])) == accuracy_key(cell("int8", 8, [])) == INT8
