"""Ratios with their range, percentiles, and what the product promises."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Promise", "Spread", "percentile", "ratios"]


@dataclass(frozen=True)
class Spread:
    """A figure of each round: their median, and their range."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, form: str = ".2f") -> str:
        return f"{self.median:{form}} ({min(self.values):{form}} to {max(self.values):{form}})"


@dataclass(frozen=True)
class Promise:
    """Something that the loop shall hold, and what was measured."""

    what: str
    spread: Spread
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    @property
    def kept(self) -> bool:
        """The median keeps it."""
        return (self.at_least is None or self.spread.median >= self.at_least) and (
            self.at_most is None or self.spread.median <= self.at_most
        )

    def text(self) -> str:
        bound = self.at_most if self.at_least is None else self.at_least
        most = f"at least {bound:g}" if self.at_least is not None else f"at most {bound:.1f}"
        form = ".3f" if bound is not None and bound <= 1 else ".1f"  # a ratio, or a time
        unit = f" {self.unit}" if self.unit else ""
        return f"{'kept  ' if self.kept else 'MISSED'}  {self.what}: {self.spread.text(form)}, {most}{unit}"


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the ratio of each round's pair, so that what the machine did meanwhile met both sides."""
    return Spread(tuple(a / b for a, b in zip(above, below, strict=True)))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile, 0 to 100, of at least one sample."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
