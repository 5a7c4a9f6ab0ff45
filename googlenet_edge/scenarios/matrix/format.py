"""What is in the JSON file of a matrix: the one definition that it is made from, and that its JSON Schema comes from.

Readers pass over keys that they do not know: documents get richer within a schema version.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from googlenet_edge.latency.duration_format import Count, Milliseconds

__all__ = [
    "SCHEMA_VERSION",
    "AccuracyEntry",
    "BundleEntry",
    "CheckEntry",
    "FigureEntry",
    "MatrixDocument",
    "RecommendationEntry",
    "RoundEntry",
    "RunEntry",
    "SettingEntry",
    "TargetEntry",
    "derived_schema",
    "matrix_schema",
]

SCHEMA_VERSION: Final = 1

Rate = Annotated[float, Meta(ge=0, description="Frames per second.")]
Standing = Literal["met", "not shown", "missed"]
Index = Annotated[int | None, Meta(description="Place in settings, from 0.")]


class FigureEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its range; an end is null where it is not known."""

    value: float
    low: float | None
    high: float | None


class AccuracyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An accuracy in percent. Ranges are 95 % intervals: Wilson's of top-1, Newcombe's paired one of the drop."""

    source: Annotated[
        Literal["measured", "recorded"],
        Meta(description="Measured in this run, with this backend; or recorded when the bundle was made."),
    ]
    dataset: str
    images: Count
    skipped: Annotated[int, Meta(ge=0, description="Images that could not be used.")]
    top1_percent: FigureEntry
    top5_percent: float | None
    agreement_percent: Annotated[float | None, Meta(description="Images with the same best class as FP32.")]
    drop_points: Annotated[FigureEntry | None, Meta(description="Top-1 of FP32 less this one.")]


class RoundEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of a setting, in a process of its own."""

    batches: Count
    p50_ms: Milliseconds
    percentile_ms: Annotated[float, Meta(ge=0, description="Of run.percent.")]
    max_ms: Milliseconds
    frames_per_second: Rate
    overlapped_frames_per_second: Rate | None
    warmup_batches: Count
    warmup_ms: Milliseconds
    steady: bool
    warmup_note: str
    peak_mib: Annotated[float, Meta(ge=0)]
    complete: Annotated[bool, Meta(description="False: the longest time was up before there were enough batches.")]


class CheckEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How a setting stands to one limit of the target."""

    standing: Standing
    said: str


class SettingEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the matrix."""

    bundle: Annotated[str, Meta(description="The title of one of bundles; of a precision that none has, that.")]
    precision: str
    batch: Annotated[int, Meta(ge=1)]
    backend: str
    computed_by: Annotated[str | None, Meta(description="What computed, and why that.")]
    classifier: dict[str, str]
    failure: Annotated[str | None, Meta(description="Why it was not measured, or not to the end.")]
    batches: Count
    p50_ms: FigureEntry | None
    percentile_ms: Annotated[FigureEntry | None, Meta(description="Of run.percent.")]
    reliable: Annotated[bool, Meta(description="There are batches enough for this percentile.")]
    frames_per_second: Annotated[FigureEntry | None, Meta(description="One batch after the other.")]
    overlapped_frames_per_second: Annotated[
        FigureEntry | None, Meta(description="With as many batches under way as the backend has slots.")
    ]
    peak_mib: float | None
    joules_per_frame: float | None
    throttled: tuple[str, ...]
    rounds: tuple[RoundEntry, ...]
    accuracy: AccuracyEntry | None
    unbeaten: Annotated[bool, Meta(description="No other one is as good in all and clearly better in something.")]
    checks: tuple[CheckEntry, ...]


class BundleEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that took part."""

    title: str
    path: str
    model: str
    precision: str
    graph_sha256: str
    checkpoint_sha256: str


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How it was measured."""

    version: Annotated[str, Meta(description="Of googlenet_edge.")]
    started_at: Annotated[str, Meta(description="ISO 8601, UTC.")]
    ended_at: str
    ended: Literal["complete", "stopped"]
    rounds: Annotated[int, Meta(ge=1, description="That were asked for.")]
    min_duration_s: float
    max_duration_s: float
    percent: int
    seed: int
    include_preprocess: bool
    frame_set: str
    dataset: str | None


class TargetEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What was wanted; null where nothing was said."""

    latency_ms: float | None
    percent: int
    frames_per_second: float | None
    min_top1_percent: float | None
    max_drop_points: float | None


class RecommendationEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the target."""

    chosen: Index
    nearest: Annotated[int | None, Meta(description="Where none meets the target: what comes nearest.")]
    why: tuple[str, ...]


class MatrixDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A matrix: precisions by batch sizes by backends, and which of them to take."""

    schema_version: Literal[1]
    kind: Literal["matrix"]
    run: RunEntry
    definitions: dict[str, str]
    machine: dict[str, Any]
    state: Annotated[dict[str, Any], Meta(description="The machine before and after, as in report.json.")]
    watch: Annotated[dict[str, Any], Meta(description="The machine meanwhile, as in report.json.")]
    energy: Annotated[dict[str, Any], Meta(description="Of the whole run, as in report.json.")]
    bundles: tuple[BundleEntry, ...]
    settings: tuple[SettingEntry, ...]
    target: TargetEntry | None
    recommendation: RecommendationEntry | None
    notes: tuple[str, ...]


def matrix_schema() -> str:
    """Return the published schema as JSON text."""
    return files("googlenet_edge.scenarios.matrix").joinpath("matrix_schema.json").read_text(encoding="utf-8")


def derived_schema() -> dict[str, Any]:
    """Return the schema as it follows from this module: what is to be published."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Matrix of googlenet_edge, schema version {SCHEMA_VERSION}",
        **msgspec.json.schema(MatrixDocument),
    }
    plain: dict[str, Any] = json.loads(json.dumps(document))  # defaults may be tuples
    return plain
