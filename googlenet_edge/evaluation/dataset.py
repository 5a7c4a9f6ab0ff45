"""Labelled images from a folder per class, from a CSV file, or from the demo's own scenes."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from googlenet_edge.capture.images import read_image
from googlenet_edge.errors import DatasetError, SourceError, UsageError
from googlenet_edge.evaluation.files import LabelledFile, list_csv, list_folder
from googlenet_edge.evaluation.labels import ClassFinder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from googlenet_edge.types import ImageArray

__all__ = ["Dataset", "DemoDataset", "FileDataset", "LabelledImage", "open_dataset"]


@dataclass(frozen=True)
class LabelledImage:
    """One image of a dataset."""

    image: ImageArray | None
    """uint8 (height, width, 3) BGR; None where the file could not be read."""
    truth: int
    """The right class id."""
    name: str
    """The file, relative to the dataset, or the scene."""
    problem: str | None = None
    """Why there is no image."""


class Dataset(Protocol):
    """Labelled images that can be gone through as often as wanted."""

    @property
    def description(self) -> str:
        """What was opened, for the heading of a report."""

    def __len__(self) -> int:
        """How many images, readable or not."""

    def __iter__(self) -> Iterator[LabelledImage]:
        """Read the images one after the other."""

    def limited(self, count: int) -> Dataset:
        """Return a part of the set with at most ``count`` images."""


@dataclass(frozen=True)
class FileDataset:
    """Images in files, which are read when their turn comes."""

    description: str
    files: tuple[LabelledFile, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[LabelledImage]:
        for file in self.files:
            try:
                yield LabelledImage(read_image(file.path), file.truth, file.name)
            except (SourceError, ValueError) as error:  # ValueError: a zero byte in a CSV file's path
                # The message starts with the full path; the dataset's own name of the file stands before it.
                reason = str(error).removeprefix(f"{file.path}: ")
                yield LabelledImage(None, file.truth, file.name, problem=reason)

    def limited(self, count: int) -> FileDataset:
        """Return ``count`` files spread evenly over the set: its first ones would all be of the first classes."""
        _check_count(count)
        if count >= len(self.files):
            return self
        chosen = tuple(self.files[number * len(self.files) // count] for number in range(count))
        return replace(self, description=f"{self.description}, {count} of {len(self.files)} images", files=chosen)


@dataclass(frozen=True)
class DemoDataset:
    """Scenes of the demo, drawn when their turn comes."""

    split: str
    count: int
    class_ids: tuple[int, ...]
    """The bundle's class id of each of the demo's own."""

    @property
    def description(self) -> str:
        """The address that opens this set."""
        return f"demo:{self.split}?count={self.count}"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[LabelledImage]:
        from googlenet_edge.demo.dataset import scenes

        for number, (image, class_id) in enumerate(scenes(self.split, self.count)):
            yield LabelledImage(image, self.class_ids[class_id], f"demo:{self.split} scene {number}")

    def limited(self, count: int) -> DemoDataset:
        """Return the first ``count`` scenes: the classes take turns."""
        _check_count(count)
        return replace(self, count=min(count, self.count))


def open_dataset(spec: str | Path, labels: Sequence[str]) -> Dataset:
    """Open a labelled set, whose classes are those of ``labels``, the bundle's own.

    ``spec`` is one of

    - a folder with one folder per class, named by its label or its class id (``stop``, ``7``, ``007``);
    - a CSV file with the columns ``path`` (relative to the CSV file, or absolute) and ``label`` (label or class id);
    - ``demo:test`` or ``demo:selection``, and ``demo:test?count=500`` for the first scenes only.

    Raises DatasetError where the set cannot be understood, UsageError for an unknown split of the demo. A single image
    that cannot be read is no error: it is handed over without pixels.
    """
    if isinstance(spec, str) and spec.startswith("demo:"):
        return _open_demo(spec, labels)
    path = Path(spec)
    finder = ClassFinder(labels)
    try:
        if path.is_dir():
            return FileDataset(str(path), list_folder(path, finder))
        if not path.exists():
            raise DatasetError(
                f"dataset {str(spec)!r} does not exist: expected a folder with a folder per class, a CSV file with the "
                f"columns path,label, or demo:test"
            )
        if not path.is_file() or path.suffix.lower() != ".csv":
            raise DatasetError(
                f"dataset {str(path)!r} is neither a folder nor a .csv file: expected a folder with a folder per "
                f"class, or a CSV file with the columns path,label"
            )
        return FileDataset(str(path), list_csv(path, finder))
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"dataset {str(path)!r} cannot be read: {error}") from error


def _open_demo(spec: str, labels: Sequence[str]) -> DemoDataset:
    from googlenet_edge.demo.dataset import LABELS, SPLIT_COUNTS

    split, _, query = spec.removeprefix("demo:").partition("?")
    if not split:
        raise UsageError(
            f"dataset {spec!r}: got the moving scene, which is a source of frames, expected a split: "
            + ", ".join(f"demo:{known}" for known in SPLIT_COUNTS)
        )
    if split not in SPLIT_COUNTS:
        raise UsageError(f"dataset {spec!r}: got split {split!r}, expected one of {', '.join(SPLIT_COUNTS)}")
    options = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    if unknown := set(options) - {"count"}:
        raise UsageError(f"dataset {spec!r}: got option {min(unknown)!r}, expected count, as in demo:{split}?count=500")
    text = options.get("count", str(SPLIT_COUNTS[split]))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= SPLIT_COUNTS[split]):
        raise UsageError(f"dataset {spec!r}: got count={text!r}, expected 1 to {SPLIT_COUNTS[split]}")
    by_label = {label: class_id for class_id, label in enumerate(labels)}
    if missing := [label for label in LABELS if label not in by_label]:
        raise DatasetError(
            f"dataset {spec!r}: the bundle has no class {missing[0]!r}: the demo's scenes fit a bundle made from the "
            f"demo's checkpoint; for this one, give a folder or a CSV file"
        )
    return DemoDataset(split, int(text), tuple(by_label[label] for label in LABELS))


def _check_count(count: int) -> None:
    if count < 1:
        raise UsageError(f"limit: got {count}, expected at least 1 image")
