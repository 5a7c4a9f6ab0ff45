"""How an engine is run on a GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from googlenet_edge.errors import InputError

__all__ = ["TrtConfig"]

_MOST_SLOTS = 8


@dataclass(frozen=True)
class TrtConfig:
    """How TensorRT computes. The defaults are right for a camera on a Jetson and for a desktop GPU."""

    device: int = 0
    """Number of the GPU, as the driver counts."""
    slots: int = 2
    """Batches under way at once: one computes while the next is prepared. More than 2 add age, not throughput."""
    cuda_graph: Literal["auto", "off"] = "auto"
    """``"auto"`` launches the engine as one CUDA graph where that is possible; ``describe()`` says whether it is."""
    zero_copy: Literal["auto", "on", "off"] = "auto"
    """Let the GPU work in the host's pinned memory: ``"auto"`` where it has no memory of its own (Jetson)."""
    profile_layers: bool = False
    """Time each layer: slower, so for measuring layers only; switches CUDA graphs off."""
    timeout_s: float = 60.0
    """Longest wait for a batch or for a free slot, in seconds; without a batch for so long, the GPU counts as lost. The
    first batch on TensorRT-RTX takes seconds, because the engine is compiled for the GPU then."""
    runtime_cache: Path | None = None
    """TensorRT-RTX only: file that keeps what was compiled for this GPU, so that the next start is quick."""
    allow_host_code: bool = False
    """A version-compatible plan holds a runtime of its own, as machine code: load it. For plans of your own only."""

    def __post_init__(self) -> None:
        if type(self.device) is not int or self.device < 0:
            raise InputError(f"device: got {self.device!r}, expected the number of a GPU, from 0")
        if type(self.slots) is not int or not 1 <= self.slots <= _MOST_SLOTS:
            raise InputError(f"slots: got {self.slots!r}, expected a whole number from 1 to {_MOST_SLOTS}")
        if self.cuda_graph not in ("auto", "off"):
            raise InputError(f"cuda_graph: got {self.cuda_graph!r}, expected 'auto' or 'off'")
        if self.zero_copy not in ("auto", "on", "off"):
            raise InputError(f"zero_copy: got {self.zero_copy!r}, expected 'auto', 'on' or 'off'")
        if not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise InputError(f"timeout_s: got {self.timeout_s!r}, expected seconds above 0")
