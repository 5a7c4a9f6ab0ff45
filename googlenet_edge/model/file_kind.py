"""What a file is, by its first bytes, so that an error can say what was given instead of weights."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileKind", "WeightsFormat", "file_kind"]

WeightsFormat: TypeAlias = Literal["zip", "legacy", "safetensors"]
"""torch.save's archive, torch.save before PyTorch 1.6 (a chain of pickles), safetensors."""

_RESAVE_SCRIPT = (
    "where the file is trusted, re-save its weights: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
)
_RESAVE_EXPORT = (
    "re-save the weights of the network that it was exported from: torch.save(model.state_dict(), 'weights.pth')"
)
_DOWNLOAD = "download the file itself"

# The pickled number with which torch.save before PyTorch 1.6 begins.
_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

# (offset, bytes, what it is, what to do)
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\xff\xd8\xff", "a JPEG image", ""),
    (0, b"\x89PNG", "a PNG image", ""),
    (0, b"GIF8", "a GIF image", ""),
    (0, b"RIFF", "a RIFF file (WebP, AVI or WAV)", ""),
    (4, b"ftyp", "an MP4 or QuickTime video", ""),
    (0, b"%PDF", "a PDF document", ""),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (0, b"BZh", "a bzip2 archive", "unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (0, b"\x89HDF", "an HDF5 file (Keras .h5)", "set the weights on the PyTorch network and save its state dict"),
    (0, b"\x93NUMPY", "a NumPy array", ""),
    (0, b"GGUF", "a GGUF file", ""),
    (0, b"\x7fELF", "a program or a shared library", ""),
    (4, b"TFL3", "a TensorFlow Lite model", ""),
    (0, b"ftrt", "a TensorRT engine", "engines hold no weights that can be read back; pass what it was built from"),
    (0, b"ptrt", "a TensorRT engine", "engines hold no weights that can be read back; pass what it was built from"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file it stands for", "run: git lfs pull"),
)


@dataclass(frozen=True)
class FileKind:
    """What a file is."""

    format: WeightsFormat | None
    """How to read its weights; None where it holds none that can be read."""
    description: str
    """For a message, with its article: "a JPEG image"."""
    remedy: str = ""
    """What to do with such a file, where there is something to be done."""


def file_kind(path: Path) -> FileKind:
    """Return what the file is, from its first bytes or the directory of an archive. Raises :class:`OSError`."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK"):
        return _zip_kind(path)
    for offset, magic, description, remedy in _MAGIC:
        if head[offset:].startswith(magic):
            return FileKind(None, description, remedy)
    if head[257:262] == b"ustar":
        return FileKind(
            None,
            "a tar archive",
            "if torch.save of PyTorch before 0.2 wrote it and the file is trusted, re-save it with a recent one: "
            "torch.save(torch.load(FILE, weights_only=False), 'weights.pth')",
        )
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return FileKind("safetensors", "a safetensors file")
    # An ONNX file is a protobuf that begins with its IR version (field 1), followed by the producer's name or the like.
    if path.suffix.lower() == ".onnx" or (
        head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x3a", b"\x42")
    ):
        return FileKind(
            None,
            "an ONNX model",
            "use it as an ONNX starting point: `googlenet-edge deploy` takes one as it is, given its normalization",
        )
    if _LEGACY_MAGIC in head[:32]:
        return FileKind("legacy", "a torch.save file")
    if head.startswith(b"\x80") and 2 <= int.from_bytes(head[1:2], "little") <= 5:
        return FileKind(
            None, "a pickle that torch.save did not write", "where it is trusted, load it and use torch.save"
        )
    return _text_kind(head)


def _zip_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):
        return FileKind(
            None, "a truncated or damaged archive", "copy or download it again, and compare its size and sha256"
        )
    files = {name.partition("/")[2] for name in names}
    if "constants.pkl" in files and any(name.startswith("code/") for name in files):
        return FileKind(None, "a TorchScript archive", _RESAVE_SCRIPT)
    if "data.pkl" in files:
        return FileKind("zip", "a torch.save archive")
    if "archive_format" in files or "archive_format" in names:
        return FileKind(None, "a torch.export archive", _RESAVE_EXPORT)
    if "model.weights.h5" in names:
        return FileKind(None, "a Keras model", "set the weights on the PyTorch network and save its state dict")
    if names and all(name.endswith(".npy") for name in names):
        return FileKind(None, "a NumPy archive (.npz)")
    return FileKind(None, "a zip archive", "unpack it first")


def _text_kind(head: bytes) -> FileKind:
    try:
        # Up to the last few bytes, which may be the first half of a character.
        text = head[: max(len(head) - 3, 1)].decode("utf-8-sig")
    except UnicodeDecodeError:
        return FileKind(None, "a file of an unknown kind")
    if text.lstrip().lower().startswith(("<!doctype html", "<html")):
        return FileKind(None, "a web page", _DOWNLOAD)
    if all(character.isprintable() or character.isspace() for character in text):
        return FileKind(None, "a text file")
    return FileKind(None, "a file of an unknown kind")
