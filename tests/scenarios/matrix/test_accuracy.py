from __future__ import annotations

import pytest

from googlenet_edge.bundle import Accuracy, Artefact, Lineage
from googlenet_edge.evaluation.report import Accuracy as Share
from googlenet_edge.scenarios.matrix.accuracies import assess
from googlenet_edge.scenarios.matrix.accuracy import (
    CellAccuracy,
    comparable,
    measured_accuracy,
    recorded_accuracy,
)
from googlenet_edge.scenarios.matrix.candidates import Candidate, find_candidates
from googlenet_edge.scenarios.matrix.cell import Cell, Figure, Setting
from googlenet_edge.scenarios.matrix.jobs import Evaluated
from googlenet_edge.scenarios.matrix.process import JobFailedError, JobStoppedError
from tests.scenarios.matrix.bundles import Maker, comparison
from tests.scenarios.matrix.making import cell


def evaluated(
    wrong: set[int], *, count: int = 100, classes: int = 10, missing: frozenset[int] = frozenset()
) -> Evaluated:
    """Images of class 1, of which some are taken for class 2, with class 1 second."""
    results = tuple(
        (f"image {number}", 1, (2, 1, 3, 4, 5) if number in wrong else (1, 2, 3, 4, 5))
        for number in range(count)
        if number not in missing
    )
    return Evaluated(dataset="set", class_count=classes, results=results, skipped=len(missing))


def test_a_measured_accuracy_has_wilsons_interval_and_the_paired_difference_to_fp32() -> None:
    reference, other = evaluated({1, 2}), evaluated({2, 3, 4})
    found = measured_accuracy(other, reference)
    low, high = Share(97, 100).interval_percent
    assert (found.source, found.count, found.top1) == ("measured", 100, Figure(97, low, high))
    assert found.top5_percent == 100
    assert found.agreement_percent == 97
    assert found.drop is not None
    assert found.drop.value == pytest.approx(1)
    assert found.drop.low is not None
    assert found.drop.high is not None
    assert found.drop.low < 0 < found.drop.high


def test_fp32_loses_nothing_against_itself() -> None:
    reference = evaluated({1})
    found = measured_accuracy(reference, reference)
    assert (found.agreement_percent, found.drop) == (100, Figure(0, 0, 0))


def test_only_images_that_both_could_use_are_compared() -> None:
    found = measured_accuracy(evaluated({1}, missing=frozenset({0})), evaluated({1, 5}, missing=frozenset({5})))
    assert (found.count, found.skipped, found.agreement_percent) == (99, 1, 100)
    assert found.drop == Figure(0, found.drop.low, found.drop.high) if found.drop else False


def test_without_fp32_there_is_no_difference_to_it() -> None:
    found = measured_accuracy(evaluated({1}), None)
    assert (found.agreement_percent, found.drop) == (None, None)


def test_with_five_classes_there_is_no_top5() -> None:
    assert measured_accuracy(evaluated({1}, classes=5), None).top5_percent is None


def test_what_the_manifest_compares_is_taken_over(maker: Maker) -> None:
    path = maker.make("int8", "int8", comparison=comparison("int8", 97.0, -1.0), accuracy=())
    (candidate,), _ = find_candidates([path])
    assert recorded_accuracy(candidate, [candidate]) == CellAccuracy(
        source="recorded",
        dataset="scenes",
        count=400,
        top1=Figure(97.0, 96.5, 97.5),
        top5_percent=99.9,
        agreement_percent=98.5,
        drop=Figure(1.0, 0.7, 1.3),
    )


def test_fp32_without_a_figure_of_its_own_has_that_of_the_comparison_in_another_bundle(maker: Maker) -> None:
    other = Lineage(Artefact("other.pth", "7" * 64))
    paths = [maker.make("a", accuracy=()), maker.make("b", "int8", comparison=comparison("int8", 97.0, -1.0))]
    stranger = maker.make("c", "fp16", comparison=comparison("fp16", 55.0, 0.0), lineage=other)
    candidates, _ = find_candidates([stranger, *paths])
    fp32 = recorded_accuracy(candidates[0], candidates)
    assert fp32 is not None
    assert (fp32.top1.value, fp32.drop, fp32.agreement_percent) == (98.0, Figure(0, 0, 0), 100)
    assert recorded_accuracy(candidates[0], candidates[:2]) is None, "FP16 there is of another checkpoint"


def test_a_recorded_accuracy_gets_its_interval_from_the_number_of_images(maker: Maker) -> None:
    path = maker.make("a", accuracy=(Accuracy("scenes", 400, 97.5, 100.0),))
    (candidate,), _ = find_candidates([path])
    found = recorded_accuracy(candidate, [candidate])
    assert found is not None
    low, high = Share(390, 400).interval_percent
    assert found.top1 == Figure(97.5, low, high)
    assert (found.top5_percent, found.drop) == (None, Figure(0, 0, 0))


def test_a_bundle_that_was_never_evaluated_has_no_accuracy(maker: Maker) -> None:
    (candidate,), _ = find_candidates([maker.make("a", "int8", accuracy=())])
    assert recorded_accuracy(candidate, [candidate]) is None


def test_accuracies_compare_if_all_are_known_and_of_the_same_images() -> None:
    one, two = (measured_accuracy(evaluated(wrong), None) for wrong in ({1}, {2}))
    assert comparable({"a": one, "b": two})
    assert not comparable({"a": one, "b": None})
    assert not comparable({})
    assert not comparable({"a": one, "b": measured_accuracy(evaluated({1}, count=50), None)})


@pytest.fixture
def candidates(maker: Maker) -> list[Candidate]:
    recorded = comparison("int8", 97.0, -1.0)
    return find_candidates([maker.make("a"), maker.make("b", "int8", comparison=recorded)])[0]


CELLS = [cell("fp32", 4, [40, 41]), cell("fp32", 2, [20, 21]), cell("int8", 1, [10, 11])]


def test_each_bundle_is_evaluated_once_with_the_largest_batch_that_was_timed(candidates: list[Candidate]) -> None:
    asked = []

    def evaluate(candidate: Candidate, backend: str, batch: int) -> Evaluated:
        asked.append((candidate.title, backend, batch))
        return evaluated({1} if candidate.precision == "fp32" else {1, 2, 3})

    found, doubts, complete = assess(candidates, CELLS, evaluate)
    assert asked == [("fp32", "onnxruntime", 4), ("int8", "onnxruntime", 1)]
    assert (doubts, complete) == ([], True)
    int8 = found["int8, onnxruntime"]
    assert int8 is not None
    assert (int8.top1.value, int8.agreement_percent) == (97, 98)
    assert int8.drop is not None
    assert int8.drop.value == pytest.approx(2)


def test_where_one_cannot_be_evaluated_this_is_told_and_what_is_recorded_stands_in(candidates: list[Candidate]) -> None:
    def evaluate(candidate: Candidate, backend: str, batch: int) -> Evaluated:
        if candidate.precision == "int8":
            raise JobFailedError("it died")
        return evaluated({1})

    found, doubts, complete = assess(candidates, CELLS, evaluate)
    assert doubts == ["accuracy of int8, onnxruntime: could not be measured: it died"]
    assert complete
    assert [one and one.source for one in found.values()] == ["measured", "recorded"]


def test_a_stop_while_evaluating_leaves_what_is_recorded(candidates: list[Candidate]) -> None:
    def evaluate(candidate: Candidate, backend: str, batch: int) -> Evaluated:
        raise JobStoppedError

    found, doubts, complete = assess(candidates, CELLS, evaluate)
    assert (doubts, complete) == ([], False)
    assert [one and one.source for one in found.values()] == ["recorded", "recorded"]


def test_what_was_not_timed_is_not_evaluated(candidates: list[Candidate]) -> None:
    def evaluate(candidate: Candidate, backend: str, batch: int) -> Evaluated:
        raise AssertionError

    empty = [Cell(one.setting, failure="no") for one in CELLS]
    lacking = Cell(Setting("fp16", "fp16", 1, "onnxruntime"), failure="no bundle")
    found, _, complete = assess(candidates, [*empty, lacking], evaluate)
    assert complete
    assert set(found) == {"fp32, onnxruntime", "int8, onnxruntime"}
