"""Counts right answers where the source knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from googlenet_edge.types import Prediction

__all__ = ["Accuracy", "AccuracyCounter", "combined"]


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy over the frames whose truth the source knows, warm-up included."""

    frames_with_truth: int
    correct: int
    compared_by: Literal["label", "class id"]
    """"label" where the source has labels of its own; "class id" where it has none, or the classifier's."""
    unavailable: str | None = None
    """Why there is no accuracy although the source knows the truth; None where nothing is wrong."""

    @property
    def top1(self) -> float | None:
        """Share of right frames, 0 to 1; None where it was not measured."""
        return self.correct / self.frames_with_truth if self.frames_with_truth and self.unavailable is None else None


class AccuracyCounter:
    """Counts right answers, comparing labels by name where the source has names."""

    def __init__(self, source_labels: Sequence[str] | None, classifier_labels: Sequence[str]) -> None:
        # Equal labels mean equal class ids, which also tells apart classes that share a label (ImageNet's two cranes).
        same = source_labels is not None and tuple(source_labels) == tuple(classifier_labels)
        self._source_labels = None if source_labels is None or same else tuple(source_labels)
        self._classes = len(classifier_labels)
        self._frames = 0
        self._correct = 0
        self._unavailable: str | None = None
        known, named = set(classifier_labels), set(self._source_labels or ())
        unknown = sorted(named - known)
        if unknown:
            self._unavailable = (
                f"the classifier does not know {len(unknown)} of the source's {len(named)} labels, for example "
                f"{unknown[0]!r}; use a bundle that was made for these labels"
            )

    def add(self, truth: int | None, prediction: Prediction) -> None:
        """Count one frame; a frame without truth is none."""
        if truth is None:
            return
        self._frames += 1
        count = self._classes if self._source_labels is None else len(self._source_labels)
        if not 0 <= truth < count:
            self._unavailable = self._unavailable or f"the source gave class id {truth}, expected 0 to {count - 1}"
        elif self._source_labels is None:
            self._correct += truth == prediction.class_id
        else:
            self._correct += self._source_labels[truth] == prediction.label

    def result(self) -> Accuracy:
        """Return what was counted so far."""
        return Accuracy(
            frames_with_truth=self._frames,
            correct=self._correct,
            compared_by="class id" if self._source_labels is None else "label",
            unavailable=self._unavailable if self._frames else None,
        )


def combined(accuracies: Sequence[Accuracy]) -> Accuracy:
    """Return the accuracy over the frames of several cameras, at least one."""
    return Accuracy(
        frames_with_truth=sum(accuracy.frames_with_truth for accuracy in accuracies),
        correct=sum(accuracy.correct for accuracy in accuracies),
        compared_by="label" if any(accuracy.compared_by == "label" for accuracy in accuracies) else "class id",
        unavailable=next((accuracy.unavailable for accuracy in accuracies if accuracy.unavailable), None),
    )
