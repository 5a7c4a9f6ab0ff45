"""How an engine is built: what goes into its key."""

from __future__ import annotations

import re
from dataclasses import dataclass

from googlenet_edge.errors import UsageError

__all__ = ["TARGETS", "BuildOptions", "parse_target"]

TARGETS = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities that TensorRT-RTX 1.7.1 builds for."""

NAMES = {
    "rtx20": "7.5",
    "turing": "7.5",
    "rtx30": "8.6",
    "rtx40": "8.9",
    "ada": "8.9",
    "rtx50": "12.0",
}
"""Names of GPUs that mean one compute capability."""

AMBIGUOUS = {
    "ampere": "it is 8.0 (A100) or 8.6 (GeForce RTX 30 and most others)",
    "blackwell": "it is 12.0 (GeForce RTX 50) or 12.1 (GB10)",
}

ELSEWHERE = {
    "5.3": "Jetson Nano",
    "6.2": "Jetson TX2",
    "7.2": "Jetson Xavier",
    "8.7": "Jetson Orin",
    "10.1": "Jetson Thor",
    "11.0": "Jetson Thor",
}
"""What TensorRT-RTX is not made for: there, TensorRT builds on the device itself."""

LARGEST_BATCH = 1024
LEAST_WORKSPACE_BYTES = 1 << 20
LARGEST_WORKSPACE_BYTES = 1 << 44  # more than any device has; TensorRT's own type ends at 64 bits
HIGHEST_OPTIMIZATION_LEVEL = 5


@dataclass(frozen=True)
class BuildOptions:
    """Options that change the plan. All of them are part of the key under which an engine is stored.

    Raises :class:`UsageError` for values that no TensorRT takes; what one flavour or version does not have is found
    when building.
    """

    min_batch: int = 1
    opt_batch: int = 1
    """The batch size that the tactics are chosen for."""
    max_batch: int = 8
    workspace_bytes: int | None = None
    """Most scratch memory that a tactic may use; None for TensorRT's own limit, or less on a small board."""
    optimization_level: int | None = None
    """0 (quick build) to 5 (every tactic is timed); None for TensorRT's own default."""
    targets: tuple[str, ...] = ()
    """TensorRT-RTX only: compute capabilities such as ``"8.6"``, sorted; () for the device of this machine."""
    dla_core: int | None = None
    """Run what can run there on this DLA core, the rest on the GPU."""
    version_compatible: bool = False
    """A plan that newer TensorRT versions load too."""
    hardware_compatible: bool = False
    """A plan for every GPU from Ampere on."""

    def __post_init__(self) -> None:
        batches = (self.min_batch, self.opt_batch, self.max_batch)
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch <= LARGEST_BATCH:
            raise UsageError(
                f"batch sizes: got min {batches[0]}, opt {batches[1]}, max {batches[2]}, expected 1 <= min <= opt <= "
                f"max <= {LARGEST_BATCH}"
            )
        workspace = self.workspace_bytes
        if workspace is not None and not LEAST_WORKSPACE_BYTES <= workspace <= LARGEST_WORKSPACE_BYTES:
            raise UsageError(f"workspace: got {workspace} bytes, expected 1 MiB to 16 TiB")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= HIGHEST_OPTIMIZATION_LEVEL:
            raise UsageError(f"optimization level: got {self.optimization_level}, expected 0 to 5")
        if self.dla_core is not None:
            if self.dla_core < 0:
                raise UsageError(f"DLA core: got {self.dla_core}, expected 0 or more")
            if len(set(batches)) > 1:
                raise UsageError(
                    f"DLA: got batch sizes {batches[0]} to {batches[2]}, expected one: a DLA takes no batch that "
                    "varies; give min, opt and max the same value"
                )
        targets = {parse_target(target) for target in self.targets}
        object.__setattr__(self, "targets", tuple(sorted(targets, key=_numbers)))


def parse_target(text: str) -> str:
    """Return the compute capability that a user means: ``"8.6"`` for "sm86", "86", "8.6", "rtx30" or "RTX 3060".

    Raises :class:`UsageError` for one that TensorRT-RTX does not build for; the message lists those that it does.
    """
    name = re.sub(r"[\s_-]|geforce|nvidia", "", text.lower())
    card = re.fullmatch(r"rtx([2345])0\d0(ti|super|tisuper|laptop)?", name)
    if card:
        name = f"rtx{card.group(1)}0"
    if name in NAMES:
        return NAMES[name]
    number = re.fullmatch(r"(?:sm)?(\d{1,2})\.?(\d)", name)
    found = f"{number.group(1)}.{number.group(2)}" if number else ""
    if found in TARGETS:
        return found
    offered = ", ".join([*(f"sm{target.replace('.', '')}" for target in TARGETS), *NAMES])
    why = ""
    if name in AMBIGUOUS:
        why = f" ({AMBIGUOUS[name]})"
    elif found in ELSEWHERE:
        why = f" ({ELSEWHERE[found]}: TensorRT-RTX is not made for it; build on the device, with --flavour tensorrt)"
    raise UsageError(f"target: got {text!r}{why}, expected one of {offered}")


def _numbers(target: str) -> tuple[int, ...]:
    return tuple(map(int, target.split(".")))
