from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.evaluation.report import Accuracy, EvaluationReport, ImageResult, SkippedImage

LABELS = ("a", "b", "c", "d", "e", "f", "g")


def report(*outcomes: tuple[int, tuple[int, ...]], labels: tuple[str, ...] = LABELS) -> EvaluationReport:
    results = tuple(ImageResult(f"{n}.png", truth, ids, 0.5) for n, (truth, ids) in enumerate(outcomes))
    return EvaluationReport("set", labels, results, (SkippedImage("x.png", "empty"),), duration_ns=2_000_000_000)


def test_wilson_interval_against_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 857, table I: 81/263, 15/148, 0/20, 1/29.
    for correct, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        got_low, got_high = Accuracy(correct, count).interval_percent
        assert got_low / 100 == pytest.approx(low, abs=5e-5)
        assert got_high / 100 == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None, max_examples=100)
def test_the_interval_holds_the_share_and_stays_in_range(sample: tuple[int, int]) -> None:
    accuracy = Accuracy(*sample)
    low, high = accuracy.interval_percent
    assert 0 <= low <= accuracy.percent <= high <= 100
    assert low < high


def test_top1_and_top5() -> None:
    found = report((0, (0, 1, 2, 3, 4)), (0, (1, 2, 3, 4, 0)), (1, (2, 3, 4, 5, 6)), (6, (6, 0, 1, 2, 3)))
    assert found.top1 == Accuracy(2, 4)
    assert found.top5 == Accuracy(3, 4)
    assert found.top1.percent == 50


def test_there_is_no_top5_of_five_classes() -> None:
    assert report((0, (0, 1, 2, 3, 4)), labels=LABELS[:5]).top5 is None
    assert report((0, (0, 1, 2, 3, 4)), labels=LABELS[:6]).top5 is not None


def test_worst_classes_and_pairs() -> None:
    found = report(
        (0, (0,)), (0, (1,)), (0, (1,)), (0, (2,)),  # a: 1 of 4
        (1, (0,)),  # b: 0 of 1
        (2, (0,)), (2, (0,)),  # c: 0 of 2
        (3, (3,)),  # d: all
    )  # fmt: skip
    assert [entry.label for entry in found.worst_classes(9)] == ["c", "b", "a"]
    assert [entry.label for entry in found.worst_classes(1)] == ["c"]
    pairs = [(pair.truth, pair.predicted, pair.count, pair.share_percent) for pair in found.worst_pairs(3)]
    assert pairs == [(0, 1, 2, 50.0), (2, 0, 2, 100.0), (0, 2, 1, 25.0)]
    assert found.empty_classes == ("e", "f", "g")
    assert [c.accuracy for c in found.classes][:4] == [Accuracy(1, 4), Accuracy(0, 1), Accuracy(0, 2), Accuracy(1, 1)]


def test_the_dictionary_has_every_image_and_is_json() -> None:
    found = report((0, (0, 1, 2, 3, 4)), (1, (0, 1, 2, 3, 4)))
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["schema_version"] == 1
    assert document["seconds"] == 2.0
    assert document["images"][1] == {"name": "1.png", "truth": 1, "class_ids": [0, 1, 2, 3, 4], "probability": 0.5}
    assert document["skipped"] == [{"name": "x.png", "reason": "empty"}]
    assert document["confused_pairs"] == [{"truth": 1, "predicted": 0, "count": 1}]
    assert document["classes"][6] == {"class_id": 6, "label": "g", "accuracy": None}
    assert document["top1"]["percent"] == 50.0
