"""Old engines make room: disks of boards are small, and a plan of another TensorRT version will not be loaded again."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

from googlenet_edge.bundle.reader import is_engine_file
from googlenet_edge.engine.build_lock import LOCK_NAME
from googlenet_edge.engine.flavour import version_numbers
from googlenet_edge.engine.sidecar import DamagedSidecarError, read_sidecar
from googlenet_edge.engine.stored import plan_path, sidecar_path
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from googlenet_edge.engine.key import EngineKey

__all__ = ["prune"]

_ABANDONED_S: Final = 3600.0

_logger = logging.getLogger(__name__)


def prune(folder: Path, key: EngineKey | None) -> None:
    """Delete what no one can use any more. To be called by the one who holds the folder's lock.

    That is what a crashed process left (temporary files of an hour ago, a plan without its sidecar), damaged sidecars
    with their plans, and, given the key of an engine that is about to be stored:

    - engines of another graph: this folder serves one,
    - engines of an older TensorRT for the same device, unless they were built to be version compatible.

    Engines for other devices, other options and a newer TensorRT stay: a bundle may serve several machines from one
    network folder, and two machines of different versions must not delete each other's engines in turn. Only files
    with the names that the store gives are touched; what cannot be deleted stays.
    """
    for path, why in [*_remains(folder), *(_replaced(folder, key) if key is not None else ())]:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            _logger.info("deleted %s: %s", path, why)


def _remains(folder: Path) -> Iterator[tuple[Path, str]]:
    with contextlib.suppress(OSError):
        # The lock was written to just now: by the clock of the file system, which may be another machine's.
        now = (folder / LOCK_NAME).stat().st_mtime
        for path in folder.glob(".*.partial"):
            if now - path.stat().st_mtime > _ABANDONED_S:
                yield path, "left by a process that did not finish"
    for plan in folder.glob("*.plan"):
        if is_engine_file(plan.name) and not sidecar_path(plan).exists():
            yield plan, "its sidecar is missing"


def _replaced(folder: Path, key: EngineKey) -> Iterator[tuple[Path, str]]:
    for path in filter(lambda path: is_engine_file(path.name), folder.glob("*.json")):
        try:
            why = _obsolete(read_sidecar(path).key, key)
        except DamagedSidecarError as error:
            why = str(error)
        except (EngineError, OSError):  # of another version of this package, which may still want it
            why = ""
        if why:
            # The sidecar first: a plan without one is no engine, and is deleted the next time if not now.
            yield path, why
            yield plan_path(path), why


def _obsolete(stored: EngineKey, key: EngineKey) -> str:
    """Return why a stored engine is of no use once ``key`` is there, or nothing."""
    if stored.onnx_sha256 != key.onnx_sha256:
        return "it is of another graph"
    same_device = (stored.flavour, stored.device_name) == (key.flavour, key.device_name) and (
        set(stored.compute_capability.split("+")) <= set(key.compute_capability.split("+"))
    )
    older = version_numbers(stored.tensorrt_version) < version_numbers(key.tensorrt_version)
    if same_device and older and not stored.options.version_compatible:
        return f"it was built by TensorRT {stored.tensorrt_version}, and now there is {key.tensorrt_version}"
    return ""
