"""Single-stream and multi-stream: one query after the other, each begun as soon as the one before it is done.

As MLPerf Inference defines them: a single-stream query is one frame and its figure is the 90th percentile of the
queries' latencies; a multi-stream query is 8 frames, done when all of them are, and its figure is the 99th. A run ends
when both a minimum time and a minimum count are met. The figure is given twice: as it was measured (nearest rank), and
as the early-stopping estimate, an upper bound of it at 99 % confidence, which is what MLPerf reports.

Source: MLPerf Inference rules, "Scenarios" and "Early stopping" (github.com/mlcommons/inference_policies,
inference_rules.adoc). Official runs take 600 s or more; the default here is 10 s, so the figures are no MLPerf results.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from googlenet_edge.errors import InputError
from googlenet_edge.latency.early_stopping import PercentileEstimate, minimum_samples
from googlenet_edge.latency.recorder import Samples
from googlenet_edge.latency.stability import StabilityConfig
from googlenet_edge.latency.summary import PERCENTILES, LatencySummary
from googlenet_edge.scenarios.recording import Recording
from googlenet_edge.scenarios.rig import SECOND_NS, Rig, WarmedUp, WarmUpConfig, draws, warm_up
from googlenet_edge.scenarios.tally import Tally
from googlenet_edge.scenarios.work import done_ns, process

__all__ = ["MULTI_STREAM", "SINGLE_STREAM", "QueryConfig", "QueryResult", "run_queries"]

QueryEnd: TypeAlias = Literal["minimums met", "time up", "stopped"]


@dataclass(frozen=True)
class QueryConfig:
    """How queries are made. Raises :class:`InputError` for what cannot be."""

    samples_per_query: int = 1
    """Frames."""
    percent: int = 90
    """The percentile that is the figure of the scenario."""
    min_duration_ns: int = 10 * SECOND_NS
    min_queries: int | None = None
    """None: as many as the early-stopping estimate of ``percent`` needs."""
    max_duration_ns: int | None = None
    """The run ends after this time though it may have too few queries; None for no such limit."""
    seed: int = 0
    """Of which frame comes when."""
    warmup: WarmUpConfig = field(default_factory=WarmUpConfig)

    def __post_init__(self) -> None:
        if self.samples_per_query < 1 or self.percent not in PERCENTILES:
            raise InputError(
                f"queries: got samples_per_query={self.samples_per_query}, percent={self.percent}, expected at least 1 "
                f"frame and one of {', '.join(map(str, PERCENTILES))}"
            )
        if self.min_duration_ns < 0 or (self.min_queries is not None and self.min_queries < 1):
            raise InputError(
                f"queries: got min_duration_ns={self.min_duration_ns}, min_queries={self.min_queries}, expected 0 or "
                "more, and at least 1"
            )
        if self.max_duration_ns is not None and self.max_duration_ns < max(1, self.min_duration_ns):
            raise InputError(
                f"queries: got max_duration_ns={self.max_duration_ns}, expected more than 0 and no less than "
                f"min_duration_ns={self.min_duration_ns}"
            )

    @property
    def least_queries(self) -> int:
        """The minimum count."""
        return minimum_samples(self.percent) if self.min_queries is None else self.min_queries


SINGLE_STREAM: Final = QueryConfig()
MULTI_STREAM: Final = QueryConfig(
    samples_per_query=8, percent=99, warmup=WarmUpConfig(StabilityConfig(window=8, maximum=500))
)


@dataclass(frozen=True)
class QueryResult:
    """What was measured. In the summary and in the samples, one "frame" is one query."""

    config: QueryConfig
    summary: LatencySummary
    """``capture_to_emitted`` is the latency of a query."""
    samples: Samples
    warmed_up: WarmedUp
    estimate: PercentileEstimate
    duration_ns: int
    """From the first query being begun to the last one being done."""
    ended: QueryEnd

    @property
    def percentile_ns(self) -> int | None:
        """The figure as it was measured, nearest rank; None without a query."""
        if not self.summary.count:
            return None
        return self.summary.stage("capture_to_emitted").percentile(self.config.percent).duration_ns

    @property
    def frames(self) -> int:
        """Frames in all measured queries."""
        return self.summary.count * self.config.samples_per_query


def run_queries(rig: Rig, config: QueryConfig) -> QueryResult:
    """Warm up, then do one query after the other until the minimums are met. What the work raises goes through."""
    warmed_up = warm_up(rig, config.warmup, samples=config.samples_per_query, seed=config.seed + 1)
    rig.on_phase(f"measuring: at least {config.min_duration_ns / 1e9:g} s and {config.least_queries} queries")
    indexes = draws(config.seed, rig.work.frames)
    tally, recording = Tally(), Recording(rig, warmed_up.warmup)
    started_ns = ended_ns = rig.clock()
    recording.begin(started_ns)
    ended: QueryEnd = "stopped"
    while not rig.stop.is_set():
        trace = process(rig.work, list(itertools.islice(indexes, config.samples_per_query)), tally.count)
        recording.record(trace)
        ended_ns = done_ns(trace)
        tally.add(ended_ns - trace.captured_ns, sequence=trace.sequence, at_ns=ended_ns - started_ns)
        duration_ns = ended_ns - started_ns
        if duration_ns >= config.min_duration_ns and tally.count >= config.least_queries:
            ended = "minimums met"
            break
        if config.max_duration_ns is not None and duration_ns >= config.max_duration_ns:
            ended = "time up"
            break
    return QueryResult(
        config=config,
        summary=recording.summary(),
        samples=recording.samples(),
        warmed_up=warmed_up,
        estimate=tally.estimate(config.percent),
        duration_ns=ended_ns - started_ns,
        ended=ended,
    )
