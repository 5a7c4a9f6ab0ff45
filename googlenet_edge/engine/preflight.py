"""Is there memory for a build? A builder that runs out is killed by the kernel, without a word and after minutes.

The estimates are deliberately plain. TensorRT-RTX 1.7.1 was measured: 300 MB at its highest for GoogLeNet of 23 MB.
TensorRT itself loads its kernels (about a gigabyte) and holds each weight in several layouts; reports of boards with
4 GB that were killed, and of those with 8 GB that were not, are what the figure stands on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from googlenet_edge.engine.host import is_jetson, read_memory
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["MemoryPlan", "check_memory", "estimate_bytes"]

logger = logging.getLogger(__name__)

BASE_BYTES = {"tensorrt": 1 << 30, "tensorrt_rtx": 256 << 20}
WEIGHT_COPIES = 8
SMALL_BOARD_BYTES = 8 << 30
LARGEST_SMALL_WORKSPACE_BYTES = 1 << 30
LEAST_WORKSPACE_BYTES = 64 << 20


@dataclass(frozen=True)
class MemoryPlan:
    """How much scratch memory a build may use."""

    workspace_bytes: int | None
    """What to limit tactics to; None for TensorRT's own limit."""
    notes: tuple[str, ...] = ()
    """What a user should know of it."""


def estimate_bytes(flavour: Flavour, onnx_bytes: int) -> int:
    """Return about how much memory a build takes, beside the workspace, for an ONNX file of this size."""
    return BASE_BYTES[flavour.name] + WEIGHT_COPIES * onnx_bytes


def check_memory(
    flavour: Flavour, onnx_bytes: int, options: BuildOptions, *, root: Path, ignore: bool = False
) -> MemoryPlan:
    """Look at the free memory before a build, and choose a smaller workspace on a board with less than 8 GB.

    ``root`` is the root of the file system that ``/proc/meminfo`` is read in. ``ignore`` turns the refusal into a note.

    Raises :class:`EngineError` where a build would run out of memory even with all of the swap.
    """
    memory = read_memory(root)
    if memory is None:
        return MemoryPlan(options.workspace_bytes)
    need = estimate_bytes(flavour, onnx_bytes)
    have = memory.available_bytes + memory.swap_free_bytes
    got = f"got {_gib(memory.available_bytes)} of free memory and {_gib(memory.swap_free_bytes)} of free swap"
    jetson, notes = is_jetson(root), []
    if have < need:
        message = (
            f"memory: {got}, expected about {_gib(need)} for this build; close other programs and the desktop "
            "(sudo systemctl isolate multi-user.target), or add swap (sudo fallocate -l 8G /swapfile && sudo chmod 600 "
            "/swapfile && sudo mkswap /swapfile && sudo swapon /swapfile)"
        )
        if not ignore:
            raise EngineError(f"{message}; --ignore-memory builds all the same, and may be killed")
        notes.append(message)
    elif memory.available_bytes < need:
        notes.append(f"memory: {got}, and the build takes about {_gib(need)}: it will swap, and be slow")
    workspace = options.workspace_bytes
    # Elsewhere the workspace lies in the card's own memory.
    if jetson and workspace is None and memory.total_bytes < SMALL_BOARD_BYTES:
        spare = max(0, memory.available_bytes - need) // 2
        workspace = min(LARGEST_SMALL_WORKSPACE_BYTES, max(LEAST_WORKSPACE_BYTES, spare >> 20 << 20))
        notes.append(
            f"workspace: limited to {workspace >> 20} MiB, because this board has {_gib(memory.total_bytes)} of memory "
            "that GPU and CPU share; --workspace sets another limit"
        )
    elif jetson and workspace is not None and need + workspace > have >= need:
        notes.append(f"memory: {got}; a tactic that uses all of the workspace may be too much: try a smaller one")
    for note in notes:
        logger.info("%s", note)
    return MemoryPlan(workspace, tuple(notes))


def _gib(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"
