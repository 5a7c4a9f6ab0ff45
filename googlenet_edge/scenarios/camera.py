"""A camera: frames arrive at a fixed rate, whether or not the machine keeps up, and the newest one wins.

Arrivals are a schedule, not events: frame i arrives at first + i / fps, and nothing that the machine does moves that.
A frame's latency counts from its scheduled arrival, so time that it waited is in the figures. (A load generator that
waits for the machine before it sends the next frame leaves that time out: "coordinated omission", G. Tene, "How NOT to
Measure Latency", 2013.) There is room for one waiting frame: one that still waits when the next arrives is dropped.
Frames are computed one at a time, without overlap.

The time in which a camera exposes, reads out and transfers a frame is no part of this: arrival is when a frame lies
decoded in memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from googlenet_edge.errors import InputError
from googlenet_edge.latency.rank import rank_of
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.summary import LatencySummary, StageStatistics, WarmUp
from googlenet_edge.scenarios.recording import NO_WARM_UP, Recording
from googlenet_edge.scenarios.rig import SECOND_NS, Rig, draws
from googlenet_edge.scenarios.tally import Tally
from googlenet_edge.scenarios.work import done_ns, process

__all__ = ["Arrivals", "CameraConfig", "CameraResult", "run_camera"]

CameraEnd: TypeAlias = Literal["all frames", "given up", "stopped"]

HIGHEST_FPS = 10_000.0


@dataclass(frozen=True)
class CameraConfig:
    """How frames arrive. Raises :class:`InputError` for what cannot be."""

    fps: float = 30.0
    duration_ns: int = 10 * SECOND_NS
    """Frames arrive for so long, at least one."""
    deadline_ns: int | None = None
    """A result that is out later than this after its frame's arrival is late; None for one period."""
    seed: int = 0
    """Of which picture comes when."""
    give_up: bool = False
    """End when a frame is dropped, or when so many are late that ``percent`` of all cannot be in time any more."""
    percent: int = 99

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and 0 < self.fps <= HIGHEST_FPS):
            raise InputError(f"camera: got {self.fps} frames/s, expected more than 0 and up to {HIGHEST_FPS:g}")
        if self.duration_ns <= 0 or (self.deadline_ns is not None and self.deadline_ns <= 0):
            raise InputError(
                f"camera: got duration_ns={self.duration_ns}, deadline_ns={self.deadline_ns}, expected more than 0"
            )
        if not 0 < self.percent <= 100:
            raise InputError(f"camera: got percent={self.percent}, expected a number above 0 and up to 100")

    @property
    def frames(self) -> int:
        """How many frames arrive."""
        return max(1, math.ceil(self.duration_ns * self.fps / 1e9))

    @property
    def deadline(self) -> int:
        """The deadline in nanoseconds, also where it is one period."""
        return round(1e9 / self.fps) if self.deadline_ns is None else self.deadline_ns


@dataclass(frozen=True)
class Arrivals:
    """When the frames of a run arrive, by the clock."""

    first_ns: int
    fps: float
    frames: int

    def at_ns(self, index: int) -> int:
        """Return when a frame arrives, from 0."""
        return self.first_ns + round(index * 1e9 / self.fps)

    def newest(self, now_ns: int) -> int:
        """Return the last frame that has arrived, -1 for none."""
        index = min(self.frames, math.floor((now_ns - self.first_ns) * self.fps / 1e9) + 1)
        while index >= 0 and (index == self.frames or self.at_ns(index) > now_ns):
            index -= 1
        return index


@dataclass(frozen=True)
class CameraResult:
    """What was measured. ``offered`` = ``summary.count`` + ``dropped``, always."""

    config: CameraConfig
    summary: LatencySummary
    """``queue`` is from a frame's arrival to its being taken up, ``capture_to_emitted`` its age when its result is
    out."""
    samples: Samples
    offered: int
    """Frames that arrived until the run ended."""
    dropped: int
    """Gave way to newer ones."""
    most_dropped: int
    """In a row."""
    late: int
    """Results that were out after the deadline."""
    latency_ns: int | None
    """The nearest-rank percentile ``config.percent`` of the latencies; None without a result."""
    interval: StageStatistics | None
    """From one result to the next: N results make N - 1 of them."""
    peak_age: StageStatistics | None
    """How old the newest result had become just before the next was out; N - 1 too."""
    duration_ns: int
    """From the first arrival until the last result was out."""
    ended: CameraEnd

    @property
    def missed(self) -> int:
        """Frames without a result by the deadline: late and dropped ones."""
        return self.late + self.dropped

    @property
    def kept_up(self) -> bool:
        """Whether no frame was dropped, and ``config.percent`` of the latencies were within the deadline."""
        in_time = self.latency_ns is not None and self.latency_ns <= self.config.deadline
        return self.ended == "all frames" and not self.dropped and in_time


class _Count:
    """What is counted while frames come."""

    def __init__(self, config: CameraConfig, started_ns: int) -> None:
        self._config, self._started_ns = config, started_ns
        self.latency, self.interval, self.peak_age = Tally(), Tally(), Tally()
        self.dropped = self.most_dropped = self.late = 0
        self._previous: tuple[int, int] | None = None  # arrival and result of the last frame
        # So many of all frames may be late: nearest rank passes over those behind the ceil(percent / 100 x N)-th.
        self._late_allowed = config.frames - rank_of(config.percent, config.frames)

    def drop(self, frames: int) -> None:
        self.dropped += frames
        self.most_dropped = max(self.most_dropped, frames)

    def add(self, sequence: int, arrived_ns: int, out_ns: int) -> None:
        at_ns = out_ns - self._started_ns
        self.late += out_ns - arrived_ns > self._config.deadline
        self.latency.add(out_ns - arrived_ns, sequence=sequence, at_ns=at_ns)
        if self._previous is not None:
            before_arrived_ns, before_out_ns = self._previous
            self.interval.add(out_ns - before_out_ns, sequence=sequence, at_ns=at_ns)
            self.peak_age.add(out_ns - before_arrived_ns, sequence=sequence, at_ns=at_ns)
        self._previous = (arrived_ns, out_ns)

    @property
    def failed(self) -> bool:
        return self.dropped > 0 or self.late > self._late_allowed


def run_camera(rig: Rig, config: CameraConfig, warmup: WarmUp = NO_WARM_UP) -> CameraResult:
    """Take the frames of a camera as they arrive, until the last. What the work raises goes through.

    Warm up before; ``warmup`` says how that went, for the summary.
    """
    recording = Recording(rig, warmup)
    pictures = draws(config.seed, rig.work.frames)
    arrivals = Arrivals(rig.clock(), config.fps, config.frames)
    recording.begin(arrivals.first_ns)
    count = _Count(config, arrivals.first_ns)
    following = 0  # the first frame that is neither taken nor dropped
    out_ns = arrivals.first_ns
    ended: CameraEnd = "all frames"
    while following < config.frames:
        if rig.stop.is_set():
            ended = "stopped"
            break
        newest = arrivals.newest(rig.clock())
        if newest < following:
            rig.wait_until(arrivals.at_ns(following))
            continue
        count.drop(newest - following)
        arrived_ns = arrivals.at_ns(newest)
        trace = process(rig.work, [next(pictures)], newest, arrived_ns)
        following, out_ns = newest + 1, done_ns(trace)
        recording.record(trace)
        count.add(newest, arrived_ns, out_ns)
        if config.give_up and count.failed:
            ended = "given up"
            break
    return CameraResult(
        config=config,
        summary=recording.summary(dropped=count.dropped),
        samples=recording.samples(),
        offered=following,
        dropped=count.dropped,
        most_dropped=count.most_dropped,
        late=count.late,
        latency_ns=count.latency.percentile_ns(config.percent) if count.latency.count else None,
        interval=count.interval.statistics("result_interval"),
        peak_age=count.peak_age.statistics("peak_age"),
        duration_ns=out_ns - arrivals.first_ns,
        ended=ended,
    )
