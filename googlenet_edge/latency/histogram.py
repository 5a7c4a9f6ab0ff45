"""Durations of a run of any length in a bounded number of counters: a high dynamic range histogram.

Buckets are as wide as the value asks for: 1 ns below 2048 ns, and then 1024 buckets for each doubling, so that a bucket
is never wider than 1/1024 of its lower edge. A percentile read from it is the nearest-rank one of all durations
(:func:`~googlenet_edge.latency.summary.nearest_rank`), rounded up to the longest duration of its bucket, or to the
longest one recorded: never below the true one, and at most :data:`RELATIVE_ERROR` (0.098 %) above it. Count, sum, mean,
minimum and maximum are exact.

Size: 8 bytes a bucket up to the longest duration: 172 KB where that is 1 s, 270 KB for an hour, 442 KB at the very most
(292 years), however many durations there are. As JSON, only buckets that are in use: 40 KB for durations all over
10 to 100 ms. Recording takes a fraction of a microsecond.

The layout is that of Gil Tene's HdrHistogram (hdrhistogram.org) with three significant digits. The ``hdrhistogram``
package is not used: it has no wheel for 64-bit ARM, needs setuptools at run time and takes about ten times as long to
record one duration; and a sender's time stamp may make a duration negative, which it cannot hold.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeGuard

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.histogram_buckets import BITS, LARGEST, bucket_edges, bucket_of, buckets_of

__all__ = ["RELATIVE_ERROR", "SCHEMA_VERSION", "Bucket", "Histogram"]

RELATIVE_ERROR: Final = 1 / (1 << BITS)
SCHEMA_VERSION: Final = 1

_OCTAVE_BYTES = bytes(8 << BITS)


@dataclass(frozen=True)
class Bucket:
    """The durations from ``low_ns`` to ``high_ns``, both included."""

    low_ns: int
    high_ns: int
    count: int


class Histogram:
    """Counts durations in nanoseconds; below 0 too, in buckets of their own. Not thread-safe: one loop records."""

    def __init__(self) -> None:
        self._counts = array("q")
        """By bucket, for durations of 0 and more; grown by an octave at a time."""
        self._below = array("q")
        """The same for those below 0, by the bucket of -1 - duration."""
        self._sum_ns = 0
        self._count = 0
        self._minimum_ns = LARGEST
        self._maximum_ns = -LARGEST - 1

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return self._count

    @property
    def sum_ns(self) -> int:
        """Of all durations, exact."""
        return self._sum_ns

    @property
    def mean_ns(self) -> float:
        """Exact but for rounding. Raises :class:`InputError` where nothing was recorded."""
        self._check_some()
        return self._sum_ns / self._count

    @property
    def minimum_ns(self) -> int:
        """Exact. Raises :class:`InputError` where nothing was recorded."""
        self._check_some()
        return self._minimum_ns

    @property
    def maximum_ns(self) -> int:
        """Exact. Raises :class:`InputError` where nothing was recorded."""
        self._check_some()
        return self._maximum_ns

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
        if duration_ns < self._minimum_ns:  # noqa: PLR1730
            self._minimum_ns = duration_ns

    def record_many(self, durations_ns: npt.NDArray[np.int64]) -> None:
        """Count durations, int64 (N,). Raises :class:`InputError` for another type or shape."""
        if durations_ns.ndim != 1 or durations_ns.dtype != np.int64:
            raise InputError(f"durations: got {durations_ns.dtype} {durations_ns.shape}, expected int64 (N,)")
        if not durations_ns.size:
            return
        at_least_0 = durations_ns >= 0
        for counts, magnitudes in (
            (self._counts, durations_ns[at_least_0]),
            (self._below, -1 - durations_ns[~at_least_0]),
        ):
            indexes, times = np.unique(buckets_of(magnitudes), return_counts=True)
            if indexes.size:
                _grow(counts, int(indexes[-1]))
                np.frombuffer(counts, dtype=np.int64)[indexes] += times
        self._count += durations_ns.size
        # In two halves, as 64 bits may not hold the sum.
        high, low = int((durations_ns >> 32).sum()), int((durations_ns & 0xFFFFFFFF).sum())
        self._sum_ns += (high << 32) + low
        self._minimum_ns = min(self._minimum_ns, int(durations_ns.min()))
        self._maximum_ns = max(self._maximum_ns, int(durations_ns.max()))

    def merge(self, other: Histogram) -> None:
        """Add all that another histogram holds: the result is as if all had been recorded in one."""
        for mine, theirs in ((self._counts, array("q", other._counts)), (self._below, array("q", other._below))):
            if theirs:
                _grow(mine, len(theirs) - 1)
                np.frombuffer(mine, dtype=np.int64)[: len(theirs)] += np.frombuffer(theirs, dtype=np.int64)
        self._count += other._count
        self._sum_ns += other._sum_ns
        self._minimum_ns = min(self._minimum_ns, other._minimum_ns)
        self._maximum_ns = max(self._maximum_ns, other._maximum_ns)

    def percentile(self, percent: float) -> int:
        """Return the nearest-rank percentile, 0 < percent <= 100, in nanoseconds. Raises :class:`InputError`."""
        if not self._count or not 0 < percent <= 100:
            raise InputError(
                f"percentile: got percent={percent} of {self._count} durations, expected 0 < percent <= 100 of at "
                "least one"
            )
        return self.at_rank(math.ceil(percent * self._count / 100))

    def at_rank(self, rank: int) -> int:
        """Return the rank-th shortest duration, rank from 1 to :attr:`count`. Raises :class:`InputError`."""
        if not 1 <= rank <= self._count:
            raise InputError(f"rank: got {rank}, expected 1 to {self._count}, the number of durations")
        keys, counts = self._used()
        found = int(np.searchsorted(np.cumsum(counts), rank))
        return min(bucket_edges(int(keys[found]))[1], self._maximum_ns)

    def buckets(self) -> list[Bucket]:
        """Return the buckets that are in use, from the shortest durations to the longest."""
        keys, counts = self._used()
        return [Bucket(*bucket_edges(key), count) for key, count in zip(keys.tolist(), counts.tolist(), strict=True)]

    def to_json(self) -> dict[str, object]:
        """Return all that it holds as JSON values.

        ``buckets`` are numbers of buckets: 0 is [0, 1) ns, -1 is [-1, 0) ns; ``counts`` belong to them.
        """
        keys, counts = self._used()
        some = self._count > 0
        return {
            "schema_version": SCHEMA_VERSION,
            "unit": "ns",
            "relative_error": RELATIVE_ERROR,
            "count": self._count,
            "sum": self._sum_ns,
            "minimum": self._minimum_ns if some else None,
            "maximum": self._maximum_ns if some else None,
            "buckets": keys.tolist(),
            "counts": counts.tolist(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Histogram:
        """Return the histogram that :meth:`to_json` was called on. Raises :class:`InputError` for anything else."""
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(f"histogram: got schema version {version!r}, expected {SCHEMA_VERSION}")
        keys, counts = document.get("buckets"), document.get("counts")
        count, total = document.get("count"), document.get("sum")
        if not (_integers(keys) and _integers(counts) and _integers([count, total])) or len(keys) != len(counts):
            raise _damaged("the fields are not all there, or are not integers")
        result = cls()
        result._count, result._sum_ns = int(str(count)), int(str(total))
        if any(times <= 0 for times in counts) or sum(counts) != result._count:
            raise _damaged(f"the counts do not add up to {count}")
        if any(after <= before for before, after in pairwise(keys)):
            raise _damaged("the buckets are not in order")
        if not keys and not total:
            return result
        limit = bucket_of(LARGEST)
        if keys[-1] > limit or keys[0] < -1 - limit:
            raise _damaged("a bucket is beyond 64 bits")
        for key, times in zip(keys, counts, strict=True):
            target, index = (result._counts, key) if key >= 0 else (result._below, -1 - key)
            _grow(target, index)
            target[index] = times
        edges = [bucket_edges(key) for key in keys]
        lowest, highest = (sum(edge[i] * times for edge, times in zip(edges, counts, strict=True)) for i in (0, 1))
        if not lowest <= result._sum_ns <= highest:
            raise _damaged(f"a sum of {total} ns does not fit the buckets")
        ends = (document.get("minimum"), document.get("maximum"))
        if not _integers(ends):
            raise _damaged("the fields are not all there, or are not integers")
        for value, (low, high) in zip(ends, (edges[0], edges[-1]), strict=True):
            if not low <= value <= high:
                raise _damaged(f"{value} ns is not in its bucket")
        result._minimum_ns, result._maximum_ns = ends
        return result

    def _used(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the buckets in use, int64 (N,) ascending, and their counts, int64 (N,)."""
        # Copies: while numpy looks into an array, it cannot grow.
        below, counts = np.array(self._below, dtype=np.int64), np.array(self._counts, dtype=np.int64)
        below_used, used = np.flatnonzero(below)[::-1], np.flatnonzero(counts)
        return np.concatenate([-1 - below_used, used]), np.concatenate([below[below_used], counts[used]])

    def _check_some(self) -> None:
        if not self._count:
            raise InputError("histogram: got no duration, expected at least one to have been recorded")


def _grow(counts: array[int], index: int) -> None:
    while len(counts) <= index:
        counts.frombytes(_OCTAVE_BYTES)


def _integers(values: object) -> TypeGuard[Sequence[int]]:
    return isinstance(values, (list, tuple)) and all(type(value) is int for value in values)


def _damaged(reason: str) -> InputError:
    return InputError(f"histogram: got a damaged one, expected what to_json() gave: {reason}; measure again")
