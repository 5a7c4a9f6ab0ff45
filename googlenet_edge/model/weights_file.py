"""Reading weights from a file without ever running what is in it: torch.save's formats and safetensors."""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import stat
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from googlenet_edge.errors import CheckpointError
from googlenet_edge.model.file_kind import file_kind
from googlenet_edge.model.refusal import COPY_AGAIN, EXPECTED, LOAD_ERRORS, why_refused
from googlenet_edge.model.state_dict import find_state_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["WeightsFile", "read_weights"]

# What training scripts keep beside the weights and what cannot do any harm when it is rebuilt.
_INERT: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    # Its module has moved between versions of Python.
    *((pathlib.PosixPath, f"{module}.PosixPath") for module in ("pathlib", "pathlib._local")),
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")},
    # numpy 2 moved this function; a file names the place in the numpy that wrote it.
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),  # type: ignore[list-item]
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),  # type: ignore[list-item]
]


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds."""

    tensors: Mapping[str, Tensor]
    """The state dict, without the prefixes of wrappers; on the CPU, as stored (possibly mapped to the file)."""
    sha256: str
    size_bytes: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The metadata of a safetensors file."""
    beside: Mapping[str, object] = field(default_factory=dict)
    """What stood beside the state dict in a torch.save file: epoch, optimizer, class names, ..."""


def read_weights(path: Path) -> WeightsFile:
    """Read the state dict in ``path``. Nothing that is in the file runs.

    Raises :class:`CheckpointError` for a file that is missing, unreadable, damaged, or holds something else.
    """
    try:
        size_bytes = _regular_size(path)
        kind = file_kind(path)
        sha256 = _sha256(path)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"checkpoint {path}: cannot be read ({reason}); {EXPECTED}") from error
    if kind.format is None:
        remedy = f"; {kind.remedy}" if kind.remedy else ""
        raise CheckpointError(f"checkpoint {path}: got {kind.description}, {EXPECTED}{remedy}")
    if kind.format == "safetensors":
        raw: object
        raw, metadata = _read_safetensors(path)
    else:
        raw, metadata = _read_torch(path, archive=kind.format == "zip"), {}
    try:
        tensors, beside = find_state_dict(raw)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from error
    return WeightsFile(tensors, sha256, size_bytes, metadata, beside)


def _regular_size(path: Path) -> int:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        inside = sorted(child.name for child in path.iterdir() if child.suffix in (".pth", ".pt", ".safetensors"))
        hint = f"; did you mean {', '.join(inside[:3])} in it?" if inside else ""
        raise CheckpointError(f"checkpoint {path}: got a directory, {EXPECTED}{hint}")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"checkpoint {path}: got a device or a pipe, {EXPECTED}; save it to a file first")
    if status.st_size == 0:
        raise CheckpointError(f"checkpoint {path}: got an empty file, {EXPECTED}; {COPY_AGAIN}")
    return status.st_size


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(os.fspath(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, *LOAD_ERRORS) as error:
        raise CheckpointError(
            f"checkpoint {path}: got a truncated or damaged safetensors file ({error}), "
            f"expected a whole one; {COPY_AGAIN}"
        ) from error


def _read_torch(path: Path, *, archive: bool) -> object:
    if archive:
        _check_archive(path)
    try:
        # The warnings are about pickles and storages, which are this module's business and not its caller's.
        with warnings.catch_warnings(), torch.serialization.safe_globals(_INERT):
            warnings.simplefilter("ignore")
            # Mapped, so that an optimizer's state, which is twice the weights, is not read at all.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except LOAD_ERRORS as error:
        raise CheckpointError(f"checkpoint {path}: {why_refused(path, archive=archive)}") from error


def _check_archive(path: Path) -> None:
    """Compare every record with its checksum, which torch.load does not: a flipped bit would be a wrong weight."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except LOAD_ERRORS as error:
        raise CheckpointError(
            f"checkpoint {path}: got a damaged archive ({error}), expected a whole one; {COPY_AGAIN}"
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"checkpoint {path}: got a damaged file (its record {damaged!r} does not match its checksum), "
            f"expected a whole one; {COPY_AGAIN}"
        )
