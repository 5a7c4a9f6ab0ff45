"""Durations of a run of any length in a bounded number of counters: a high dynamic range histogram.

Buckets are as wide as the value asks for: 1 ns below 2048 ns, and then 1024 buckets for each doubling, so that a bucket
is never wider than 1/1024 of its lower edge. A percentile read from it is the nearest-rank one of all durations
(:func:`~googlenet_edge.latency.summary.nearest_rank`), rounded up to the longest duration of its bucket, or to the
longest one recorded: never below the true one, and at most :data:`RELATIVE_ERROR` (0.098 %) above it. Count and mean
are exact.

Size: 8 bytes a bucket up to the longest duration: 172 KB where that is 1 s, 270 KB for an hour, 442 KB at the very most
(292 years), however many durations there are. Recording takes a fraction of a microsecond.

The layout is that of Gil Tene's HdrHistogram (hdrhistogram.org) with three significant digits. The ``hdrhistogram``
package is not used: it has no wheel for 64-bit ARM, needs setuptools at run time and takes about ten times as long to
record one duration; and a sender's time stamp may make a duration negative, which it cannot hold.
"""

from __future__ import annotations

from array import array
from typing import Final

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.histogram_buckets import BITS, LARGEST, bucket_edges, buckets_of, exact_sum
from googlenet_edge.latency.rank import rank_of

__all__ = ["RELATIVE_ERROR", "Histogram"]

RELATIVE_ERROR: Final = 1 / (1 << BITS)

_OCTAVE_BYTES = bytes(8 << BITS)


class Histogram:
    """Counts durations in nanoseconds; below 0 too, in buckets of their own. Not thread-safe: one loop records."""

    def __init__(self) -> None:
        self._counts = array("q")
        """By bucket, for durations of 0 and more; grown by an octave at a time."""
        self._below = array("q")
        """The same for those below 0, by the bucket of -1 - duration."""
        self._sum_ns = 0
        self._count = 0
        self._maximum_ns = -LARGEST - 1

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return self._count

    @property
    def mean_ns(self) -> float:
        """Exact but for rounding. Raises :class:`InputError` where nothing was recorded."""
        if not self._count:
            raise InputError("histogram: got no duration, expected at least one to have been recorded")
        return self._sum_ns / self._count

    def record(self, duration_ns: int) -> None:
        """Count one duration. Raises :class:`InputError` for what is beyond 64 bits."""
        # This runs several times for each frame: no call that could be spared.
        magnitude = duration_ns if duration_ns >= 0 else -1 - duration_ns
        shift = magnitude.bit_length() - 1 - BITS
        index = (shift << BITS) + (magnitude >> shift) if shift > 0 else magnitude
        counts = self._counts if duration_ns >= 0 else self._below
        try:
            counts[index] += 1
        except IndexError:
            if magnitude > LARGEST:
                raise InputError(f"duration: got {duration_ns} ns, expected a 64-bit integer") from None
            _grow(counts, index)
            counts[index] += 1
        self._count += 1
        self._sum_ns += duration_ns
        if duration_ns > self._maximum_ns:  # noqa: PLR1730 - max() would be a call
            self._maximum_ns = duration_ns

    def record_many(self, durations_ns: npt.NDArray[np.int64]) -> None:
        """Count durations, int64 (N,). Raises :class:`InputError` for another type or shape."""
        if durations_ns.ndim != 1 or durations_ns.dtype != np.int64:
            raise InputError(f"durations: got {durations_ns.dtype} {durations_ns.shape}, expected int64 (N,)")
        if not durations_ns.size:
            return
        shortest, longest = int(durations_ns.min()), int(durations_ns.max())
        if shortest >= 0:
            _add_many(self._counts, durations_ns)
        else:
            at_least_0 = durations_ns >= 0
            _add_many(self._counts, durations_ns[at_least_0])
            _add_many(self._below, -1 - durations_ns[~at_least_0])
        self._count += durations_ns.size
        self._sum_ns += exact_sum(durations_ns)
        self._maximum_ns = max(self._maximum_ns, longest)

    def percentile(self, percent: float) -> int:
        """Return the nearest-rank percentile, 0 < percent <= 100, in nanoseconds. Raises :class:`InputError`."""
        if not self._count or not 0 < percent <= 100:
            raise InputError(
                f"percentile: got percent={percent} of {self._count} durations, expected 0 < percent <= 100 of at "
                "least one"
            )
        return self.at_rank(rank_of(percent, self._count))

    def at_rank(self, rank: int) -> int:
        """Return the rank-th shortest duration, rank from 1 to :attr:`count`. Raises :class:`InputError`."""
        if not 1 <= rank <= self._count:
            raise InputError(f"rank: got {rank}, expected 1 to {self._count}, the number of durations")
        keys, counts = self._used()
        found = int(np.searchsorted(np.cumsum(counts), rank))
        return min(bucket_edges(int(keys[found]))[1], self._maximum_ns)

    def _used(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the buckets in use, int64 (N,) ascending, and their counts, int64 (N,)."""
        # Copies: while numpy looks into an array, it cannot grow.
        below, counts = np.array(self._below, dtype=np.int64), np.array(self._counts, dtype=np.int64)
        below_used, used = np.flatnonzero(below)[::-1], np.flatnonzero(counts)
        return np.concatenate([-1 - below_used, used]), np.concatenate([below[below_used], counts[used]])


def _add_many(counts: array[int], magnitudes: npt.NDArray[np.int64]) -> None:
    if magnitudes.size:
        indexes = buckets_of(magnitudes)
        _grow(counts, int(indexes.max()))
        np.add.at(np.frombuffer(counts, dtype=np.int64), indexes, 1)


def _grow(counts: array[int], index: int) -> None:
    while len(counts) <= index:
        counts.frombytes(_OCTAVE_BYTES)
