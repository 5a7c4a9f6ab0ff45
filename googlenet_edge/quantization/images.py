"""Calibration images as the device would see them: any source, through the runtime's own crop and resize.

The crops go to a nameless temporary file as they come. So memory does not grow with their number, a camera can be read
only once and its frames still be used several times (ranges, choice of methods, bias correction), and the hash over
all that calibration will see is known before the network runs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TypeAlias

import numpy as np

from googlenet_edge.errors import DatasetError, InputError, OutputError, SourceError, SourceLostError
from googlenet_edge.quantization.image_files import ImageReader, open_images
from googlenet_edge.quantization.image_summary import ImageSummary, SetObserver
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.types import Clock, CropRule, ImageArray

__all__ = ["CalibrationImages", "ImageOptions", "collect_images"]

_logger = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many are done, and of how many."""

_MOST_IMAGES = 100_000
_LOOKED_AT = 100
"""With ``drop_duplicates``, look at this many times the number of images wanted, at most: a camera may see only one."""


@dataclass(frozen=True)
class ImageOptions:
    """Which images are taken of a source."""

    count: int = 512
    """At most so many, evenly spread over files and videos. 300 to 1000 are enough."""
    every: int | None = None
    """Take every so manyth frame; None chooses by the kind of source (see :func:`collect_images`)."""
    drop_duplicates: bool = False
    """Leave near-duplicates out. By default they stay and are counted: how often a scene occurs is part of the
    distribution that percentile, entropy and MSE thresholds look at."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST_IMAGES:
            raise InputError(f"count: got {self.count}, expected 1 to {_MOST_IMAGES} images")
        if self.every is not None and self.every < 1:
            raise InputError(f"every: got {self.every}, expected 1 or more frames")


class CalibrationImages:
    """Crops, uint8 (crop, crop, 3) BGR, in a temporary file that is gone when this is closed. A context manager."""

    def __init__(
        self, file: IO[bytes], rule: CropRule, names: tuple[str, ...], sha256: str, summary: ImageSummary
    ) -> None:
        self._file = file
        self.rule = rule
        """How the crops were made."""
        self.names = names
        """Of each crop: its file, or its source and frame number."""
        self.sha256 = sha256
        """Over the bytes of all crops in their order: what calibration really sees."""
        self.summary = summary

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[ImageArray]:
        return (self.read(index) for index in range(len(self)))

    def read(self, index: int, count: int = 1) -> ImageArray:
        """Return up to ``count`` crops from ``index`` on, uint8 (crops, crop, crop, 3) BGR. Threads may share it.

        Raises :class:`InputError` for an index that does not exist.
        """
        if not 0 <= index < len(self) or count < 1:
            raise InputError(f"crop: got index {index} and count {count}, expected 0 to {len(self) - 1}, and 1 or more")
        side_px = self.rule.crop_px
        size_bytes = side_px * side_px * 3
        count = min(count, len(self) - index)
        data = os.pread(self._file.fileno(), count * size_bytes, index * size_bytes)
        return np.frombuffer(data, np.uint8).reshape(count, side_px, side_px, 3)

    def close(self) -> None:
        """Free the temporary file. Idempotent."""
        self._file.close()

    def __enter__(self) -> CalibrationImages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def collect_images(
    source: str | os.PathLike[str],
    rule: CropRule,
    options: ImageOptions | None = None,
    *,
    progress: Progress | None = None,
    clock: Clock = time.monotonic_ns,
) -> CalibrationImages:
    """Read, crop and judge the calibration images of a source; close the result when done.

    ``source`` is a folder of images (or of a folder per class, or a collection with its ``manifest.json``), a glob, an
    image, a video file, a camera, a network stream or ``demo:``. Files and videos are sampled evenly, live sources once
    a second. What cannot be read is left out, named in the summary and in its warnings, which are logged too.

    Raises:
        DatasetError: There is no image, none can be read, or one was altered since its manifest was written.
        UsageError: There is no such kind of source.
        OutputError: The temporary file cannot be written.
    """
    options = options or ImageOptions()
    reader = open_images(source, count=options.count, every=options.every, clock=clock)
    file = tempfile.TemporaryFile(prefix="googlenet-edge-")  # noqa: SIM115 - the result owns it
    try:
        images = _fill(file, reader, rule, options, progress)
    except BaseException as error:
        _discard(file)
        if isinstance(error, OSError) and not isinstance(error, (SourceError, OutputError)):
            raise OutputError(
                f"temporary file of the crops in {tempfile.gettempdir()!r}: cannot be written: "
                f"{error.strerror or error}; free some room there, set TMPDIR to a folder with more, or take fewer "
                f"images than {options.count}"
            ) from error
        raise
    for warning in images.summary.warnings:
        _logger.warning("calibration images: %s", warning.message)
    return images


def _fill(
    file: IO[bytes], reader: ImageReader, rule: CropRule, options: ImageOptions, progress: Progress | None
) -> CalibrationImages:
    observer, digest, names = SetObserver(), hashlib.sha256(), []
    dropped = seen = 0
    ended_early: str | None = None
    total = min(options.count, reader.available or options.count)
    crop = np.empty((rule.crop_px, rule.crop_px, 3), np.uint8)
    try:
        for name, image in reader.frames:
            seen += 1
            preprocess(image, rule, out=crop)
            near_duplicate = observer.is_near_duplicate(crop)
            if near_duplicate and options.drop_duplicates:
                dropped += 1
                if seen >= _LOOKED_AT * options.count:
                    break
                continue
            observer.add(crop, near_duplicate=near_duplicate)
            names.append(name)
            digest.update(crop.data)
            file.write(crop.data)
            if progress is not None:
                progress(len(names), total)
            if len(names) == options.count:
                break
    except SourceLostError as error:
        ended_early = str(error)
    except SourceError as error:
        raise DatasetError(f"calibration images: {error}") from error
    finally:
        _finish(reader)
    unreadable = tuple(reader.unreadable)
    if not names:
        why = f"{unreadable[0].name!r}: {unreadable[0].reason}" if unreadable else ended_early or "it gave no frame"
        raise DatasetError(
            f"calibration images of {reader.description}: none of {len(unreadable) or 'the'} images can be read "
            f"({why}); give at least one image, better 300 to 1000"
        )
    file.flush()
    summary = ImageSummary(
        source=reader.description,
        asked=options.count,
        near_duplicates=observer.near_duplicates,
        duplicates_dropped=dropped,
        grey=observer.grey,
        blank=observer.blank,
        unreadable=unreadable,
        warnings=observer.warnings(unreadable=unreadable, ended_early=ended_early),
    )
    return CalibrationImages(file, rule, tuple(names), digest.hexdigest(), summary)


def _finish(reader: ImageReader) -> None:
    """Let the reader close its source, also when it was left before its end."""
    close = getattr(reader.frames, "close", None)
    if close is not None:
        close()


def _discard(file: IO[bytes]) -> None:
    try:
        file.close()
    except OSError as error:  # what is buffered cannot be written either
        _logger.debug("temporary file of the crops: %s", error)
