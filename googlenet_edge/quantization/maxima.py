"""How large a value may get in images that were not there: the largest values of the images that were, extrapolated.

The largest activations are rare. Of a few hundred images a maximum says what these needed; a camera sees thousands, and
each value beyond the range is clipped. Maxima over blocks of data of a kind follow an extreme value distribution; here
a block is an image, the distribution is Gumbel's, fitted by its moments, and the value that one image in
:data:`RETURN_IMAGES` exceeds is its return level (Gumbel 1958; Coles, An Introduction to Statistical Modeling of
Extreme Values, 2001, sections 3.1 and 3.3). It is never below what was seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["RETURN_IMAGES", "ImageMaxima"]

RETURN_IMAGES: Final = 300
"""Of 100, 300 and 1000, what served INT8 best on the whole, on the demo's selection set: 1000 was better with 32
images to go by, 300 with 128, 100 with 512."""

_EULER: Final = 0.5772156649015329


def _empty() -> npt.NDArray[np.float64]:
    return np.zeros(0, np.float64)


@dataclass
class ImageMaxima:
    """The largest ``|x|`` in each image, of several rows of values (channels): count, sum, sum of squares, largest."""

    count: int = 0
    total: npt.NDArray[np.float64] = field(default_factory=_empty)
    """float64 (rows,); empty before the first image, as the next two."""
    squares: npt.NDArray[np.float64] = field(default_factory=_empty)
    largest: npt.NDArray[np.float64] = field(default_factory=_empty)

    def add(self, maxima: npt.NDArray[np.float32]) -> None:
        """Add one image's: float32 (rows,), not negative."""
        values = maxima.astype(np.float64)
        if self.count == 0:
            self.total, self.squares, self.largest = (np.zeros_like(values) for _ in range(3))
        self.count += 1
        self.total += values
        self.squares += np.square(values)
        np.maximum(self.largest, values, out=self.largest)

    def merge(self, other: ImageMaxima) -> None:
        """Add those of other images."""
        if other.count == 0:
            return
        if self.count == 0:
            self.total, self.squares, self.largest = (np.zeros_like(other.total) for _ in range(3))
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        np.maximum(self.largest, other.largest, out=self.largest)

    def expected(self) -> npt.NDArray[np.float64]:
        """Return float64 (rows,): what one image in :data:`RETURN_IMAGES` exceeds, and at least the largest seen."""
        mean = self.total / max(1, self.count)
        variance = np.maximum(self.squares / max(1, self.count) - np.square(mean), 0.0)
        spread = np.sqrt(6 * variance) / math.pi
        level = mean + spread * (-math.log(-math.log1p(-1 / RETURN_IMAGES)) - _EULER)
        highest = float(np.finfo(np.float32).max)
        return np.asarray(np.minimum(np.maximum(level, self.largest), highest), np.float64)
