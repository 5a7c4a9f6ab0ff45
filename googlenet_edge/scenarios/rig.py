"""What a scenario is run with: the work, a clock, a way to wait, a way to stop; and its warm-up."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from googlenet_edge.errors import InputError
from googlenet_edge.latency.stability import StabilityConfig, StabilityWarmUp
from googlenet_edge.latency.summary import WarmUp
from googlenet_edge.latency.trace_store import TraceStore
from googlenet_edge.scenarios.work import Work, done_ns, process
from googlenet_edge.types import Clock

__all__ = ["Rig", "WarmUpConfig", "WarmedUp", "draws", "warm_up"]

SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Rig:
    """What a scenario is run with. One thread uses it."""

    work: Work
    clock: Clock = time.monotonic_ns
    stop: threading.Event = field(default_factory=threading.Event)
    """When it is set, the scenario ends in good order, with what it has measured."""
    sleep: Callable[[float], object] | None = None
    """Waits for so many seconds; None for ``stop.wait``, which ends at once when it is set."""
    on_phase: Callable[[str], None] = lambda _text: None
    """Is told what is being done, in a few words; never while something is timed."""
    open_samples: Callable[[WarmUp, str | None], TraceStore | None] = lambda _warmup, _part: None
    """Opens the file in which raw samples are kept while they are measured, given the warm-up that came before and,
    where several things are measured one after the other, the name of this one; None for no file. Whoever gives this
    closes the files."""

    def wait_until(self, time_ns: int) -> None:
        """Wait until the clock says so, or ``stop`` is set; it may return a little early or late."""
        left_ns = time_ns - self.clock()
        if left_ns > 0:
            (self.stop.wait if self.sleep is None else self.sleep)(left_ns / 1e9)


@dataclass(frozen=True)
class WarmUpConfig:
    """How long to warm up. Raises :class:`InputError` for a time that is not above 0."""

    stability: StabilityConfig = field(default_factory=StabilityConfig)
    max_duration_ns: int = 30 * SECOND_NS
    """Measuring starts after this time even though the run is not steady."""

    def __post_init__(self) -> None:
        if self.max_duration_ns <= 0:
            raise InputError(f"warm-up: got a longest time of {self.max_duration_ns} ns, expected more than 0")


@dataclass(frozen=True)
class WarmedUp:
    """How a warm-up ended."""

    warmup: WarmUp
    """In queries: those that came before the measured ones."""
    steady: bool
    note: str
    """A sentence for the report."""
    median_ns: int
    """Of the last queries of it: what one takes, about."""


def draws(seed: int, frames: int) -> Iterator[int]:
    """Return endless indexes below ``frames``, drawn with replacement; the same seed gives the same ones."""
    chance = random.Random(seed)
    return (chance.randrange(frames) for _ in itertools.count())


def warm_up(rig: Rig, config: WarmUpConfig, *, samples: int = 1, seed: int = 0) -> WarmedUp:
    """Do queries of ``samples`` frames, one right after the other, until their durations are steady.

    Ends early when the rig's ``stop`` is set. What the work raises goes through.
    """
    rig.on_phase("warming up")
    stability, indexes = StabilityWarmUp(config.stability), draws(seed, rig.work.frames)
    started_ns = rig.clock()
    durations_ns: list[int] = []
    left_ns = config.max_duration_ns
    while stability.in_warmup and left_ns > 0 and not rig.stop.is_set():
        trace = process(rig.work, list(itertools.islice(indexes, samples)), len(durations_ns))
        ended_ns = done_ns(trace)
        stability.add(started_ns=trace.dequeued_ns, ended_ns=ended_ns)
        durations_ns.append(ended_ns - trace.dequeued_ns)
        left_ns = config.max_duration_ns - (ended_ns - started_ns)
    note = stability.note().replace("frames", "queries")
    if stability.in_warmup and left_ns <= 0:
        note = (
            f"not known to be steady after {len(durations_ns)} queries in {config.max_duration_ns / 1e9:g} s, the "
            "longest that warm-up may take"
        )
    last = sorted(durations_ns[-config.stability.window :])
    return WarmedUp(stability.warmup, stability.steady, note, last[(len(last) - 1) // 2] if last else 0)
