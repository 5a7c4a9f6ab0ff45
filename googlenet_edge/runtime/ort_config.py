"""How ONNX Runtime computes."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Final, Literal

from googlenet_edge.errors import InputError

__all__ = ["OrtConfig", "usable_cores"]

_MOST_THREADS: Final = 1024
_MOST_AT_ONCE: Final = 16


@dataclass(frozen=True)
class OrtConfig:
    """How ONNX Runtime computes."""

    threads: int | None = None
    """Threads within an operator; None for one a physical core, or this batch's share of the cores."""
    at_once: int = 1
    """Batches that are computed at once. Two keep all cores busier than one does, where at the end of each operator the
    quick threads wait for the slow ones: more frames a second, each of which takes longer. For files, not for cameras.
    """
    optimization: Literal["all", "off"] = "all"
    """``"off"`` computes the graph operator by operator, as it is written: what FP16 and INT8 graphs are judged by."""
    spin: bool = False
    """Let idle threads wait in a busy loop: a little faster between operators where nothing else runs, but it takes the
    cores from the camera, the decoder and the sinks: the same frames then cost up to twice the processor time."""
    profile_layers: bool = False
    """Time each node, for :meth:`OrtBackend.layer_times_ns`: a little slower."""

    def __post_init__(self) -> None:
        # A bool is an int, and True threads is no number of threads.
        if self.threads is not None and (type(self.threads) is not int or not 1 <= self.threads <= _MOST_THREADS):
            raise InputError(
                f"threads: got {self.threads!r}, expected a whole number from 1 to {_MOST_THREADS}, or None for one a "
                "physical core"
            )
        if type(self.at_once) is not int or not 1 <= self.at_once <= _MOST_AT_ONCE:
            raise InputError(f"at_once: got {self.at_once!r}, expected a whole number from 1 to {_MOST_AT_ONCE}")
        if self.at_once > 1 and self.profile_layers:
            raise InputError(f"at_once: got {self.at_once} with profile_layers, expected 1: they would slow each other")
        if self.optimization not in ("all", "off"):
            raise InputError(f"optimization: got {self.optimization!r}, expected 'all' or 'off'")

    @property
    def intra_op_threads(self) -> int | None:
        """Threads within an operator of one batch; None for ONNX Runtime's own choice, one a physical core."""
        if self.threads is not None or self.at_once == 1:
            return self.threads
        return math.ceil(usable_cores() / self.at_once)


def usable_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
