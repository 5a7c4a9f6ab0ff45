"""The nearest rank of a percentile, by which all percentiles of this package are taken."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

__all__ = ["rank_of"]


def rank_of(percent: float, count: int) -> int:
    """Return ceil(percent / 100 x count): which of so many samples, from 1 for the smallest, is the percentile.

    ``percent`` is above 0 and at most 100, ``count`` 1 or more.
    """
    # 99.9 as it is written: multiplied as a float, p99.9 of 41,000 samples would be the 40,960th and not the 40,959th.
    return ceil((percent if isinstance(percent, int) else Fraction(str(percent))) * Fraction(count, 100))
