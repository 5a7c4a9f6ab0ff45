"""What is in ``report.json``: the one definition that the reader checks against and that the JSON Schema comes from.

Keys that are not named here are allowed anywhere: reports get richer within a schema version, and readers pass over
what they do not know. Times are in milliseconds with six decimals, counts in frames.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from googlenet_edge.latency.machine_format import EnergyEntry, StateEntry, WatchEntry

__all__ = [
    "AccuracyEntry",
    "CameraEntry",
    "EventEntry",
    "FairnessEntry",
    "FrameAge",
    "FrameCounts",
    "LatencyEntry",
    "LayerEntry",
    "LayersEntry",
    "OutagesEntry",
    "ReportDocument",
    "RunEntry",
    "SinkEntry",
    "SourceEntry",
    "StageEntry",
    "WarmUpEntry",
]

Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0)]
Signed = Annotated[float, Meta(description="Milliseconds; below 0 where two clocks disagree.")]
Rate = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Percentiles = tuple[str, ...]
Facts = dict[str, Any]


class StageEntry(msgspec.Struct, frozen=True):
    """The durations of one stage over all measured frames, milliseconds. Percentiles are nearest rank."""

    count: Annotated[int, Meta(ge=0, description="Frames that have this duration.")]
    mean_ms: Signed
    max_ms: Signed
    max_sequence: Annotated[int, Meta(description="The frame with the longest one.")]
    max_at_s: Annotated[float, Meta(description="When that frame was emitted, seconds from the start of the run.")]
    p50_ms: Signed | None = None
    p90_ms: Signed | None = None
    p95_ms: Signed | None = None
    p99_ms: Signed | None = None
    unreliable: Annotated[Percentiles, Meta(description='Percentiles from too few samples, such as "p99".')] = ()

    def percentile_ms(self, percent: int) -> float | None:
        """Return p50, p90, p95 or p99; None where the report has none, and for any other."""
        value: float | None = getattr(self, f"p{percent}_ms", None)
        return value

    def reliable(self, percent: int) -> bool:
        """Whether there were samples enough for a percentile."""
        return f"p{percent}" not in self.unreliable


class FrameCounts(msgspec.Struct, frozen=True):
    """How many frames."""

    measured: Annotated[int, Meta(ge=0, description="Emitted after the warm-up: those in the statistics.")]
    warmup: Count
    dropped: Annotated[int, Meta(ge=0, description="Gave way to newer ones, over the whole run.")]
    dropped_in_warmup: Count
    fps: Annotated[
        Rate | None, Meta(description="Frames per second over the measured frames; null for fewer than two.")
    ] = None


class WarmUpEntry(msgspec.Struct, frozen=True):
    """The frames before the measured ones."""

    frames: Count
    duration_ms: Annotated[float, Meta(ge=0, description="From the first being taken up to the last being emitted.")]
    first_frame_ms: Annotated[float, Meta(ge=0, description="Of the first frame of the run, also without a warm-up.")]


class LatencyEntry(msgspec.Struct, frozen=True):
    """The statistics, by stage. What each stage contains is in ``definitions``, under the same name."""

    percentiles_from: Annotated[
        str, Meta(description='"all measured frames", or of which random sample of them the percentiles are.')
    ]
    stages: Annotated[dict[str, StageEntry], Meta(description="Empty if no frame was measured.")]
    sampled: Annotated[Count | None, Meta(description="Frames that the percentiles come from.")] = None


class AccuracyEntry(msgspec.Struct, frozen=True):
    """How often the best label was right, where the source knows the right one."""

    frames_with_truth: Count | None = None
    correct: Count | None = None
    top1_percent: Annotated[float | None, Meta(description="0 to 100.")] = None
    compared_by: str | None = None
    unavailable: Annotated[str | None, Meta(description="Why there is none.")] = None


class OutagesEntry(msgspec.Struct, frozen=True):
    """How often a source was lost and came back."""

    lost: Count = 0
    reconnected: Count = 0
    attempts: Count = 0
    down_s: Annotated[float, Meta(ge=0, description="Seconds without it.")] = 0.0


class FrameAge(msgspec.Struct, frozen=True):
    """How old frames were when their result was out, milliseconds."""

    max: Signed
    p50: Signed | None = None
    p90: Signed | None = None
    p95: Signed | None = None
    p99: Signed | None = None
    unreliable: Percentiles = ()


class CameraEntry(msgspec.Struct, frozen=True):
    """One camera of the run."""

    name: Annotated[str | None, Meta(description="null: the one source of a run.")]
    description: Annotated[str, Meta(description="Without passwords.")]
    live: bool
    ended: Annotated[str, Meta(description="Why it ended.")]
    frames: Annotated[int, Meta(ge=0, description="Emitted, warm-up included.")]
    measured: Count
    dropped: Count
    stages: dict[str, StageEntry]
    captured: Annotated[str, Meta(description='What "captured" means for it.')]
    error: str | None = None
    dropped_in_warmup: Count = 0
    unfinished: Annotated[int, Meta(ge=0, description="Frames still under way at the end.")] = 0
    fps: Rate | None = None
    outages: OutagesEntry = OutagesEntry()
    frame_age_ms: FrameAge | None = None
    accuracy: AccuracyEntry = AccuracyEntry()
    skipped: Annotated[int, Meta(ge=0, description="Images that could not be read.")] = 0


class FairnessEntry(msgspec.Struct, frozen=True):
    """How evenly several cameras were served."""

    jain_index: Share
    definition: str


class SinkEntry(msgspec.Struct, frozen=True):
    """What an output that goes on after a failure had to drop."""

    sink: str
    dropped: Count
    failures: Count
    last_error: str | None = None


class LayerEntry(msgspec.Struct, frozen=True):
    """A layer of the engine, or all layers of a row of Table 1."""

    name: str
    rows: Annotated[tuple[str, ...], Meta(description="Rows of Table 1 whose nodes it computes.")]
    median_ms: Milliseconds
    share: Annotated[float, Meta(ge=0, le=1, description="Of the time of all layers in all inferences.")]
    macs: Annotated[Count | None, Meta(description="Multiply-accumulates for one frame.")] = None


class LayersEntry(msgspec.Struct, frozen=True):
    """Time per layer, measured apart from the run: the profiler itself costs time."""

    inferences: Count
    frames_per_inference: Count
    wall_ms: Milliseconds
    layers_ms: Milliseconds
    not_covered_ms: Signed
    rows: tuple[LayerEntry, ...]
    layers: tuple[LayerEntry, ...]


class EventEntry(msgspec.Struct, frozen=True):
    """Something that happened during the run, and may be why frames took long: the cause beside an outlier."""

    kind: Annotated[str, Meta(description='Such as "throttled", "lost", "stalled".')]
    from_s: Annotated[float, Meta(description="Seconds from the start of the run.")]
    to_s: Annotated[float, Meta(description="Seconds from the start of the run; as from_s where it was a moment.")]
    text: Annotated[str, Meta(description="What happened, in a few words.")] = ""
    camera: Annotated[str | None, Meta(description="Where it is about one camera alone.")] = None


class SourceEntry(msgspec.Struct, frozen=True):
    """Where the frames came from."""

    description: Annotated[str, Meta(description="Without passwords.")]
    live: bool = False
    dropped: Count = 0
    skipped: Count = 0


class RunEntry(msgspec.Struct, frozen=True):
    """How the run was configured and how it ended."""

    version: Annotated[str | None, Meta(description="Of googlenet_edge.")] = None
    ended_at: Annotated[str | None, Meta(description="ISO 8601, UTC.")] = None
    ended: Annotated[str | None, Meta(description="Why it ended.")] = None
    error: str | None = None
    frames: Annotated[Count | None, Meta(description="Emitted, warm-up included.")] = None


class ReportDocument(msgspec.Struct, frozen=True):
    """The latency report of a run of googlenet_edge."""

    schema_version: Literal[1]
    run: RunEntry
    source: SourceEntry
    classifier: Annotated[Facts, Meta(description="Model, precision, graph_sha256, and what the backend says.")]
    machine: Annotated[Facts, Meta(description="The machine before the run; null for what cannot be read.")]
    definitions: Annotated[dict[str, str], Meta(description="What each figure means and contains.")]
    frames: FrameCounts
    warmup: WarmUpEntry
    latency: LatencyEntry
    accuracy: AccuracyEntry = AccuracyEntry()
    cameras: tuple[CameraEntry, ...] = ()
    fairness: FairnessEntry | None = None
    sinks: tuple[SinkEntry, ...] = ()
    layers: LayersEntry | None = None
    events: tuple[EventEntry, ...] = ()
    state: StateEntry | None = None
    watch: WatchEntry | None = None
    energy: EnergyEntry | None = None

    @property
    def happenings(self) -> tuple[EventEntry, ...]:
        """All that is known to have happened, in order: the events, and when the machine was throttled."""
        watch = self.watch
        slow = () if watch is None else watch.throttled
        start = 0.0 if watch is None else watch.started_s
        throttled = [EventEntry("throttled", one.from_s + start, one.to_s + start, one.cause) for one in slow]
        return tuple(sorted([*self.events, *throttled], key=lambda event: event.from_s))
