"""Opening a bundle: nothing is trusted before its version, its names and its hashes are checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from googlenet_edge.bundle.codec import decode_manifest
from googlenet_edge.errors import BundleError, InputError

if TYPE_CHECKING:
    import os

    from googlenet_edge.bundle.manifest import FileRecord, Manifest
    from googlenet_edge.types import CropRule, ImageArray

__all__ = ["ENGINES_NAME", "MANIFEST_NAME", "Bundle", "GoldenFrames", "is_engine_file", "sha256_of"]

MANIFEST_NAME = "bundle.json"
ENGINES_NAME = "engines"
"""A folder in the bundle that the manifest does not list: engines for the devices at hand are kept there."""

_ENGINE_FILE = re.compile(
    r"(\.lock|\..+\.partial|tensorrt(_rtx)?-[A-Za-z0-9.+_-]+-sm[0-9+]+-[0-9a-f]{12}\.(plan|json))"
)

# GoogLeNet's manifest has 60 kB; a limit keeps a wrong file from filling the memory.
_MANIFEST_LIMIT_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class GoldenFrames:
    """A few crops and the probabilities that a right engine gives for them."""

    images: ImageArray
    """uint8 (frames, crop, crop, 3), BGR, as the graph takes them."""
    probabilities: npt.NDArray[np.float32]
    """float32 (frames, classes)."""

    def __post_init__(self) -> None:
        images, probabilities = self.images, self.probabilities
        frames = images.shape[0] if images.ndim else 0
        right_images = images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8 and frames > 0
        if not right_images or probabilities.ndim != 2 or len(probabilities) != frames:
            raise InputError(
                f"golden frames: got images {images.dtype} {images.shape} and probabilities {probabilities.dtype} "
                f"{probabilities.shape}, expected uint8 (frames, size, size, 3) and float32 (frames, classes)"
            )
        if probabilities.dtype != np.float32 or not np.isfinite(probabilities).all():
            raise InputError(f"golden probabilities: got {probabilities.dtype}, expected finite float32 numbers")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its folder, and its manifest. Get one from :meth:`open`, which verifies it."""

    path: Path
    manifest: Manifest
    sha256: str
    """Of ``bundle.json``, which has the hashes of all other files: what identifies the whole bundle."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open the bundle in this folder and verify it.

        Raises :class:`BundleError` where the folder, a file, a hash or the schema version is not what it should be.
        """
        folder = Path(path)
        try:
            manifest, sha256 = _read_manifest(folder)
            _check_names(folder, manifest)
            for record in manifest.files:
                _check_content(folder / record.name, record)
        except BundleError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            raise BundleError(f"bundle {str(folder)!r}: cannot be read: {error}; check its permissions") from error
        return cls(folder, manifest, sha256)

    @property
    def name(self) -> str:
        """What to call the model in reports."""
        return self.manifest.name

    @property
    def labels(self) -> tuple[str, ...]:
        """One label a class, by class id."""
        return self.manifest.labels

    @property
    def crop(self) -> CropRule:
        """How a frame becomes the graph's input."""
        return self.manifest.crop

    @property
    def graph_path(self) -> Path:
        """The ONNX file, for a backend to load."""
        return self.path / self.manifest.graph

    @property
    def graph_sha256(self) -> str:
        """What identifies the graph: engines are cached under it."""
        return self.manifest.record(self.manifest.graph).sha256

    def golden(self) -> GoldenFrames:
        """Read the golden frames. Raises :class:`BundleError` where the file does not hold what the manifest says."""
        import zlib
        from zipfile import BadZipFile  # with its friends 10 ms, and numpy.load needs it too

        golden, path = self.manifest.golden, self.path / self.manifest.golden.file
        try:
            # Opened here, because numpy.load leaves a file that is no zip archive open.
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                frames = GoldenFrames(arrays["images"], arrays["probabilities"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, TypeError, AttributeError) as error:
            # The last two: for a .npy file, numpy.load gives a bare array, which is no context manager.
            raise BundleError(f"golden frames {str(path)!r}: cannot be read: {error}; {_AGAIN}") from error
        got = (frames.images.shape, frames.probabilities.shape)
        crop_px = self.crop.crop_px
        expected = ((golden.count, crop_px, crop_px, 3), (golden.count, len(self.labels)))
        if got != expected:
            raise BundleError(f"golden frames {str(path)!r}: got shapes {got}, expected {expected}; {_AGAIN}")
        return frames


_AGAIN = "copy the bundle again, or make it again with `googlenet-edge deploy`"


def is_engine_file(name: str) -> bool:
    """Say whether a file in the folder of engines has a name that the engine store gives: others are not touched."""
    return _ENGINE_FILE.fullmatch(name) is not None


def sha256_of(file: BinaryIO) -> tuple[str, int]:
    """Return the sha256 and the size of the rest of a file, read in pieces: a graph is not held in memory for this."""
    digest, size_bytes = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while count := file.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(buffer[:count])
        size_bytes += count
    return digest.hexdigest(), size_bytes


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the manifest, and the sha256 of its file."""
    source = f"bundle {str(folder)!r}"
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        asides = sorted(folder.parent.glob(f".{folder.name}.*.replaced")) if folder.parent.is_dir() else []
        remedy = (
            f"an interrupted overwrite left the former bundle in {str(asides[-1])!r}: rename it back"
            if asides
            else "give the folder that `googlenet-edge deploy CHECKPOINT -o FOLDER` made"
        )
        raise BundleError(f"{source}: got {got}, expected a folder; {remedy}")
    path = folder / MANIFEST_NAME
    if not path.is_file():
        held = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
        raise BundleError(f"{source}: got a folder with {held}, expected {MANIFEST_NAME} in it; {_AGAIN}")
    if path.stat().st_size > _MANIFEST_LIMIT_BYTES:
        raise BundleError(f"{source}: got a {MANIFEST_NAME} of {path.stat().st_size} bytes, expected below 16 MiB")
    data = path.read_bytes()
    return decode_manifest(data, f"{source}: {MANIFEST_NAME}"), hashlib.sha256(data).hexdigest()


def _check_names(folder: Path, manifest: Manifest) -> None:
    source = f"bundle {str(folder)!r}"
    present = {entry.name for entry in folder.iterdir()} - {MANIFEST_NAME}
    if (folder / ENGINES_NAME).is_dir():
        present.discard(ENGINES_NAME)
    expected = {record.name for record in manifest.files}
    missing, extra = sorted(expected - present), sorted(present - expected)
    if missing and extra:
        raise BundleError(
            f"{source}: got the file {extra[0]!r}, expected {missing[0]!r}: if it was renamed, rename it back; {_AGAIN}"
        )
    if missing:
        raise BundleError(f"{source}: the file {missing[0]!r} is missing, {MANIFEST_NAME} lists it; {_AGAIN}")
    if extra:
        raise BundleError(
            f"{source}: got {extra[0]!r}, which {MANIFEST_NAME} does not list; move it out of the bundle's folder"
        )
    real = folder.resolve()
    for name in (MANIFEST_NAME, *sorted(expected)):
        target = (folder / name).resolve()
        if target.parent != real or not target.is_file():
            raise BundleError(
                f"{source}: {name!r} is or leads to {str(target)!r}, expected a regular file inside the folder; "
                "copy the bundle with its files, not links to them"
            )


def _check_content(path: Path, record: FileRecord) -> None:
    size_bytes = path.stat().st_size
    if size_bytes != record.size_bytes:
        raise BundleError(
            f"bundle file {str(path)!r}: got {size_bytes} bytes, expected {record.size_bytes}: "
            f"it was cut short or replaced; {_AGAIN}"
        )
    with path.open("rb", buffering=0) as file:
        sha256, _ = sha256_of(file)
    if sha256 != record.sha256:
        raise BundleError(
            f"bundle file {str(path)!r}: got sha256 {sha256}, expected {record.sha256}: it was altered; {_AGAIN}"
        )
