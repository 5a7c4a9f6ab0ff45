"""Lists the files of a labelled set: a folder per class, or a CSV file."""

from __future__ import annotations

import csv
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from googlenet_edge.capture.images import IMAGE_SUFFIXES
from googlenet_edge.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from googlenet_edge.evaluation.labels import ClassFinder

__all__ = ["LabelledFile", "list_csv", "list_folder"]

logger = logging.getLogger(__name__)

SHOWN_PROBLEMS = 5
"""So many bad rows are spelled out in an error; the rest are counted."""


@dataclass(frozen=True)
class LabelledFile:
    """An image file and its class id."""

    path: Path
    truth: int
    name: str
    """The path within the dataset; for a CSV file with the number of its line."""


def list_folder(root: Path, finder: ClassFinder) -> tuple[LabelledFile, ...]:
    """List the images of a folder that has one folder per class. Raises DatasetError and OSError."""
    entries = sorted(entry for entry in root.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        raise DatasetError(
            f"dataset {str(root)!r} has no folders: expected one folder per class, named by its label or class id; for "
            f"images in one folder, list them in a CSV file with the columns path,label"
        )
    if loose := [entry.name for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]:
        logger.warning("%s: %d images outside the classes' folders are left out (%s)", root, len(loose), loose[0])
    files = []
    for folder in folders:
        try:
            truth = finder.find(folder.name)
        except DatasetError as error:
            raise DatasetError(f"folder {str(folder)!r}: {error}") from error
        images = sorted(_images_below(folder))
        if not images:
            logger.warning("%s: no images", folder)
        files += [LabelledFile(path, truth, str(path.relative_to(root))) for path in images]
    if not files:
        raise DatasetError(
            f"dataset {str(root)!r} has no images in its {len(folders)} folders: expected files that end in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return tuple(files)


def _images_below(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> NoReturn:  # os.walk would leave out a folder that it may not read
        raise error

    for where, _, names in os.walk(folder, onerror=fail):
        for name in names:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith("."):
                yield Path(where, name)


def list_csv(path: Path, finder: ClassFinder) -> tuple[LabelledFile, ...]:
    """List the images of a CSV file with the columns ``path`` and ``label``. Raises DatasetError and OSError."""
    files: list[LabelledFile] = []
    problems: list[str] = []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        try:
            reader = csv.DictReader(stream, strict=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
            if not {"path", "label"} <= set(reader.fieldnames):
                raise DatasetError(
                    f"CSV file {str(path)!r}: got the columns {', '.join(reader.fieldnames) or '(none)'}, expected "
                    f"path and label in the first line, separated by commas"
                )
            for row in reader:
                name, label = (row["path"] or "").strip(), (row["label"] or "").strip()
                if not name or not label:
                    problems.append(f"line {reader.line_num}: no {'label' if name else 'path'}")
                    continue
                try:
                    named = f"{name} (line {reader.line_num})"
                    files.append(LabelledFile(path.parent / name, finder.find(label), named))
                except DatasetError as error:
                    problems.append(f"line {reader.line_num}: {error}")
        except csv.Error as error:
            raise DatasetError(f"CSV file {str(path)!r}, line {reader.reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"CSV file {str(path)!r} is not UTF-8 text ({error.reason}): save it as UTF-8"
            ) from error
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        shown = "\n  ".join(problems[:SHOWN_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))
        raise DatasetError(f"CSV file {str(path)!r} has {len(problems)} bad rows:\n  {shown}")
    if not files:
        raise DatasetError(f"CSV file {str(path)!r} has no rows below its header: expected one per image")
    return tuple(files)
