"""The timing cache: how long each tactic took on this device, kept so that the next build need not time it again.

The file is TensorRT's own (``trtexec --timingCacheFile`` takes it too). TensorRT checks that it is of the same version
and device. Not for TensorRT-RTX, which times nothing.
"""

from __future__ import annotations

import fcntl
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from googlenet_edge.atomic import atomic_file
from googlenet_edge.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour

__all__ = ["load_timings", "save_timings", "timing_cache_path"]

logger = logging.getLogger(__name__)


def timing_cache_path(folder: Path, flavour: Flavour, device_name: str) -> Path:
    """Return where to keep the timings of this TensorRT on a device of this name, inside ``folder``."""
    device = re.sub(r"[^A-Za-z0-9]+", "-", device_name).strip("-").lower() or "device"
    return folder / f"{flavour.name}-{flavour.version}-{device}.timing"


def load_timings(config: trt.IBuilderConfig, path: Path) -> bytes:
    """Give a config the timings in this file, and return the file's bytes (b"" if there is none that serves).

    A file that TensorRT refuses, being damaged or of another version or device, is left out with a warning.
    """
    kept = _read(path)
    if kept:
        cache = _create(config, kept)
        if cache is not None and config.set_timing_cache(cache, False):
            return kept
        logger.warning("timing cache %s: TensorRT does not take it (another version or device, or damaged)", path)
    empty = _create(config, b"")
    if empty is not None:
        config.set_timing_cache(empty, False)
    return b""


def save_timings(config: trt.IBuilderConfig, path: Path, loaded: bytes) -> None:
    """Write the timings that a build left in its config, together with what another process wrote meanwhile.

    ``loaded`` is what :func:`load_timings` returned. A file that cannot be written is a warning: the engine is there,
    and the next build only takes longer.
    """
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            there = _read(path)
            other = _create(config, there) if there and there != loaded else None
            if other is not None and not cache.combine(other, False):
                logger.warning("timing cache %s: what is there is of another version or device: replaced", path)
            timings = bytes(cache.serialize())
            if timings != there:
                with atomic_file(path, what="timing cache") as file:
                    file.write(timings)
    except (OutputError, OSError) as error:
        logger.warning("the timing cache is not kept: %s", error)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time reads, merges and writes. The lock's file stays: to remove it would let two in."""
    with path.with_name(f".{path.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        logger.warning("timing cache %s: cannot be read: %s", path, error.strerror)
        return b""


def _create(config: trt.IBuilderConfig, content: bytes) -> trt.ITimingCache | None:
    """None where TensorRT makes nothing of it, by whichever of its ways to say so."""
    try:
        return config.create_timing_cache(content)
    except (RuntimeError, TypeError, ValueError) as error:
        logger.debug("create_timing_cache: %s", error)
        return None
