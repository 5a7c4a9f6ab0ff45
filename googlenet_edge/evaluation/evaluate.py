"""Classifies a labelled set, image by image kept, so that two bundles can be compared on the same images later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from googlenet_edge.errors import DatasetError, InputError, UsageError
from googlenet_edge.evaluation.report import EvaluationReport, ImageResult, SkippedImage

if TYPE_CHECKING:
    from googlenet_edge.evaluation.dataset import Dataset, LabelledImage
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.types import Clock, ImageArray, Prediction

__all__ = ["KEPT_CLASSES", "Progress", "evaluate"]

KEPT_CLASSES = 5
"""So many best classes are kept of each image."""

Progress = Callable[[int], None]
"""Is told after each batch how many images are done, skipped ones among them."""


def evaluate(
    classifier: Classifier,
    dataset: Dataset,
    *,
    batch: int = 8,
    progress: Progress | None = None,
    clock: Clock = time.monotonic_ns,
) -> EvaluationReport:
    """Classify every image of a dataset, ``batch`` at a time, and count what is right.

    Images that cannot be read or classified are left out of every figure, and named in the report. Raises DatasetError
    when not one image was left, UsageError for a batch below 1.
    """
    if batch < 1:
        raise UsageError(f"batch: got {batch}, expected at least 1 image per inference")
    results: list[ImageResult] = []
    skipped: list[SkippedImage] = []
    began_ns = clock()
    for group in _groups(dataset, batch):
        for item, outcome in zip(group, _classify(classifier, group), strict=True):
            if isinstance(outcome, str):
                skipped.append(SkippedImage(item.name, outcome))
            else:
                results.append(ImageResult(item.name, item.truth, outcome.class_ids, outcome.probability))
        if progress is not None:
            progress(len(results) + len(skipped))
    duration_ns = clock() - began_ns
    if not results:
        first = f": {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise DatasetError(f"dataset {dataset.description!r}: none of its {len(skipped)} images could be used{first}")
    return EvaluationReport(
        dataset=dataset.description,
        labels=tuple(classifier.labels),
        results=tuple(results),
        skipped=tuple(skipped),
        duration_ns=duration_ns,
    )


def _groups(images: Iterable[LabelledImage], size: int) -> Iterator[list[LabelledImage]]:
    remaining = iter(images)
    while group := list(islice(remaining, size)):
        yield group


def _classify(classifier: Classifier, group: Sequence[LabelledImage]) -> list[Prediction | str]:
    """Return for each image its prediction, or the reason why there is none."""
    images = [item.image for item in group if item.image is not None]
    predictions = iter(_classify_images(classifier, images))
    return [item.problem or "no image" if item.image is None else next(predictions) for item in group]


def _classify_images(classifier: Classifier, images: list[ImageArray]) -> list[Prediction | str]:
    top_k = min(KEPT_CLASSES, len(classifier.labels))
    if not images:
        return []
    try:
        return list(classifier.classify_batch(images, top_k=top_k))
    except InputError as error:
        # One image that the classifier refuses must not cost its neighbours: find it by asking for each alone.
        if len(images) == 1:
            return [str(error)]
        return [outcome for image in images for outcome in _classify_images(classifier, [image])]
