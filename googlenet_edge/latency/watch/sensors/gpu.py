"""A GPU's state, whoever reports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Gpu"]


@dataclass(frozen=True)
class Gpu:
    """A GPU at one moment. Clocks in MHz, degrees Celsius, watts; what is not known is None."""

    name: str
    source: Literal["devfreq", "nvml"]
    current_mhz: float | None = None
    """Of the part that computes."""
    lowest_mhz: float | None = None
    """Lowest clock that the governor may choose."""
    highest_mhz: float | None = None
    """Highest clock: that the governor may choose (devfreq), or that the GPU can do (NVML)."""
    governor: str | None = None
    memory_mhz: float | None = None
    celsius: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    throttles: tuple[str, ...] = ()
    """What slows it down now."""
