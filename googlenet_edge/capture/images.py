"""Still images as frames: one file, a folder, a folder per class, or a glob."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.capture.frames import to_bgr
from googlenet_edge.capture.kinds import IMAGE_SUFFIXES
from googlenet_edge.errors import SourceError
from googlenet_edge.types import Clock, Frame, ImageArray, Outages

__all__ = ["IMAGE_SUFFIXES", "ImageSource", "find_images", "read_image"]

_logger = logging.getLogger(__name__)

_Found = tuple[list[tuple[Path, "int | None"]], "tuple[str, ...] | None"]


class ImageSource:
    """The frames of image files; see :class:`~googlenet_edge.capture.source.Source`.

    A file that cannot be read is logged with its name, counted in ``skipped`` and left out of the numbering; when that
    leaves none, iterating raises :class:`SourceError`.
    """

    live = False
    dropped = 0
    connected = True
    outages = Outages()

    def __init__(
        self,
        images: Sequence[tuple[Path, int | None]],
        *,
        description: str,
        clock: Clock,
        labels: tuple[str, ...] | None = None,
        loop: bool = False,
    ) -> None:
        self.description = description
        self.labels = labels
        self.skipped = 0
        """Files that could not be read, so far."""
        self._pending = list(reversed(images))
        self._read: list[tuple[Path, int | None]] = []
        self._loop = loop
        self._clock = clock
        self._sequence = 0
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        while not self._closed and self._pending:
            path, truth = self._pending.pop()
            try:
                image = read_image(path)
            except SourceError as error:
                self.skipped += 1
                _logger.warning("skipped: %s", error)
            else:
                self._read.append((path, truth))
                frame = Frame(image, self._sequence, self._clock(), truth=truth, name=str(path))
                self._sequence += 1
                yield frame
            if not self._pending and not self._read:
                raise SourceError(
                    f"{self.description}: none of the {self.skipped} images can be read; the log says why of each"
                )
            if not self._pending and self._loop:
                self._pending, self._read = self._read[::-1], []

    def __enter__(self) -> ImageSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration after the current image. Idempotent."""
        self._closed = True


def find_images(path: Path) -> _Found:
    """Return the images of a file or folder, in natural order (2 before 10), with class ids; and the class names.

    A folder that holds no image itself but sub-folders with images is a folder per class: the sub-folders' names, in
    natural order, are the classes. Hidden files are left out. Raises :class:`SourceError` where there is no image.
    """
    try:
        if not path.is_dir():
            return [(path, None)], None
        entries = [p for p in path.iterdir() if not p.name.startswith(".")]
        direct = _images(entries)
        folders = sorted((p for p in entries if p.is_dir()), key=natural_order)
        within = [_images(p for p in folder.iterdir() if not p.name.startswith(".")) for folder in folders]
    except OSError as error:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if direct:
        if any(within):
            _logger.warning("%s: has images of its own, so its sub-folders are left out", path)
        return [(p, None) for p in direct], None
    if not any(within):
        raise SourceError(
            f"{path}: no images among its {len(entries)} entries; expected files ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}, in the folder itself or in one sub-folder per class"
        )
    labels = tuple(folder.name for folder in folders)
    return [(p, truth) for truth, images in enumerate(within) for p in images], labels


def find_matches(pattern: str) -> _Found:
    """Return the images that a glob matches (``**`` goes into sub-folders), in natural order, without classes."""
    matches = [Path(p) for p in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
    images = _images(matches)
    if not images:
        raise SourceError(
            f"{pattern}: matches {len(matches)} files, none of them an image; expected names ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))} (quote the pattern so that the shell does not expand it)"
        )
    return [(p, None) for p in images], None


def _images(paths: Sequence[Path] | Iterator[Path]) -> list[Path]:
    # A link that leads nowhere is among them, so that reading it says so.
    images = (p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((p for p in images if p.is_file() or (p.is_symlink() and not p.exists())), key=natural_order)


def natural_order(path: Path) -> tuple[list[int | str], str]:
    """Sort key under which numbers within names count as numbers: frame2 before frame10."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], str(path)


def read_image(path: str | os.PathLike[str]) -> ImageArray:
    """Read an image file as uint8 (height, width, 3) BGR, turned upright by its EXIF orientation, alpha left out.

    Raises :class:`SourceError` for whatever is no complete image. A truncated JPEG is one of these, although OpenCV
    would deliver it with its lower part grey.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data.size:
        raise SourceError(f"{path}: the file is empty, expected an image")
    if _is_cut(data):
        raise SourceError(f"{path}: the image is truncated: its end mark is missing; copy it again")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise SourceError(f"{path}: OpenCV cannot decode it: {error.err or error}") from error
    if image is None:
        raise SourceError(f"{path}: not an image that this OpenCV can decode, or a damaged one")
    return to_bgr(image, str(path))


def _is_cut(data: npt.NDArray[np.uint8]) -> bool:
    content = data.tobytes()
    if content.startswith(b"\xff\xd8"):
        # The last scan must be followed by an end-of-image mark; an EXIF thumbnail has its own, but before the scan.
        # Within a scan neither mark can occur: 0xff is always followed by 0x00 or a restart mark there.
        scan = content.rfind(b"\xff\xda")
        return scan >= 0 and content.find(b"\xff\xd9", scan) < 0
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content
    if content.startswith(b"BM") and len(content) >= 6:
        return int.from_bytes(content[2:6], "little") > len(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return 8 + int.from_bytes(content[4:8], "little") > len(content)
    return False
