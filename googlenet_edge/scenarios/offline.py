"""Offline: how many frames a second get done, over batch sizes, when all frames lie ready.

MLPerf Inference's offline scenario gives all frames at once and reports frames per second. Here frames go through in
batches of one size, as many batches under way as the backend has slots, and each size is warmed up and measured by
itself: throughput = frames / (last result out - first batch begun).
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from googlenet_edge.engine.host import read_memory
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.stability import StabilityConfig
from googlenet_edge.latency.summary import LatencySummary
from googlenet_edge.scenarios.recording import Recording
from googlenet_edge.scenarios.rig import SECOND_NS, Rig, WarmedUp, WarmUpConfig, draws, warm_up
from googlenet_edge.scenarios.work import Job, done_ns

__all__ = ["BatchResult", "MemoryNow", "OfflineConfig", "OfflineResult", "memory_now", "run_offline"]

_NEAR: Final = 0.98
"""A smaller batch with at least this share of the best throughput is named too: it has less latency and memory."""
_MOST_OF_FREE: Final = 0.8


@dataclass(frozen=True)
class MemoryNow:
    """Memory at one moment, in bytes."""

    used_bytes: int
    """Of this process."""
    available_bytes: int
    """What it can still have."""


@dataclass(frozen=True)
class OfflineConfig:
    """Which batch sizes, and for how long. Raises :class:`InputError` for what cannot be."""

    max_batch: int | None = None
    """The largest size; None for what the work takes."""
    min_batch: int = 1
    """The smallest size; of work that takes fewer at once, as many as it takes."""
    min_duration_ns: int = 3 * SECOND_NS
    min_batches: int = 8
    """Each size is measured until both minimums are met."""
    seed: int = 0
    warmup: WarmUpConfig = field(
        default_factory=lambda: WarmUpConfig(StabilityConfig(window=5, windows=2, maximum=200), 15 * SECOND_NS)
    )

    def __post_init__(self) -> None:
        sizes = (self.min_batch, self.min_batch if self.max_batch is None else self.max_batch)
        if self.min_duration_ns < 0 or self.min_batches < 1 or not 1 <= sizes[0] <= sizes[1]:
            raise InputError(
                f"offline: got min_batch={self.min_batch}, max_batch={self.max_batch}, "
                f"min_duration_ns={self.min_duration_ns}, min_batches={self.min_batches}, expected sizes from 1 in "
                "rising order, 0 ns or more, and at least 1"
            )

    def sizes(self, most: int) -> list[int]:
        """Return 1, 2, 4 and so on, and the largest itself, for work that takes ``most`` frames at once."""
        largest = most if self.max_batch is None else min(most, self.max_batch)
        smallest = min(self.min_batch, largest)
        powers = [1 << power for power in range(largest.bit_length())]
        return [size for size in powers if smallest <= size < largest] + [largest]


@dataclass(frozen=True)
class BatchResult:
    """One batch size."""

    batch: int
    batches: int
    duration_ns: int
    """From the first batch being begun until the last result was out."""
    summary: LatencySummary
    """One "frame" is one batch; with several slots, its wait for the device is in its inference."""
    samples: Samples
    warmed_up: WarmedUp
    used_bytes: int | None
    """Memory of the process behind it; None where that cannot be read."""

    @property
    def frames(self) -> int:
        """Frames that were measured."""
        return self.batch * self.batches

    @property
    def fps(self) -> float:
        """Throughput."""
        return self.frames * 1e9 / self.duration_ns if self.duration_ns else 0.0


@dataclass(frozen=True)
class OfflineResult:
    """All batch sizes that were measured."""

    config: OfflineConfig
    sizes: tuple[BatchResult, ...]
    left_out: tuple[tuple[int, str], ...]
    """Batch sizes that were not measured, and why."""
    ended: str

    @property
    def best(self) -> BatchResult | None:
        """The size with the highest throughput; of equals, the smallest."""
        return max(self.sizes, key=lambda one: one.fps, default=None)

    @property
    def smallest_near_best(self) -> BatchResult | None:
        """The smallest size that has 98 % of the best throughput or more."""
        best = self.best
        return None if best is None else next(one for one in self.sizes if one.fps >= _NEAR * best.fps)


def run_offline(
    rig: Rig, config: OfflineConfig, *, memory: Callable[[], MemoryNow | None] | None = None
) -> OfflineResult:
    """Measure one batch size after the other.

    A size that would not fit into the memory, judged by what the one before it took, is left out, and so are larger
    ones; likewise where the backend runs out of memory. What else the work raises goes through.
    """
    look = memory_now if memory is None else memory
    done: list[BatchResult] = []
    sizes = config.sizes(rig.work.max_batch)
    needed: int | None = None  # what the size before took, and that for each of its frames
    for place, batch in enumerate(sizes):
        before = look()
        reason = None if needed is None or before is None else _too_large(batch * needed, before)
        if reason is None:
            try:
                result = _measure(rig, config, batch, look)
            except (MemoryError, BackendError) as error:
                if not done or not _out_of_memory(error):
                    raise
                reason = f"out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        if reason is not None:
            left_out = tuple((size, reason) for size in sizes[place:])
            return OfflineResult(config, tuple(done), left_out, "memory")
        if rig.stop.is_set():  # what was cut short says nothing
            left_out = tuple((size, "stopped") for size in sizes[place:])
            return OfflineResult(config, tuple(done), left_out, "stopped")
        done.append(result)
        if before is not None and result.used_bytes is not None:
            needed = max(0, result.used_bytes - before.used_bytes) // batch
    return OfflineResult(config, tuple(done), (), "all sizes")


def memory_now(root: Path = Path("/")) -> MemoryNow | None:
    """Read what this process uses and what is left, within its control group's limit; None where that is not told."""
    memory = read_memory(root)
    try:
        pages = int((root / "proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    if memory is None:
        return None
    free = [memory.available_bytes, *_left_in_group(root)]
    return MemoryNow(pages * os.sysconf("SC_PAGE_SIZE"), min(free))


def _left_in_group(root: Path) -> list[int]:
    """Return what the control group that a container shows at its root leaves; [] for no limit."""
    folder = root / "sys/fs/cgroup"
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return [
                int((folder / limit).read_text(encoding="ascii")) - int((folder / used).read_text(encoding="ascii"))
            ]
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return []


def _measure(rig: Rig, config: OfflineConfig, batch: int, look: Callable[[], MemoryNow | None]) -> BatchResult:
    warmed_up = warm_up(rig, config.warmup, samples=batch, seed=config.seed + 1)
    rig.on_phase(f"measuring batches of {batch}: at least {config.min_duration_ns / 1e9:g} s")
    indexes = draws(config.seed, rig.work.frames)
    recording = Recording(rig, warmed_up.warmup, part=f"batch-{batch}")
    started_ns = ended_ns = rig.clock()
    recording.begin(started_ns)
    under_way: deque[Job] = deque()
    begun = finished = 0
    while not rig.stop.is_set():
        enough = begun >= config.min_batches and rig.clock() - started_ns >= config.min_duration_ns
        if enough and not under_way:
            break
        if not enough and len(under_way) < rig.work.slots:
            under_way.append(rig.work.begin(list(itertools.islice(indexes, batch)), begun))
            begun += 1
            continue
        trace = under_way.popleft().finish()
        recording.record(trace)
        finished, ended_ns = finished + 1, done_ns(trace)
    for job in under_way:  # stopped: what is under way holds slots
        job.finish()
    after = look()
    return BatchResult(
        batch=batch,
        batches=finished,
        duration_ns=ended_ns - started_ns,
        summary=recording.summary(),
        samples=recording.samples(),
        warmed_up=warmed_up,
        used_bytes=None if after is None else after.used_bytes,
    )


def _too_large(needed_bytes: int, memory: MemoryNow) -> str | None:
    if needed_bytes <= _MOST_OF_FREE * memory.available_bytes:
        return None
    return (
        f"it would take about {needed_bytes >> 20} MiB more, by what the size before it took, and "
        f"{memory.available_bytes >> 20} MiB are free"
    )


def _out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "alloc" in text
