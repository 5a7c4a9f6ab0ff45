from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.errors import DatasetError, UsageError
from googlenet_edge.evaluation.dataset import LabelledImage, open_dataset
from googlenet_edge.evaluation.evaluate import evaluate
from googlenet_edge.runtime.classifier import Classifier

BGR = {"red": (0, 0, 200), "green": (0, 200, 0), "blue": (200, 0, 0), "white": (230, 230, 230), "black": (20, 20, 20)}


@pytest.fixture
def classifier(tiny_bundle: Path) -> Iterator[Classifier]:
    with Classifier(Bundle.open(tiny_bundle), threads=1) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of each of four colours; among the greens is a red one, among the blues a damaged file."""
    root = tmp_path / "colors"
    for name in ("red", "green", "blue", "white"):
        (root / name).mkdir(parents=True)
        for number in range(3):
            image = np.full((240 + 40 * number, 300, 3), BGR[name], np.uint8)
            assert cv2.imwrite(str(root / name / f"{number}.png"), image)
    assert cv2.imwrite(str(root / "green" / "1.png"), np.full((240, 300, 3), BGR["red"], np.uint8))
    (root / "blue" / "2.png").write_bytes(b"\x89PNG damaged")
    return root


@pytest.mark.parametrize("batch", [1, 4, 8, 100])
def test_a_folder_of_colours(classifier: Classifier, folder: Path, batch: int) -> None:
    told: list[int] = []
    ticks = iter((1_000, 5_000_001_000))
    dataset = open_dataset(folder, classifier.labels)
    report = evaluate(classifier, dataset, batch=batch, progress=told.append, clock=lambda: next(ticks))
    assert (report.top1.correct, report.top1.count) == (10, 11)
    assert report.top5 is None
    assert [entry.name for entry in report.skipped] == ["blue/2.png"]
    assert report.empty_classes == ("black",)
    (pair,) = report.worst_pairs(5)
    assert (report.labels[pair.truth], report.labels[pair.predicted], pair.count) == ("green", "red", 1)
    assert report.seconds == 5.0
    assert told[-1] == 12
    assert told == sorted(told)
    assert len(told) == -(-12 // batch)


def test_each_image_keeps_its_name_and_classes(classifier: Classifier, folder: Path) -> None:
    report = evaluate(classifier, open_dataset(folder, classifier.labels), batch=5)
    by_name = {result.name: result for result in report.results}
    assert set(by_name) == {f"{c}/{n}.png" for c in ("red", "green", "blue", "white") for n in range(3)} - {
        "blue/2.png"
    }
    mislaid = by_name["green/1.png"]
    assert classifier.labels[mislaid.truth] == "green"
    assert classifier.labels[mislaid.class_ids[0]] == "red"
    assert len(mislaid.class_ids) == 5
    assert 0.9 < mislaid.probability <= 1


@dataclass
class InMemory:
    """A dataset of given images; a file can hold no image that the classifier refuses."""

    items: list[LabelledImage]
    description: str = "in memory"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self.items)

    def limited(self, count: int) -> InMemory:
        return InMemory(self.items[:count])


def test_an_image_that_the_classifier_refuses_costs_only_itself(classifier: Classifier) -> None:
    good = np.full((240, 240, 3), BGR["red"], np.uint8)
    wrong = np.zeros((240, 240, 3), np.float32)
    items = [LabelledImage(good, 0, "a"), LabelledImage(wrong, 0, "b"), LabelledImage(good, 0, "c")]  # type: ignore[arg-type]
    report = evaluate(classifier, InMemory(items))
    assert [result.name for result in report.results] == ["a", "c"]
    assert [entry.name for entry in report.skipped] == ["b"]
    assert "float32" in report.skipped[0].reason


def test_nothing_readable_is_an_error(classifier: Classifier, tmp_path: Path) -> None:
    root = tmp_path / "images"
    (root / "red").mkdir(parents=True)
    (root / "red" / "a.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"none of its 1 images could be used: red/a\.png: the file is empty"):
        evaluate(classifier, open_dataset(root, classifier.labels))


def test_an_empty_dataset_is_an_error(classifier: Classifier) -> None:
    with pytest.raises(DatasetError, match="none of its 0 images"):
        evaluate(classifier, InMemory([]))


def test_a_batch_below_one(classifier: Classifier) -> None:
    with pytest.raises(UsageError, match="batch: got 0"):
        evaluate(classifier, InMemory([]), batch=0)
