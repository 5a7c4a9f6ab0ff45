"""The figures of an evaluation: accuracies with their uncertainty, the weakest classes, the most confused pairs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Accuracy", "ClassAccuracy", "ConfusedPair", "EvaluationReport", "ImageResult", "SkippedImage"]

Z_95 = 1.959963984540054
"""The standard normal distribution has 95 % of its weight within this distance of 0."""

REPORT_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Accuracy:
    """So many of so many images were right."""

    correct: int
    count: int
    """At least 1."""

    @property
    def percent(self) -> float:
        """The share that was right, in percent."""
        return 100 * self.correct / self.count

    @property
    def interval_percent(self) -> tuple[float, float]:
        """The 95 % confidence interval in percent: the score interval of Wilson (1927, J. Am. Stat. Assoc. 22, 209).

        Unlike the usual plus-minus formula it stays between 0 and 100, and is not empty when all images are right.
        """
        share, z_squared = self.correct / self.count, Z_95**2
        denominator = 1 + z_squared / self.count
        center = (share + z_squared / (2 * self.count)) / denominator
        spread = math.sqrt(share * (1 - share) / self.count + z_squared / (4 * self.count**2))
        half_width = Z_95 * spread / denominator
        # Rounding may leave the true share a hair outside, when it is 0 or 1.
        return 100 * max(0.0, min(share, center - half_width)), 100 * min(1.0, max(share, center + half_width))

    def to_dict(self) -> dict[str, object]:
        """Return the figures as JSON values."""
        low, high = self.interval_percent
        return {
            "correct": self.correct,
            "count": self.count,
            "percent": self.percent,
            "low_95_percent": low,
            "high_95_percent": high,
        }


@dataclass(frozen=True)
class ClassAccuracy:
    """The accuracy on the images of one class (its recall)."""

    class_id: int
    label: str
    accuracy: Accuracy | None
    """None where the set has no image of this class."""


@dataclass(frozen=True)
class ConfusedPair:
    """Images of one class that were taken for one other."""

    truth: int
    predicted: int
    count: int
    share_percent: float
    """Of the images of the class ``truth``."""


@dataclass(frozen=True)
class ImageResult:
    """What became of one image."""

    name: str
    truth: int
    class_ids: tuple[int, ...]
    """Best first; up to five."""
    probability: float
    """Of the best class, 0 to 1."""


@dataclass(frozen=True)
class SkippedImage:
    """An image that took no part, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class EvaluationReport:
    """An evaluation's result: one entry per image, and the figures that follow from them."""

    dataset: str
    labels: tuple[str, ...]
    results: tuple[ImageResult, ...]
    """In the order of the dataset; at least one."""
    skipped: tuple[SkippedImage, ...]
    duration_ns: int
    """From the first image's reading to the last one's result."""

    @property
    def count(self) -> int:
        """Images that were classified; those skipped are not among them."""
        return len(self.results)

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self.duration_ns / 1e9

    @cached_property
    def top1(self) -> Accuracy:
        """Images whose best class is the right one."""
        return Accuracy(sum(result.class_ids[0] == result.truth for result in self.results), self.count)

    @cached_property
    def top5(self) -> Accuracy | None:
        """Images with the right class among the five best; None with five classes or fewer, where all are."""
        if len(self.labels) <= 5:
            return None
        return Accuracy(sum(result.truth in result.class_ids[:5] for result in self.results), self.count)

    @cached_property
    def classes(self) -> tuple[ClassAccuracy, ...]:
        """Every class in the order of the ids."""
        totals = Counter(result.truth for result in self.results)
        rights = Counter(result.truth for result in self.results if result.class_ids[0] == result.truth)
        return tuple(
            ClassAccuracy(class_id, label, Accuracy(rights[class_id], totals[class_id]) if totals[class_id] else None)
            for class_id, label in enumerate(self.labels)
        )

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Labels of which no image was classified: the figures say nothing about them."""
        return tuple(entry.label for entry in self.classes if entry.accuracy is None)

    def worst_classes(self, limit: int) -> list[ClassAccuracy]:
        """Return up to ``limit`` classes with at least one error, the weakest first."""
        wrong = [(c.accuracy, c) for c in self.classes if c.accuracy and c.accuracy.correct < c.accuracy.count]
        # Of two equally weak, the one with more images first: it is the surer.
        wrong.sort(key=lambda entry: (entry[0].percent, -entry[0].count, entry[1].class_id))
        return [entry for _, entry in wrong[:limit]]

    def worst_pairs(self, limit: int) -> list[ConfusedPair]:
        """Return up to ``limit`` pairs of classes, those that were confused most often first."""
        totals = Counter(result.truth for result in self.results)
        pairs = Counter((r.truth, r.class_ids[0]) for r in self.results if r.class_ids[0] != r.truth)
        ordered = sorted(pairs.items(), key=lambda entry: (-entry[1], entry[0]))
        return [ConfusedPair(t, p, count, 100 * count / totals[t]) for (t, p), count in ordered[:limit]]

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON values, each image's classes included."""
        return {
            "schema_version": REPORT_SCHEMA_VERSION,
            "dataset": self.dataset,
            "count": self.count,
            "seconds": self.seconds,
            "top1": self.top1.to_dict(),
            "top5": self.top5.to_dict() if self.top5 else None,
            "labels": list(self.labels),
            "classes": [
                {"class_id": c.class_id, "label": c.label, "accuracy": c.accuracy.to_dict() if c.accuracy else None}
                for c in self.classes
            ],
            "confused_pairs": [
                {"truth": pair.truth, "predicted": pair.predicted, "count": pair.count}
                for pair in self.worst_pairs(len(self.labels) ** 2)
            ],
            "skipped": [{"name": entry.name, "reason": entry.reason} for entry in self.skipped],
            "images": [
                {"name": r.name, "truth": r.truth, "class_ids": list(r.class_ids), "probability": r.probability}
                for r in self.results
            ],
        }
