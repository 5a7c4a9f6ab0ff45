"""How large a tensor's values are, collected image by image in memory that does not grow.

One pass is enough: the range of the histogram is a power of two that doubles, by merging bins in pairs, when a larger
value arrives. Because the range is a power of two, the result does not depend on the order of the images, on where
a run was interrupted, or on how it was split.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError

__all__ = ["BINS", "RangeHistogram"]

BINS = 4096
"""At least half of the bins lie below the largest value: never fewer than 2048 for the values that occur."""

_CHUNK = 1 << 23
"""OpenCV counts in float32, exactly up to 2^24."""

_LEAST_EXPONENT = -100
"""A tensor whose largest value is below 2^-100 counts as dead: no scale of float32 could hold it."""


@dataclass
class RangeHistogram:
    """Counts of ``|x|`` over ``[0, 2**exponent)`` in :data:`BINS` equal bins; the largest value and the zeros apart."""

    exponent: int = _LEAST_EXPONENT
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """int64 (BINS,); exact zeros are not in here."""
    zeros: int = 0
    amax: float = 0.0
    """Largest ``|x|`` so far, exact."""

    @property
    def total(self) -> int:
        """Values seen, zeros among them."""
        return int(self.counts.sum()) + self.zeros

    @property
    def bin_width(self) -> float:
        """Width of one bin."""
        return math.ldexp(1.0, self.exponent) / BINS

    @property
    def dead(self) -> bool:
        """Whether no value was ever large enough to need a scale."""
        return self.amax < math.ldexp(1.0, _LEAST_EXPONENT)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count an array, float32 of any shape. Raises :class:`InputError` where a value is NaN or infinite."""
        flat = values.reshape(-1)
        largest, least = float(flat.max(initial=0.0)), float(flat.min(initial=0.0))
        if not (math.isfinite(largest) and math.isfinite(least)):
            raise InputError(f"values: got {largest if math.isfinite(least) else least}, expected finite numbers")
        if least < 0:
            flat = np.abs(flat)
            largest = max(largest, -least)
        self.amax = max(self.amax, largest)
        if largest > 0:
            # frexp: largest = fraction * 2**exponent with fraction in [0.5, 1), so largest < 2**exponent.
            self._widen(max(_LEAST_EXPONENT, math.frexp(largest)[1]))
        counts = np.zeros(BINS, np.int64)
        for start in range(0, flat.size, _CHUNK):
            # OpenCV's histogram is ten times faster than numpy's bincount. It finds bins in float64, which is exact for
            # a range that is a power of two: a value falls into the same bin at whatever range it is counted.
            piece = flat[start : start + _CHUNK].reshape(-1, 1)
            found = cv2.calcHist([piece], [0], None, [BINS], [0.0, math.ldexp(1.0, self.exponent)])
            counts += found.reshape(-1).astype(np.int64)
        zero_count = flat.size - int(np.count_nonzero(flat))
        counts[0] -= zero_count
        self.counts += counts
        self.zeros += zero_count

    def merge(self, other: RangeHistogram) -> None:
        """Add another histogram of the same tensor."""
        self._widen(other.exponent)
        counts = other.counts
        for _ in range(self.exponent - other.exponent):
            counts = _halved(counts)
        self.counts += counts
        self.zeros += other.zeros
        self.amax = max(self.amax, other.amax)

    def used_bins(self) -> int:
        """Bins up to and including that of the largest value."""
        return min(BINS, int(self.amax / self.bin_width) + 1)

    def _widen(self, exponent: int) -> None:
        if exponent > self.exponent and not self.counts.any():
            self.exponent = exponent
        while self.exponent < exponent:
            self.counts = _halved(self.counts)
            self.exponent += 1


def _halved(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bins merged in pairs, into the lower half."""
    merged = np.zeros_like(counts)
    merged[: BINS // 2] = counts[0::2] + counts[1::2]
    return merged
