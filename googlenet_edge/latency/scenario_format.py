"""What ``report.json`` says of a benchmark scenario: its part of :mod:`~googlenet_edge.latency.report_format`."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from googlenet_edge.latency.duration_format import Count, Milliseconds, Rate, Share, Signed, StageEntry

__all__ = [
    "CONFIRMED",
    "AnyScenario",
    "BatchSizeEntry",
    "CameraScenario",
    "EstimateEntry",
    "LoadGenEntry",
    "LoadGenFigures",
    "MultiStream",
    "OfflineScenario",
    "QueryScenario",
    "Scenario",
    "SingleStream",
    "SizeLeftOut",
    "SustainedEntry",
    "TrialEntry",
]

CONFIRMED: Final = "confirmed"
"""How a search for the highest rate ends that found it to its resolution."""

Seconds = Annotated[float, Meta(ge=0)]
Batch = Annotated[int, Meta(ge=1)]


class FrameSetEntry(msgspec.Struct, frozen=True):
    """What was worked on, decoded in memory."""

    description: str
    frames: Count


class SteadinessEntry(msgspec.Struct, frozen=True):
    """How a warm-up ended."""

    steady: bool
    note: str


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What all scenarios say of themselves."""

    contains: Annotated[str, Meta(description="What the latency contains.")]
    include_preprocess: bool
    frame_set: FrameSetEntry
    seed: int
    warmup: SteadinessEntry | None = None

    @property
    def title(self) -> str:
        """The scenario's name, as it is in the report: ``"single-stream"``."""
        return str(self.__struct_config__.tag)

    @property
    def durations(self) -> dict[str, StageEntry]:
        """What it has besides the report's stages."""
        return {}


class EstimateEntry(msgspec.Struct, frozen=True):
    """The early-stopping estimate of MLPerf Inference: at that confidence the true percentile is no longer."""

    confidence: Share
    queries: Count
    min_queries: Annotated[int, Meta(ge=0, description="So many are needed for an estimate.")]
    discarded: Annotated[int, Meta(ge=0, description="The longest ones that it passes over.")]
    latency_ms: Annotated[Signed | None, Meta(description="null for too few queries.")] = None


class LoadGenFigures(msgspec.Struct, frozen=True):
    """What LoadGen says of the same queries."""

    valid: bool
    queries: Count
    percent: Annotated[float, Meta(ge=0, le=100)]
    latency_ms: Milliseconds
    mean_ms: Milliseconds
    max_ms: Milliseconds
    estimate_ms: Milliseconds | None = None


class LoadGenEntry(msgspec.Struct, frozen=True):
    """MLPerf's LoadGen, where it asked the queries."""

    version: str
    logs: str | None = None
    summary: LoadGenFigures | None = None


class QueryScenario(Scenario, frozen=True, kw_only=True):
    """One query after the other. One "frame" of the report is one query."""

    samples_per_query: Annotated[int, Meta(ge=1, description="Frames of a query.")]
    queries: Count
    frames: Count
    duration_s: Seconds
    min_duration_s: Seconds
    min_queries: Count
    minimums_met: bool
    percent: Annotated[int, Meta(gt=0, le=100, description="The percentile that is the scenario's figure.")]
    reliable: bool
    estimate: EstimateEntry
    latency_ms: Annotated[Signed | None, Meta(description="The figure, nearest rank; null without a query.")] = None
    frames_per_second: Rate | None = None
    loadgen: LoadGenEntry | None = None


class SingleStream(QueryScenario, frozen=True, kw_only=True, tag_field="name", tag="single-stream"):
    """One frame a query, and its p90."""


class MultiStream(QueryScenario, frozen=True, kw_only=True, tag_field="name", tag="multi-stream"):
    """Eight frames a query, and its p99."""


class SizeWarmUp(SteadinessEntry, frozen=True, kw_only=True):
    """The warm-up of one batch size."""

    batches: Count


class BatchSizeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size. Stages are those of a batch."""

    batch: Batch
    frames: Count
    frames_per_second: Rate
    duration_s: Seconds
    warmup: SizeWarmUp
    stages: dict[str, StageEntry]
    memory_mib: Annotated[float | None, Meta(description="Of the process, behind it.")] = None


class SizeLeftOut(msgspec.Struct, frozen=True):
    """A batch size that was not measured."""

    batch: Batch
    reason: str


class OfflineScenario(Scenario, frozen=True, kw_only=True, tag_field="name", tag="offline"):
    """Throughput over batch sizes. One "frame" of the report is one batch of the best size."""

    min_duration_s: Seconds
    min_batches: Count
    sizes: tuple[BatchSizeEntry, ...]
    left_out: tuple[SizeLeftOut, ...] = ()
    best_batch: Batch | None = None
    frames_per_second: Annotated[Rate | None, Meta(description="Of the best size.")] = None
    smallest_near_best: Annotated[Batch | None, Meta(description="Has 98 % of the best throughput or more.")] = None

    @property
    def best(self) -> BatchSizeEntry | None:
        """The size with the highest throughput; None where none was measured."""
        return next((one for one in self.sizes if one.batch == self.best_batch), None)


class TrialEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A rate that was tried."""

    fps: Rate
    confirming: bool
    sustained: bool
    offered: Count
    dropped: Count
    late: Count
    deadline_ms: Milliseconds
    duration_s: Seconds
    latency_ms: Annotated[
        Signed | None, Meta(description="Percentile of the rule, of the age at result; null without a result.")
    ] = None


class SustainedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate that the machine sustains."""

    rule: str
    percent: Annotated[int, Meta(gt=0, le=100, description="The percentile of the rule.")]
    resolution: float
    ended: str
    trials: tuple[TrialEntry, ...]
    fps: Annotated[Rate | None, Meta(description="null where none was.")] = None

    @property
    def confirmed(self) -> TrialEntry | None:
        """The longer run that the answer rests on; None where there is no such rate."""
        shown = [trial for trial in self.trials if trial.confirming and trial.sustained and trial.fps == self.fps]
        return shown[-1] if shown else None

    @property
    def found(self) -> str:
        """How good the answer is: to which resolution, unless the search was cut short."""
        return f"to {100 * self.resolution:g} %; {self.ended}" if self.ended == CONFIRMED else self.ended


class CameraScenario(Scenario, frozen=True, kw_only=True, tag_field="name", tag="camera"):
    """Frames that arrive at a fixed rate, whether or not the machine keeps up."""

    fps: Rate
    duration_s: Seconds
    deadline_ms: Milliseconds
    offered: Annotated[int, Meta(ge=0, description="Frames that arrived: results + dropped.")]
    results: Count
    dropped: Count
    most_dropped_in_a_row: Count
    late: Count
    missed: Annotated[int, Meta(ge=0, description="late + dropped")]
    kept_up: bool
    result_interval: StageEntry | None = None
    peak_age: StageEntry | None = None
    sustained: Annotated[SustainedEntry | None, Meta(description="null where it was not searched for.")] = None

    @property
    def durations(self) -> dict[str, StageEntry]:
        """The time between results, and how old the newest one had become just before the next."""
        found = {"result_interval": self.result_interval, "peak_age": self.peak_age}
        return {name: entry for name, entry in found.items() if entry is not None}


AnyScenario: TypeAlias = SingleStream | MultiStream | OfflineScenario | CameraScenario
