"""Several precisions in one pass: the figures by hand, each image read once, and what cannot be used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.errors import BackendError, DatasetError, UsageError
from googlenet_edge.evaluation.dataset import Dataset, LabelledImage
from googlenet_edge.evaluation.precisions import compare_precisions
from googlenet_edge.types import CropRule, ImageArray

RULE = CropRule(resize_px=8, crop_px=8)
CLASSES = 7


@dataclass
class Numbers:
    """A labelled set in which image k is of the plain grey value k, and of class k % 7."""

    count: int
    unreadable: tuple[int, ...] = ()
    read: list[int] = field(default_factory=list)
    description: str = "numbers"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[LabelledImage]:
        for number in range(self.count):
            self.read.append(number)
            if number in self.unreadable:
                yield LabelledImage(None, number % CLASSES, f"{number}", problem="torn")
            else:
                yield LabelledImage(np.full((8, 8, 3), number, np.uint8), number % CLASSES, f"{number}")

    def limited(self, count: int) -> Dataset:
        raise NotImplementedError


@dataclass
class Counter:
    """Says the right class, but for some numbers the next one; ``noise`` is added to every logit."""

    wrong: tuple[int, ...] = ()
    noise: float = 0.0
    batches: list[int] = field(default_factory=list)

    def infer(self, batch: ImageArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        self.batches.append(len(batch))
        numbers = batch[:, 0, 0, 0].astype(int)
        logits = np.zeros((len(batch), CLASSES), np.float32)
        for row, number in zip(logits, numbers, strict=True):
            row[(number + (number in self.wrong)) % CLASSES] = 10
        logits += np.float32(self.noise)
        return logits, np.full_like(logits, 1 / CLASSES)


def test_the_figures_by_hand() -> None:
    data = Numbers(20, unreadable=(3,))
    told: list[int] = []
    exact, low = Counter(wrong=(1, 2)), Counter(wrong=(2, 5, 6), noise=0.5)
    report = compare_precisions({"fp32": exact, "int8": low}, data, RULE, batch=8, progress=told.append)
    assert data.read == list(range(20))  # each once, for both
    assert exact.batches == low.batches == [7, 8, 4]
    assert told == [8, 16, 20]
    assert report.count == 19
    assert [(entry.name, entry.reason) for entry in report.skipped] == [("3", "torn")]
    figures = report.figures("int8")
    assert (figures.top1.correct, figures.top1.count) == (16, 19)
    assert (figures.agreement.correct, figures.agreement.count) == (16, 19)  # 1, 5 and 6
    paired = figures.paired
    assert (paired.both, paired.only_reference, paired.only_candidate, paired.neither) == (15, 2, 1, 1)
    assert figures.top5 is not None
    # A wrong class is preferred to all; of the others, the lower ids come first: classes 5 and 6 fall out.
    assert figures.top5.correct == 17
    signal, noise = 19 * 100.0, 19 * CLASSES * 0.25 + 3 * 2 * 100
    assert figures.sqnr_db == pytest.approx(10 * math.log10(signal / noise), abs=0.2)
    own = report.figures("fp32")
    assert own.sqnr_db == math.inf
    assert own.agreement.percent == 100
    assert own.paired.difference_points == 0
    with pytest.raises(UsageError, match="'fp16'"):
        report.figures("fp16")


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_batch_size_changes_nothing(batch: int) -> None:
    judges = {"fp32": Counter(wrong=(1,)), "fp16": Counter(wrong=(4,), noise=0.1)}
    report = compare_precisions(judges, Numbers(11), RULE, batch=batch)
    reference = compare_precisions(judges, Numbers(11), RULE)
    assert report.images == reference.images
    assert report.sqnr_db == pytest.approx(reference.sqnr_db)


def test_real_files_that_cannot_be_used(tmp_path: Path) -> None:
    from googlenet_edge.evaluation.dataset import open_dataset

    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        assert cv2.imwrite(str(tmp_path / label / "0.png"), np.full((9, 9, 3), 40, np.uint8))
    (tmp_path / "a" / "1.png").write_bytes(b"torn")
    report = compare_precisions({"fp32": Counter()}, open_dataset(tmp_path, ["a", "b"]), RULE)
    assert report.count == 2
    assert [entry.name for entry in report.skipped] == ["a/1.png"]


def test_what_stops_it() -> None:
    with pytest.raises(DatasetError, match="none of its 2 images could be used: 0: torn"):
        compare_precisions({"fp32": Counter()}, Numbers(2, unreadable=(0, 1)), RULE)
    with pytest.raises(BackendError, match="int8, image 0: got logits"):
        compare_precisions({"fp32": Counter(), "int8": Counter(noise=math.inf)}, Numbers(2), RULE)
    with pytest.raises(UsageError):
        compare_precisions({}, Numbers(2), RULE)
