"""What is compared: percentiles of stages, and the frame rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from googlenet_edge.latency.stages import STAGES

__all__ = ["FPS", "Figure"]


@dataclass(frozen=True)
class Figure:
    """One figure of a report."""

    stage: str
    """Its name in the report, or "" for the frame rate."""
    percent: int | None
    """0 to 100; None for the frame rate."""

    @property
    def name(self) -> str:
        """``"inference p99"``, ``"frames/s"``."""
        return "frames/s" if self.percent is None else f"{self.stage} p{self.percent}"

    @property
    def title(self) -> str:
        """The stage's name in a table."""
        titles = {stage.name: stage.title for stage in STAGES}
        return "frames/s" if self.percent is None else titles.get(self.stage, self.stage)


FPS: Final = Figure("", None)
"""Frames per second: the one figure that is better when it is higher."""
