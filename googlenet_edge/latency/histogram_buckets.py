"""Which bucket of a high dynamic range histogram a duration belongs to.

Bucket i below 2048 holds the integer i alone. After those, each doubling has 1024 buckets of equal width: 2 from 2048
on, 4 from 4096 on, and so forth. A value below 0 has the bucket -1 - b, where b is that of -1 - value: 0 has bucket 0,
and -1 has bucket -1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["BITS", "LARGEST", "bucket_edges", "buckets_of", "exact_sum"]

BITS: Final = 10
"""Of precision: a bucket is at most 2^-BITS as wide as its lower edge is large."""
LARGEST: Final = (1 << 63) - 1


def buckets_of(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the numbers of the buckets of values, int64 (N,), 0 or more each: int64 (N,)."""
    # A float may round a value up to the next power of two. That is one shift too many, and gives the same number.
    bit_lengths = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    shifts = np.maximum(0, bit_lengths - 1 - BITS)
    return (shifts << BITS) + (values >> shifts)


def bucket_edges(bucket: int) -> tuple[int, int]:
    """Return the smallest and the largest value of a bucket."""
    number = bucket if bucket >= 0 else -1 - bucket
    shift = max(0, (number >> BITS) - 1)
    low = (number - (shift << BITS)) << shift
    high = low + (1 << shift) - 1
    return (low, high) if bucket >= 0 else (-1 - high, -1 - low)


def exact_sum(values: npt.NDArray[np.int64]) -> int:
    """Return the sum of int64 (N,), also one that 64 bits do not hold."""
    if not values.size or max(abs(int(values.min())), abs(int(values.max()))) < LARGEST // values.size:
        return int(values.sum())
    high, low = int((values >> 32).sum()), int((values & 0xFFFFFFFF).sum())
    return (high << 32) + low
