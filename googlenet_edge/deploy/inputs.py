"""The images of a deployment: calibration, selection and test set, opened before the long work, and kept apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from googlenet_edge.deploy.config import DeployConfig
from googlenet_edge.errors import UsageError
from googlenet_edge.evaluation.dataset import Dataset, DemoDataset, FileDataset, open_dataset
from googlenet_edge.quantization.images import CalibrationImages, collect_images
from googlenet_edge.types import CropRule

__all__ = ["Inputs", "open_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The images of a deployment; None where none were named."""

    test: Dataset | None
    """For the final figures, and for nothing else."""
    selection: Dataset | None
    images: CalibrationImages | None


def open_inputs(
    config: DeployConfig,
    labels: Sequence[str],
    crop: CropRule,
    counts: Callable[[str, int, int], None],
    stack: ExitStack,
) -> Inputs:
    """Open the labelled sets and read the calibration images, which ``stack`` closes.

    Raises DatasetError for what is wrong with one of them, and UsageError if the test set shares an image with another.
    """
    options = config.precision
    test = None if config.evaluate_on is None else open_dataset(config.evaluate_on, labels)
    selection = None if options.select_on is None else open_dataset(options.select_on, labels)
    if test is not None and selection is not None:
        _check_sets(test, selection)
    images = None
    if options.images is not None:
        images = stack.enter_context(
            collect_images(
                options.images, crop, options.image_options,
                progress=lambda done, total: counts("reading images", done, total),
            )
        )  # fmt: skip
        if isinstance(test, FileDataset):
            _check_files("--images", images.names, test)
    return Inputs(test, selection, images)


def _check_sets(test: Dataset, selection: Dataset) -> None:
    if isinstance(test, DemoDataset) and isinstance(selection, DemoDataset) and test.split == selection.split:
        raise UsageError(
            f"--select and --eval: got the same scenes twice, demo:{test.split}, expected two sets; {_WHY}, for "
            "example --select demo:selection --eval demo:test"
        )
    if isinstance(test, FileDataset) and isinstance(selection, FileDataset):
        _check_files("--select", (file.path for file in selection.files), test)


def _check_files(option: str, files: Iterable[str | Path], test: FileDataset) -> None:
    tested = {os.path.realpath(file.path) for file in test.files}
    shared = [file for file in files if os.path.realpath(file) in tested]
    if shared:
        raise UsageError(
            f"{option} and --eval: got {len(shared)} images in both, {str(shared[0])!r} for one, expected none; {_WHY}"
        )


_WHY = (
    "figures of images that took part in a decision say how well they were fitted, not how well the network does on "
    "new ones: give --eval images of its own"
)
