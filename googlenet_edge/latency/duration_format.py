"""Durations in ``report.json``, as stages and scenarios have them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Count", "Milliseconds", "Percentiles", "Rate", "Share", "Signed", "StageEntry"]

Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0)]
Signed = Annotated[float, Meta(description="Milliseconds; below 0 where two clocks disagree.")]
Rate = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Percentiles = tuple[str, ...]


class StageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The durations of one stage over all measured frames, milliseconds. Percentiles are nearest rank."""

    count: Annotated[int, Meta(ge=0, description="Frames that have this duration.")]
    mean_ms: Signed
    max_ms: Signed
    max_sequence: Annotated[int, Meta(description="The frame with the longest one.")]
    max_at_s: Annotated[float, Meta(description="When that frame was emitted, seconds from the start of the run.")]
    p50_ms: Signed | None = None
    p90_ms: Signed | None = None
    p95_ms: Signed | None = None
    p99_ms: Signed | None = None
    unreliable: Annotated[Percentiles, Meta(description='Percentiles from too few samples, such as "p99".')] = ()

    def percentile_ms(self, percent: int) -> float | None:
        """Return p50, p90, p95 or p99; None where the report has none, and for any other."""
        value: float | None = getattr(self, f"p{percent}_ms", None)
        return value

    def reliable(self, percent: int) -> bool:
        """Whether there were samples enough for a percentile."""
        return f"p{percent}" not in self.unreliable
