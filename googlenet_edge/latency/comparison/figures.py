"""What is compared: percentiles of durations, and rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FPS", "SUSTAINED", "Figure", "batch_rate"]


@dataclass(frozen=True)
class Figure:
    """One figure of a report."""

    stage: str
    """Its name in the report; of a rate, what it is the rate of, "" for the run as a whole."""
    percent: int | None
    """0 to 100; None for a rate: the one kind of figure that is better when it is higher."""

    @property
    def name(self) -> str:
        """``"inference p99"``, ``"frames/s"``, ``"frames/s in batches of 8"``."""
        if self.percent is not None:
            return f"{self.stage} p{self.percent}"
        return f"frames/s {self.stage}".strip()


FPS: Final = Figure("", None)
"""Frames per second of the whole."""
SUSTAINED: Final = Figure("sustained", None)
"""The highest rate of a camera that the machine sustains."""


def batch_rate(batch: int) -> Figure:
    """Return the throughput of one batch size."""
    return Figure(f"in batches of {batch}", None)
