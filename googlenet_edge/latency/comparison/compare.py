"""Compares two sides of latency reports and says of each figure whether it is faster, slower, or neither is shown.

- **Ratio** = new / baseline; of several runs a side, of their geometric means.
- **Interval**: all intervals of a call contain their true ratios at once with the stated confidence, 95 %.
- **Verdict**: "faster" or "slower" where the interval leaves 1 out, else "no difference shown", which is not "equal".
  None where there is no interval, or one without an end.

From three runs on each side the intervals rest on how the runs differ among themselves, which contains all that changes
from one start to the next. With fewer they rest on the raw samples within the runs, and do not contain that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.alike import (
    Condition,
    check_definitions,
    check_scenarios,
    differing_conditions,
    is_expected,
)
from googlenet_edge.latency.comparison.choose import chosen_figures, kinds
from googlenet_edge.latency.comparison.doubts import doubts
from googlenet_edge.latency.comparison.figures import SUSTAINED, Figure
from googlenet_edge.latency.comparison.intervals import log_ratio, run_level_draws, simultaneous_intervals
from googlenet_edge.latency.comparison.read import Run
from googlenet_edge.latency.comparison.resample import Draws, resample_run
from googlenet_edge.latency.histogram import RELATIVE_ERROR
from googlenet_edge.latency.stages import WAIT
from googlenet_edge.latency.summary import PERCENTILES

__all__ = ["LEAST_RUNS", "CompareConfig", "Compared", "Comparison", "Method", "Verdict", "compare_each", "compare_runs"]

Verdict: TypeAlias = Literal["faster", "slower", "no difference shown"]
Method: TypeAlias = Literal["runs", "samples", "none"]

LEAST_RUNS = 3
"""On each side, for intervals from how runs differ among themselves."""
_DRAWS_PER_FIGURE: Mapping[Method, int] = {"samples": 150, "runs": 1000}
"""The more figures, the farther out are the ends of their intervals; draws of runs cost next to nothing."""


@dataclass(frozen=True)
class CompareConfig:
    """What to compare, and how surely. Raises :class:`InputError`."""

    stages: tuple[str, ...] = ()
    """Names of the report's stages; none: all but ``wait``, which is what the loop has left over."""
    percentiles: tuple[int, ...] = PERCENTILES
    expect: tuple[str, ...] = ()
    """What may differ, being the thing compared: see :func:`~googlenet_edge.latency.comparison.alike.is_expected`."""
    confidence: float = 0.95
    """Of all intervals together, above 0.5 and below 1."""
    resamples: int = 4000
    """At least; more for many figures."""
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [percent for percent in self.percentiles if percent not in PERCENTILES]
        if unknown or not self.percentiles:
            raise InputError(
                f"percentiles: got {', '.join(map(str, self.percentiles)) or 'none'}, expected some of "
                f"{', '.join(map(str, PERCENTILES))}, which reports have"
            )
        if WAIT in self.stages:
            raise InputError(
                f"stages: got {WAIT!r}, expected others: it is the time that the loop has left over for the source, "
                "and a longer wait is not slower"
            )
        if not 0.5 < self.confidence < 1:
            raise InputError(f"confidence: got {self.confidence}, expected above 0.5 and below 1, such as 0.95")
        if self.resamples < 200 or self.seed < 0:
            raise InputError(
                f"got {self.resamples} resamples and seed {self.seed}, expected at least 200, and 0 or more"
            )


@dataclass(frozen=True)
class Compared:
    """One figure on both sides."""

    figure: Figure
    baseline: float
    """Nanoseconds, or frames per second."""
    new: float
    ratio: float | None
    """new / baseline; None where one of them is not above 0."""
    interval: tuple[float, float] | None
    """Of the ratio; an end may be 0 or infinite: anything beyond the samples."""
    verdict: Verdict | None
    no_verdict: str | None
    """Why there is none."""

    @property
    def slowdown(self) -> tuple[float, float] | None:
        """The interval of how many times as long the new side takes: of a rate, the ratio's reciprocal."""
        if self.interval is None or self.figure.percent is not None:
            return self.interval
        low, high = self.interval
        return 1 / high if high else math.inf, 1 / low if low else math.inf


@dataclass(frozen=True)
class Comparison:
    """Two sides, compared."""

    baseline: tuple[Run, ...]
    new: tuple[Run, ...]
    figures: tuple[Compared, ...]
    method: Method
    """What the intervals rest on: runs, the samples within the runs, or nothing."""
    confidence: float
    """Of all its intervals together."""
    expected: tuple[Condition, ...]
    """What differs and was said to."""
    unexpected: tuple[Condition, ...]
    """What else differs, and may be behind a difference."""
    warnings: tuple[str, ...]


def compare_runs(baseline: Sequence[Run], new: Sequence[Run], config: CompareConfig) -> Comparison:
    """Compare the runs of two sides, each at least one.

    Raises :class:`InputError` where reports are of different scenarios, where a stage that was asked for is not in all
    reports, where no figure is, and where one does not mean the same in all
    (:func:`~googlenet_edge.latency.comparison.alike.check_definitions`).
    """
    runs = (*baseline, *new)
    check_scenarios(runs)
    figures = chosen_figures(runs, config.stages, config.percentiles)
    check_definitions(baseline, new, figures)
    conditions = differing_conditions(baseline, new)
    draws, without, method = _draws(baseline, new, figures, config)
    intervals = simultaneous_intervals(draws, config.confidence)
    if method == "runs" and not all(run.report.exact for run in runs):
        intervals = {figure: _coarse(figure, interval) for figure, interval in intervals.items()}
    compared = tuple(
        _compared(figure, _mean(baseline, figure), _mean(new, figure), intervals.get(figure), without.get(figure))
        for figure in figures
    )
    expected = tuple(condition for condition in conditions if is_expected(condition, config.expect))
    warnings = [run.lacking for run in runs if run.lacking is not None] if method != "runs" else []
    warnings += doubts(runs)
    if len(counted := kinds(runs)) > 1:
        warnings.append(f"the best were {' and '.join(counted)}: rates are compared, and not how long a batch takes")
    warnings += [
        f"--expect {name}: nothing of that name differs; are these the right reports?"
        for name in config.expect
        if not any(is_expected(condition, (name,)) for condition in expected)
    ]
    unexpected = tuple(condition for condition in conditions if condition not in expected)
    return Comparison(
        tuple(baseline), tuple(new), compared, method, config.confidence, expected, unexpected, tuple(warnings)
    )


def _no_samples(figure: Figure) -> str:
    if figure == SUSTAINED:
        return "one figure a run; give three or more runs a side"
    return "no raw samples of it" if figure.percent is None else "no raw samples of every frame"


def _draws(
    baseline: Sequence[Run], new: Sequence[Run], figures: Sequence[Figure], config: CompareConfig
) -> tuple[dict[Figure, npt.NDArray[np.float64]], dict[Figure, str], Method]:
    """Return draws of the logarithm of each ratio, for other figures the reason, and what the draws rest on."""
    runs = (*baseline, *new)
    without = {figure: "0 has no ratio" for figure in figures if not all(run.values[figure] > 0 for run in runs)}
    left = [figure for figure in figures if figure not in without]
    random = np.random.default_rng(config.seed)
    if min(len(baseline), len(new)) >= LEAST_RUNS:
        for figure in left:
            unreliable = [run for run in runs if not run.reliable(figure)]
            if unreliable:
                without[figure] = f"too few frames for this percentile in {unreliable[0].path}; measure longer"
        left = [figure for figure in left if figure not in without]
        count = max(config.resamples, _DRAWS_PER_FIGURE["runs"] * len(left))
        logs = [{f: [math.log(run.values[f]) for run in side] for f in left} for side in (baseline, new)]
        return {f: run_level_draws(logs[0][f], logs[1][f], count, random) for f in left}, without, "runs"
    if any(run.lacking is not None for run in runs):
        return {}, without | dict.fromkeys(left, "no raw samples"), "none"
    count = max(config.resamples, _DRAWS_PER_FIGURE["samples"] * len(left))
    sides = []
    for side in (baseline, new):
        drawn = []
        for run in side:
            values = {figure: run.samples_ns[figure] for figure in left if figure in run.samples_ns}
            without |= {figure: _no_samples(figure) for figure in left if figure not in values}
            got, lacking = resample_run(values, count, random) if values else ({}, {})
            without |= lacking
            drawn.append(got)
        sides.append(drawn)
    left = [figure for figure in left if figure not in without]
    return {f: log_ratio(_side(sides[1], f), _side(sides[0], f)) for f in left}, without, "samples"


def _coarse(figure: Figure, log_interval: tuple[float, float]) -> tuple[float, float]:
    """Return the interval for percentiles that come from a histogram: each may be too high by so much."""
    error = 0.0 if figure.percent is None else math.log1p(RELATIVE_ERROR)
    return log_interval[0] - error, log_interval[1] + error


def _side(runs: Sequence[Mapping[Figure, Draws]], figure: Figure) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.mean([run[figure].log for run in runs], axis=0), dtype=np.float64)


def _mean(runs: Sequence[Run], figure: Figure) -> float:
    """Return the geometric mean, or the plain one where a value has no logarithm."""
    values = [run.values[figure] for run in runs]
    if len(values) == 1 or min(values) <= 0:
        return math.fsum(values) / len(values)
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _compared(
    figure: Figure, baseline: float, new: float, log_interval: tuple[float, float] | None, without: str | None
) -> Compared:
    ratio = new / baseline if baseline > 0 and new > 0 else None
    if log_interval is None:
        return Compared(figure, baseline, new, ratio, None, None, without)
    low, high = (math.exp(end) if end < 700 else math.inf for end in log_interval)
    verdict: Verdict = "no difference shown"
    if low > 1 or high < 1:
        verdict = "slower" if (low > 1) == (figure.percent is not None) else "faster"
    elif low == 0 or math.isinf(high):
        return Compared(figure, baseline, new, ratio, (low, high), None, "too few frames: the interval has no end")
    return Compared(figure, baseline, new, ratio, (low, high), verdict, None)


def compare_each(
    baseline: Sequence[Run], others: Sequence[Sequence[Run]], config: CompareConfig
) -> tuple[Comparison, ...]:
    """Compare each of several sides with the baseline; the confidence is that of all their intervals together.

    Raises as :func:`compare_runs` does.
    """
    count = max(1, len(others))
    shared = replace(config, confidence=1 - (1 - config.confidence) / count, resamples=config.resamples * count)
    return tuple(compare_runs(baseline, new, shared) for new in others)
