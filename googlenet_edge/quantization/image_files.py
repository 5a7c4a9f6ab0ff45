"""Calibration images from where they lie: files spread evenly over a folder, frames sampled from anything else."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec

from googlenet_edge.capture import open_source, redact
from googlenet_edge.capture.images import IMAGE_SUFFIXES, find_images, find_matches, read_image
from googlenet_edge.errors import DatasetError, SourceError
from googlenet_edge.quantization.image_summary import UnreadableImage
from googlenet_edge.types import Clock, ImageArray

__all__ = ["ImageReader", "open_images"]

MANIFEST = "manifest.json"

_LIVE_INTERVAL_NS = 1_000_000_000
_ENDLESS_EVERY = 10
"""Of a source that is neither live nor of known length (the demo scene), every so manyth frame is taken."""


class _ListedImage(msgspec.Struct):
    file: str
    sha256: str


class _Collection(msgspec.Struct):
    """What is read of the manifest that tools/collect_calibration.py writes."""

    images: list[_ListedImage]


@dataclass
class ImageReader:
    """Frames of a source, one by one, each with its name; files that cannot be read are noted."""

    description: str
    frames: Iterator[tuple[str, ImageArray]]
    """Name, and uint8 (height, width, 3) BGR."""
    available: int | None = None
    """How many there are at most, where that is known."""
    unreadable: list[UnreadableImage] = field(default_factory=list)
    """What could not be read so far."""


def open_images(source: str | os.PathLike[str], *, count: int, every: int | None, clock: Clock) -> ImageReader:
    """Open calibration images: a folder or glob of images, one image, or any source of frames.

    Files are taken evenly spread over the list, because the first ones of a folder per class are all of one class.
    Frames are taken ``every`` so many; None takes one a second of a live source, spreads over a video file, and takes
    every tenth of the endless demo scene. Raises :class:`DatasetError` where there are no images, and
    :class:`~googlenet_edge.errors.UsageError` for a kind of source that does not exist.
    """
    text = os.fsdecode(source)
    try:
        files = _files(text)
        if files is not None:
            return _read_files(text, files, count, every)
        return _read_frames(text, count, every, clock)
    except SourceError as error:
        raise DatasetError(f"calibration images: {error}") from error


def _files(text: str) -> list[tuple[Path, str | None]] | None:
    """Return the image files and, where a manifest lists it, their sha256; None for what is no image file."""
    path = Path(text)
    if not text or "\0" in text:
        return None
    try:
        if path.is_dir():
            return _collection(path) or [(image, None) for image, _ in find_images(path)[0]]
        if path.exists():
            return [(path, None)] if path.suffix.lower() in IMAGE_SUFFIXES else None
    except SourceError:
        raise
    except OSError as error:
        raise DatasetError(f"calibration images: {text!r} cannot be read: {error.strerror}") from error
    if re.search(r"[*?\[]", text) and not re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", text):
        return [(image, None) for image, _ in find_matches(text)[0]]
    return None


def _collection(folder: Path) -> list[tuple[Path, str | None]] | None:
    """Return the images that the folder's manifest lists, None if it has no manifest of a collection."""
    path = folder / MANIFEST
    try:
        listed = msgspec.json.decode(path.read_bytes(), type=_Collection).images
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"calibration images: {str(path)!r} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # a manifest of another kind: the images are found by their names
    for image in listed:
        place = PurePosixPath(image.file)
        if place.is_absolute() or ".." in place.parts or not place.parts or "\0" in image.file:
            raise DatasetError(
                f"calibration images: {str(path)!r} lists the file {image.file!r}, expected names inside its folder; "
                "collect the images again"
            )
    if not listed:
        raise DatasetError(f"calibration images: {str(path)!r} lists no images; collect some first")
    return [(folder / image.file, image.sha256) for image in listed]


def _read_files(text: str, files: list[tuple[Path, str | None]], count: int, every: int | None) -> ImageReader:
    files = files[:: every or 1]
    chosen = [files[len(files) * index // count] for index in range(count)] if len(files) > count else files
    unreadable: list[UnreadableImage] = []

    def frames() -> Iterator[tuple[str, ImageArray]]:
        for path, sha256 in chosen:
            try:
                if sha256 is not None:
                    _check_content(path, sha256)
                image = read_image(path)
            except OSError as error:  # SourceError is one
                reason = error.strerror or str(error)
                unreadable.append(UnreadableImage(str(path), reason.removeprefix(f"{path}: ")))
            else:
                yield str(path), image

    return ImageReader(redact(text), frames(), len(chosen), unreadable)


def _check_content(path: Path, sha256: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != sha256:
        raise DatasetError(
            f"calibration image {str(path)!r}: got sha256 {actual}, its manifest says {sha256}: it was altered; "
            f"collect the images again, or give the glob '{path.parent}/*{path.suffix}' to use them as they are"
        )


def _read_frames(text: str, count: int, every: int | None, clock: Clock) -> ImageReader:
    length = _video_length(text)
    if every is None and length is not None:
        every = max(1, length // count)
    source = open_source(text, clock=clock)
    name = redact(text)
    available = None if length is None or every is None else -(-length // every)

    def frames() -> Iterator[tuple[str, ImageArray]]:
        with source:
            step = every or (1 if source.live else _ENDLESS_EVERY)
            due_ns: int | None = None
            for index, frame in enumerate(source):
                early = every is None and source.live and due_ns is not None and frame.captured_ns < due_ns
                if index % step or early:
                    continue
                due_ns = frame.captured_ns + _LIVE_INTERVAL_NS
                yield f"{name}#{frame.sequence}", frame.image

    return ImageReader(source.description, frames(), available)


def _video_length(text: str) -> int | None:
    """Return the number of frames that a video file announces, None for anything else."""
    import cv2

    if not Path(text).is_file():
        return None
    capture = cv2.VideoCapture(text)
    length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    return length if length > 0 else None
