"""One pass over a labelled set for several precisions of one network: each frame is read and cropped once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import BackendError, DatasetError, InputError, UsageError
from googlenet_edge.evaluation.paired import PairedCounts
from googlenet_edge.evaluation.report import Accuracy, SkippedImage
from googlenet_edge.runtime.preprocess import preprocess

if TYPE_CHECKING:
    from googlenet_edge.evaluation.dataset import Dataset, LabelledImage
    from googlenet_edge.runtime.backend import Outputs
    from googlenet_edge.types import CropRule, ImageArray

__all__ = ["Inference", "JudgedImage", "PrecisionFigures", "PrecisionReport", "compare_precisions"]

_TOP = 5


class Inference(Protocol):
    """What computes one precision; every :class:`~googlenet_edge.runtime.backend.Backend` is one."""

    def infer(self, batch: ImageArray) -> Outputs:
        """Return logits and probabilities, float32 (N, classes), of uint8 (N, H, W, 3) BGR crops."""
        ...


@dataclass(frozen=True)
class JudgedImage:
    """What became of one image, in the order of the precisions."""

    name: str
    truth: int
    best: tuple[int, ...]
    """Best class of each precision."""
    in_top5: tuple[bool, ...]
    """Whether the right class is among the best five of each precision."""


@dataclass(frozen=True)
class PrecisionFigures:
    """One precision on a labelled set."""

    precision: str
    top1: Accuracy
    top5: Accuracy | None
    """None with five classes or fewer, where every answer is among the best five."""
    agreement: Accuracy
    """Images with the same best class as the reference."""
    sqnr_db: float
    """Of the logits over all frames against the reference: 10 log10(sum(a^2) / sum((a - b)^2)); inf if equal."""
    paired: PairedCounts
    """Top-1, image by image, against the reference."""


@dataclass(frozen=True)
class PrecisionReport:
    """Several precisions of one network on one labelled set; the first is the reference."""

    dataset: str
    class_count: int
    precisions: tuple[str, ...]
    images: tuple[JudgedImage, ...]
    """In the order of the dataset; at least one."""
    sqnr_db: tuple[float, ...]
    skipped: tuple[SkippedImage, ...]

    @property
    def count(self) -> int:
        """Images that were classified; those skipped are not among them."""
        return len(self.images)

    def figures(self, precision: str) -> PrecisionFigures:
        """Return the figures of one precision. Raises :class:`UsageError` for one that was not measured."""
        if precision not in self.precisions:
            raise UsageError(f"precision: got {precision!r}, expected one of {', '.join(self.precisions)}")
        index, count = self.precisions.index(precision), self.count
        right = [image.best[index] == image.truth for image in self.images]
        reference = [image.best[0] == image.truth for image in self.images]
        pairs = list(zip(reference, right, strict=True))
        in_top5 = sum(image.in_top5[index] for image in self.images)
        return PrecisionFigures(
            precision=precision,
            top1=Accuracy(sum(right), count),
            top5=Accuracy(in_top5, count) if self.class_count > _TOP else None,
            agreement=Accuracy(sum(image.best[index] == image.best[0] for image in self.images), count),
            sqnr_db=self.sqnr_db[index],
            paired=PairedCounts(
                pairs.count((True, True)),
                pairs.count((True, False)),
                pairs.count((False, True)),
                pairs.count((False, False)),
            ),
        )


def compare_precisions(
    judges: Mapping[str, Inference],
    dataset: Dataset,
    crop: CropRule,
    *,
    batch: int = 8,
    progress: Callable[[int], None] | None = None,
) -> PrecisionReport:
    """Classify every image of a dataset by each of ``judges``; the first of them is the reference.

    Images that cannot be read or cropped are left out of every figure, and named in the report. What is kept of an
    image are a few numbers, so memory hardly depends on the size of the set. ``progress`` is told after each batch how
    many images are done, skipped ones among them.

    Raises:
        DatasetError: Not one image was left.
        BackendError: A judge failed, or gave results that are not finite; it names the precision and the image.
        UsageError: There is no judge, or ``batch`` is below 1.
    """
    if not judges or batch < 1:
        raise UsageError(f"got {len(judges)} precisions and batch {batch}, expected at least 1 of each")
    images: list[JudgedImage] = []
    skipped: list[SkippedImage] = []
    noise = np.zeros(len(judges))
    signal = 0.0
    class_count = 0
    for group in _groups(iter(dataset), batch):
        items, crops = _cropped(group, crop, skipped)
        if items:
            logits = [_logits(judge, name, crops, items) for name, judge in judges.items()]
            reference = logits[0].astype(np.float64)
            class_count = reference.shape[1]
            signal += float(np.square(reference).sum())
            noise += [float(np.square(found - reference).sum()) for found in logits]
            images += _judged(items, logits)
        if progress is not None:
            progress(len(images) + len(skipped))
    if not images:
        first = f": {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise DatasetError(f"dataset {dataset.description!r}: none of its {len(skipped)} images could be used{first}")
    return PrecisionReport(
        dataset=dataset.description,
        class_count=class_count,
        precisions=tuple(judges),
        images=tuple(images),
        sqnr_db=tuple(_decibels(signal, value) for value in noise.tolist()),
        skipped=tuple(skipped),
    )


def _groups(images: Iterator[LabelledImage], size: int) -> Iterator[list[LabelledImage]]:
    while group := list(islice(images, size)):
        yield group


def _cropped(
    group: Sequence[LabelledImage], rule: CropRule, skipped: list[SkippedImage]
) -> tuple[list[LabelledImage], ImageArray]:
    """Return the images of a group that can be used, and their crops; the others go to ``skipped``."""
    crops = np.empty((len(group), rule.crop_px, rule.crop_px, 3), np.uint8)
    items: list[LabelledImage] = []
    for item in group:
        try:
            if item.image is not None:
                preprocess(item.image, rule, out=crops[len(items)])
                items.append(item)
            else:
                skipped.append(SkippedImage(item.name, item.problem or "no image"))
        except InputError as error:
            skipped.append(SkippedImage(item.name, str(error)))
    return items, crops[: len(items)]


def _logits(judge: Inference, name: str, crops: ImageArray, items: Sequence[LabelledImage]) -> npt.NDArray[np.float32]:
    logits, probabilities = judge.infer(crops)
    finite = np.isfinite(logits).all(axis=1) & np.isfinite(probabilities).all(axis=1)
    if not finite.all():
        raise BackendError(
            f"{name}, image {items[int(finite.argmin())].name}: got logits or probabilities that are NaN or infinite, "
            "expected finite numbers: a value in the network passes what the precision can hold; keep the layers "
            "before it in a wider one"
        )
    return logits


def _judged(items: Sequence[LabelledImage], logits: Sequence[npt.NDArray[np.float32]]) -> list[JudgedImage]:
    # Stable: of equal logits, the lower class id comes first, as in the classifier.
    ranked = [np.argsort(-found, axis=1, kind="stable")[:, :_TOP].tolist() for found in logits]
    return [
        JudgedImage(
            name=item.name,
            truth=item.truth,
            best=tuple(rows[index][0] for rows in ranked),
            in_top5=tuple(item.truth in rows[index] for rows in ranked),
        )
        for index, item in enumerate(items)
    ]


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
