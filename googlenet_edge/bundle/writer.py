"""Writing a bundle: all of it or nothing, and never half of one where another stood."""

from __future__ import annotations

import filecmp
import io
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from googlenet_edge import __version__
from googlenet_edge.bundle.codec import encode_manifest, listed_files
from googlenet_edge.bundle.manifest import SCHEMA_VERSION, BundleFacts, FileRecord, GoldenRecord, Manifest
from googlenet_edge.bundle.reader import ENGINES_NAME, MANIFEST_NAME, Bundle, GoldenFrames, is_engine_file, sha256_of
from googlenet_edge.errors import BundleError, InputError, OutputError

__all__ = ["check_target", "write_bundle"]

_GRAPH_NAME = "model.onnx"
_GOLDEN_NAME = "golden.npz"


def write_bundle(
    directory: str | os.PathLike[str],
    facts: BundleFacts,
    *,
    graph: bytes,
    golden: GoldenFrames,
    tolerance: float,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle to this folder, and return it opened, that is, verified.

    The files are written to a temporary folder beside it, flushed to the disk, and renamed into place. With
    ``overwrite`` an existing bundle is replaced the same way; any other folder that is not empty is left alone.

    Args:
        directory: The folder to make. Its parents are made as well.
        facts: All that the maker knows; the hashes, sizes and the time are added here.
        graph: The ONNX file's bytes.
        golden: Crops and their probabilities, from the graph that the golden frames shall speak for.
        tolerance: Largest absolute difference of a probability that an engine of this graph may show.
        overwrite: Replace the bundle that is there.

    Raises:
        BundleError: There is a folder that may not be replaced.
        InputError: The facts, the graph and the golden frames do not fit together.
        OutputError: The disk is full, the folder not writable, and the like.
    """
    expected = ((facts.crop.crop_px, facts.crop.crop_px, 3), (len(facts.labels),))
    if (golden.images.shape[1:], golden.probabilities.shape[1:]) != expected:
        raise InputError(
            f"golden frames: got {golden.images.shape} and {golden.probabilities.shape}, "
            f"expected frames and probabilities of {expected[0]} and {expected[1]}"
        )
    if not graph:
        raise InputError("graph: got 0 bytes, expected an ONNX file")
    contents = {_GRAPH_NAME: graph, _GOLDEN_NAME: _npz(golden)}
    manifest = _complete(facts, contents, GoldenRecord(_GOLDEN_NAME, len(golden.images), tolerance))
    contents[MANIFEST_NAME] = encode_manifest(manifest)
    target = Path(directory)
    try:
        target = Path(os.path.realpath(directory))
        _check_replaceable(target, overwrite=overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            temporary.mkdir()
            for name, content in contents.items():
                _write(temporary / name, content)
            _sync_folder(temporary)
            _move_into_place(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except BundleError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise _unwritable(target, error) from error
    return Bundle.open(directory)


def _npz(golden: GoldenFrames) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=golden.images, probabilities=golden.probabilities)
    return buffer.getvalue()


def _complete(facts: BundleFacts, contents: dict[str, bytes], golden: GoldenRecord) -> Manifest:
    known = {field.name: getattr(facts, field.name) for field in fields(BundleFacts)}
    known["tools"] = {**facts.tools, "googlenet_edge": __version__}
    files = tuple(FileRecord(name, *sha256_of(io.BytesIO(content))) for name, content in contents.items())
    return Manifest(
        **known,
        schema_version=SCHEMA_VERSION,
        created=datetime.now(tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        graph=_GRAPH_NAME,
        golden=golden,
        files=files,
    )


def check_target(directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise what :func:`write_bundle` would raise for this folder: to be asked before long work, not after it."""
    target = Path(os.path.realpath(directory))
    try:
        _check_replaceable(target, overwrite=overwrite)
        # The parents are not made yet: try the nearest one that is there.
        nearest = next(parent for parent in target.parents if parent.exists())
        probe = nearest / f".{target.name}.{secrets.token_hex(4)}.part"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(target: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(
        f"bundle {str(target)!r}: cannot be written: {reason}; what was there before is unchanged; "
        "name a folder where you may write and that has room"
    )


def _check_replaceable(target: Path, *, overwrite: bool) -> None:
    """Raise unless the target is free, an empty folder, or a bundle and nothing else that may be overwritten."""
    source = f"bundle {str(target)!r}"
    if target.is_dir():
        present = {entry.name for entry in target.iterdir()}
    elif target.exists():
        raise BundleError(f"{source}: got an existing file, expected a folder to make; give another name")
    else:
        return
    if not present:
        return
    if MANIFEST_NAME not in present:
        raise BundleError(
            f"{source}: got a folder with {min(present)!r} and no {MANIFEST_NAME}, expected a free name; give another"
        )
    if not overwrite:
        raise BundleError(f"{source}: there is one already; give another folder, or overwrite=True (--overwrite)")
    # Only what the bundle itself lists is deleted with it: never a file that someone put beside it.
    listed = listed_files((target / MANIFEST_NAME).read_bytes(), f"{source}: {MANIFEST_NAME}")
    # Engines of another graph go with it: they would never be used again.
    engines = target / ENGINES_NAME
    if engines.is_dir() and not engines.is_symlink():
        present.discard(ENGINES_NAME)
        present.update(f"{ENGINES_NAME}/{entry.name}" for entry in engines.iterdir() if not is_engine_file(entry.name))
    foreign = sorted(present - {MANIFEST_NAME} - listed)
    if foreign:
        raise BundleError(f"{source}: it also holds {foreign[0]!r}, which would be lost; move that away first")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    # Some file systems (network mounts) cannot flush a folder: then the rename is as safe as it gets there.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _move_into_place(temporary: Path, target: Path) -> None:
    """Rename the new folder to its name; an old bundle steps aside first, and comes back if that fails."""
    if target.is_dir() and any(target.iterdir()):
        aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.replaced")
        target.rename(aside)
        try:
            temporary.rename(target)
        except BaseException:
            aside.rename(target)
            raise
        _keep_engines(aside, target)
        _sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        temporary.rename(target)
        _sync_folder(target.parent)


def _keep_engines(former: Path, target: Path) -> None:
    """Let engines stay where the graph is still the same: on a board each took minutes to build."""
    graphs = former / _GRAPH_NAME, target / _GRAPH_NAME
    # Not worth a failure: without them, they are built again.
    with suppress(OSError):
        if filecmp.cmp(*graphs, shallow=False):
            (former / ENGINES_NAME).rename(target / ENGINES_NAME)
