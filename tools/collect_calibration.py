"""Collect calibration images: sample frames of any source, and keep those that are sharp and that differ.

    python tools/collect_calibration.py 0 --out my_calibration --count 512 --every 2s
    python tools/collect_calibration.py drive.mp4 --out my_calibration --every 10

Sources are those of ``googlenet-edge run``: a camera, a video file, images, http:// and rtsp:// streams, demo:. The
images are kept whole, as JPEG, beside a ``manifest.json`` with their sha256 and what was left out and why. Ctrl-C ends
the collection early; ``--resume`` goes on with it.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import re
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import msgspec
import numpy as np
from rich.console import Console
from rich.progress import Progress

import googlenet_edge
from googlenet_edge.capture import Source, SourceOptions
from googlenet_edge.errors import DatasetError, GoogLeNetEdgeError, InputError, OutputError, SourceLostError, UsageError
from googlenet_edge.types import Frame, ImageArray

__all__ = ["Collection", "Counts", "Image", "Manifest", "Settings", "collect", "difference_hash", "main", "sharpness"]

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
SHARPNESS_SIDE_PX = 256


@dataclass(frozen=True)
class Settings:
    """What is kept."""

    every_frames: int = 1
    """Look at every n-th frame."""
    every_seconds: float = 0.0
    """Look at a frame only so long after the one before. For live sources: the frames of a file have no time here."""
    min_distance: int = 6
    """Bits of 64 in which the difference hash must differ from that of every kept image; 0 keeps duplicates."""
    min_sharpness: float = 25.0
    """Least variance of the Laplacian; see :func:`sharpness`. Fog lowers it too; 0 keeps every image."""
    jpeg_quality: int = 95

    def __post_init__(self) -> None:
        highest = {"every_frames": 10**9, "every_seconds": 10**6, "min_distance": 64, "min_sharpness": 10**6}
        for name in self.__dataclass_fields__:
            value, low, high = (
                getattr(self, name),
                int(name in ("every_frames", "jpeg_quality")),
                highest.get(name, 100),
            )
            if not low <= value <= high:
                raise InputError(f"{name}: got {value}, expected {low} to {high}")


@dataclass
class Counts:
    """What became of the frames."""

    seen: int = 0
    not_sampled: int = 0
    blurred: int = 0
    near_duplicates: int = 0
    kept: int = 0
    dropped_by_source: int = 0
    """Live frames that gave way to newer ones before they were looked at."""
    unreadable: int = 0
    """Image files of the source that could not be read."""


class Image(msgspec.Struct, omit_defaults=True):
    """An image of the collection."""

    file: str
    sha256: str
    label: str | None = None


class Manifest(msgspec.Struct):
    """``manifest.json``."""

    schema_version: int
    made_by: str
    source: str
    settings: Settings
    counts: Counts
    images: list[Image]


def difference_hash(image: ImageArray) -> int:
    """Return the 64-bit difference hash (dHash) of a uint8 (height, width, 3) BGR image.

    Each bit says whether a pixel of the image, shrunk to 9x8 grey pixels, is darker than the one to its right.
    """
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def sharpness(image: ImageArray) -> float:
    """Return the variance of the Laplacian of a uint8 (height, width, 3) BGR image, on a grey copy of 256x256 pixels.

    The copy has the same size for every camera, so that a threshold means the same. Grey values are 0 to 255.
    """
    size_px = (SHARPNESS_SIDE_PX, SHARPNESS_SIDE_PX)
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size_px, interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(small, cv2.CV_32F).var())


@dataclass
class Collection:
    """A folder of calibration images whose manifest, on disk, is valid at every moment."""

    folder: Path
    manifest: Manifest
    hashes: list[int] = field(default_factory=list)
    """The difference hash of every image."""

    @classmethod
    def create(cls, folder: Path, source: str, settings: Settings) -> Collection:
        """Start a collection in a new or empty folder. Raises :class:`OutputError` for any other."""
        made_by = f"tools/collect_calibration.py (googlenet-edge {googlenet_edge.__version__})"
        collection = cls(folder, Manifest(SCHEMA_VERSION, made_by, source, settings, Counts(), []))
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / MANIFEST).exists():
                raise OutputError(
                    f"{folder}: holds a collection; go on with --resume, or choose another folder with --out"
                )
            if any(folder.iterdir()):
                raise OutputError(f"{folder}: the folder is not empty; choose another with --out")
        collection.write_manifest()
        return collection

    @classmethod
    def resume(cls, folder: Path, source: str, settings: Settings) -> Collection:
        """Go on with a collection. Raises :class:`DatasetError` unless it is whole and of this source and settings."""
        path = folder / MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read: {error.strerror}; there is no collection to resume") from error
        except msgspec.DecodeError as error:
            raise DatasetError(f"{path}: not a manifest of this tool, or a damaged one: {error}") from error
        got, expected = (
            (SCHEMA_VERSION, source, settings),
            (manifest.schema_version, manifest.source, manifest.settings),
        )
        if got != expected:
            raise DatasetError(f"{path}: collected with {expected}, got {got}; choose another folder with --out")
        return cls(folder, manifest, [_known_hash(folder, image) for image in manifest.images])

    def offer(self, frame: Frame, labels: Sequence[str] | None) -> bool:
        """Keep the frame if it is sharp and new, and return whether it was. Raises :class:`OutputError`."""
        settings, counts = self.manifest.settings, self.manifest.counts
        if settings.min_sharpness and sharpness(frame.image) < settings.min_sharpness:
            counts.blurred += 1
            return False
        # Compared is what will be stored, not what came: after a resume there is only the former.
        content = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality])[1].tobytes()
        new = difference_hash(_decode(content))
        if any((new ^ kept).bit_count() < settings.min_distance for kept in self.hashes):
            counts.near_duplicates += 1
            return False
        name = f"frame_{len(self.hashes) + 1:05d}.jpg"
        label = labels[frame.truth] if labels is not None and frame.truth is not None else None
        with _writing(self.folder):
            _write(self.folder / name, content)
        self.manifest.images.append(Image(name, hashlib.sha256(content).hexdigest(), label))
        self.hashes.append(new)
        counts.kept += 1
        self.write_manifest()
        return True

    def write_manifest(self) -> None:
        """Write ``manifest.json``. Raises :class:`OutputError`."""
        with _writing(self.folder):
            _write(self.folder / MANIFEST, msgspec.json.format(msgspec.json.encode(self.manifest), indent=1) + b"\n")


def collect(source: Source, collection: Collection, count: int) -> Generator[int, None, None]:
    """Offer the frames of the source until there are ``count`` images or it ends; yields the number of images.

    However it ends, by an error or Ctrl-C too, the manifest on disk says what there is.
    """
    settings, counts = collection.manifest.settings, collection.manifest.counts
    before = (counts.dropped_by_source, counts.unreadable)
    due_ns: int | None = None
    try:
        for index, frame in enumerate(source if len(collection.hashes) < count else ()):
            counts.seen += 1
            if index % settings.every_frames or (due_ns is not None and frame.captured_ns < due_ns):
                counts.not_sampled += 1
                continue
            due_ns = frame.captured_ns + round(settings.every_seconds * 1e9)
            collection.offer(frame, source.labels)
            yield len(collection.hashes)
            if len(collection.hashes) >= count:
                break
    finally:
        counts.dropped_by_source = before[0] + source.dropped
        counts.unreadable = before[1] + getattr(source, "skipped", 0)
        collection.write_manifest()


def _known_hash(folder: Path, image: Image) -> int:
    """The difference hash of an image that the manifest lists, if it is there and unaltered."""
    path = folder / image.file
    if path.parent != folder:
        raise DatasetError(f"{folder / MANIFEST}: got the file name {image.file!r}, expected one within the folder")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}; the manifest lists it") from error
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise DatasetError(
            f"{path}: altered: its sha256 is not the one in the manifest; collect anew in another folder"
        )
    return difference_hash(_decode(content))


def _decode(content: bytes) -> ImageArray:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}; what is there stays valid") from error


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _every(text: str) -> tuple[int, float]:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s|(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected seconds such as 0.5s, or a number of frames such as 10"
        )
    return (1, float(match[1])) if match[1] else (int(match[2]), 0.0)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    default = Settings()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("source", help="camera (0, /dev/video0), video file, images, http://, rtsp:// or demo:")
    add("--out", type=Path, required=True, help="folder to make")
    add("--count", type=int, default=512, help="images to collect (default: %(default)s)")
    add(
        "--every",
        type=_every,
        help="sample by frames (10) or, live, seconds (0.5s); default: 1s live, else every frame",
    )
    add("--min-distance", type=int, default=default.min_distance, help="bits of 64 to differ in (default: %(default)s)")
    add(
        "--min-sharpness",
        type=float,
        default=default.min_sharpness,
        help="variance of Laplacian (default: %(default)s)",
    )
    add("--quality", type=int, default=default.jpeg_quality, help="of the JPEGs, 1 to 100 (default: %(default)s)")
    add("--resume", action="store_true", help="go on with the collection in the folder")
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.count < 1:
        raise UsageError(f"--count: got {arguments.count}, expected 1 or more")
    with googlenet_edge.open_source(arguments.source, SourceOptions()) as source:
        frames, seconds = arguments.every or (1, 1.0 if source.live else 0.0)
        if seconds and not source.live:
            raise UsageError(f"--every: got seconds, but {source.description} is not live; give a number of frames")
        settings = Settings(frames, seconds, arguments.min_distance, arguments.min_sharpness, arguments.quality)
        start = Collection.resume if arguments.resume else Collection.create
        collection = start(arguments.out, source.description, settings)
        ended = None
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("collecting", total=arguments.count, completed=len(collection.hashes))
            try:
                with closing(collect(source, collection, arguments.count)) as steps:
                    for done in steps:
                        progress.update(task, completed=done)
            except KeyboardInterrupt:
                ended = "interrupted"
            except SourceLostError as error:
                ended = str(error)
    counts, done = collection.manifest.counts, len(collection.hashes)
    print(
        f"{arguments.out}: {done} of {arguments.count} images. Left out of {counts.seen} frames: {counts.not_sampled} "
        f"between samples, {counts.blurred} blurred, {counts.near_duplicates} near-duplicates"
    )
    if ended is not None:
        print(f"error: {ended}; go on with --resume", file=sys.stderr)
    elif done < arguments.count:
        print("warning: the source ended first; collect from a longer one", file=sys.stderr)
    return 0 if done and ended is None else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool and return the exit code: 0 = done, 1 = failed or interrupted, 2 = wrong usage."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    arguments = _arguments(argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1
    except GoogLeNetEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1


if __name__ == "__main__":
    sys.exit(main())
