"""What is in ``report.json``: the one definition that the reader checks against and that the JSON Schema comes from.

Keys that are not named here are allowed anywhere: reports get richer within a schema version, and readers pass over
what they do not know. Times are in milliseconds with six decimals, counts in frames.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from googlenet_edge.latency.duration_format import Count, Percentiles, Rate, Share, Signed, StageEntry
from googlenet_edge.latency.machine_format import EnergyEntry, StateEntry, WatchEntry
from googlenet_edge.latency.scenario_format import AnyScenario, OfflineScenario, QueryScenario

__all__ = [
    "AccuracyEntry",
    "CameraEntry",
    "EventEntry",
    "FairnessEntry",
    "FrameAge",
    "FrameCounts",
    "LatencyEntry",
    "OutagesEntry",
    "ReportDocument",
    "RunEntry",
    "SinkEntry",
    "SourceEntry",
    "StageEntry",
    "WarmUpEntry",
]

Facts = dict[str, Any]


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
        str, Meta(description='"all measured frames", or a histogram of all of them, and how exact it is.')
    ]
    stages: Annotated[dict[str, StageEntry], Meta(description="Empty if no frame was measured.")]
    sampled: Annotated[
        Count | None, Meta(description="Frames whose time points were kept: all, or a uniform random sample of them.")
    ] = None


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
    machine: Annotated[
        Facts,
        Meta(
            description="What the machine is; null for what cannot be read.",
            extra_json_schema={"$ref": "#/$defs/MachineInfo"},
        ),
    ]
    definitions: Annotated[dict[str, str], Meta(description="What each figure means and contains.")]
    frames: FrameCounts
    warmup: WarmUpEntry
    latency: LatencyEntry
    accuracy: AccuracyEntry = AccuracyEntry()
    cameras: tuple[CameraEntry, ...] = ()
    fairness: FairnessEntry | None = None
    sinks: tuple[SinkEntry, ...] = ()
    events: tuple[EventEntry, ...] = ()
    state: StateEntry | None = None
    watch: WatchEntry | None = None
    energy: EnergyEntry | None = None
    scenario: AnyScenario | None = None

    @property
    def frames_per_second(self) -> float | None:
        """The rate of frames, also where what the report counts are queries or batches of several; None for none."""
        scenario = self.scenario
        if isinstance(scenario, (QueryScenario, OfflineScenario)):
            return scenario.frames_per_second
        return self.frames.fps

    @property
    def all_stages(self) -> dict[str, StageEntry]:
        """The stages, and the durations that a scenario has besides."""
        return self.latency.stages | ({} if self.scenario is None else self.scenario.durations)

    @property
    def happenings(self) -> tuple[EventEntry, ...]:
        """All that is known to have happened, in order: the events, and when the machine was throttled."""
        watch = self.watch
        slow = () if watch is None else watch.throttled
        start = 0.0 if watch is None else watch.started_s
        throttled = [EventEntry("throttled", one.from_s + start, one.to_s + start, one.cause) for one in slow]
        return tuple(sorted([*self.events, *throttled], key=lambda event: event.from_s))
