"""How often `googlenet-edge compare` is right, on made-up runs of which the truth is known.

    python tools/check_compare_statistics.py                      1,000 trials of each case: some minutes
    python tools/check_compare_statistics.py --trials 200 --only ar0.8

Two runs with the same distribution: "no difference shown" on every figure at once is right, expected in at least 930 of
1,000 trials. The new run 5 % slower: "slower" on p50 is right, expected in at least 900 of 1,000. Each trial has a seed
of its own, so that the figures are the same each time. The exit code is 1 if a case falls short.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.comparison.compare import CompareConfig, compare_runs
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.read import Run
from googlenet_edge.latency.report_file import Report
from googlenet_edge.latency.report_format import (
    FrameCounts,
    LatencyEntry,
    ReportDocument,
    RunEntry,
    SourceEntry,
    StageEntry,
    WarmUpEntry,
)
from googlenet_edge.latency.summary import PERCENTILES, minimum_samples, nearest_rank

Series = npt.NDArray[np.float64]
Maker = Callable[[int, int, np.random.Generator], Series]
SHIFT = 1.05
STAGES = ("inference", "preprocess", "emit", "queue", "device compute", "capture_to_result")
P50 = Figure(STAGES[0], 50)


def correlated(rho: float, spread: float = 0.1) -> Maker:
    """Latencies around 10 ms, log-normal, each correlated by rho with the one before: AR(1)."""

    def make(trials: int, frames: int, random: np.random.Generator) -> Series:
        return 10e6 * np.exp(spread * _ar1(trials, frames, rho, random))

    return make


def bimodal(share: float, stay: float | None = None) -> Maker:
    """2 ms, correlated, with outliers of 70 ms: independent ones, or bursts that go on with probability ``stay``."""

    def make(trials: int, frames: int, random: np.random.Generator) -> Series:
        usual = 2e6 * np.exp(0.05 * _ar1(trials, frames, 0.5, random))
        chance = random.random((trials, frames))
        if stay is None:
            outlier = chance < share
        else:
            begin = share * (1 - stay) / (1 - share)
            outlier = np.zeros((trials, frames), dtype=np.bool_)
            outlier[:, 0] = chance[:, 0] < share
            for i in range(1, frames):
                outlier[:, i] = chance[:, i] < np.where(outlier[:, i - 1], stay, begin)
        return np.where(outlier, 70e6 * np.exp(0.1 * random.standard_normal((trials, frames))), usual)

    return make


@dataclass(frozen=True)
class Case:
    """Runs of one kind."""

    make: Maker
    frames: int
    runs: int = 1
    """On each side."""
    start_spread: float = 0.0
    """How much a run as a whole is off, each time it is started."""
    stages: int = 1
    """Independent of each other, the worst case for comparing many; the frame rate is that of the first."""


CASES: Mapping[str, Case] = {
    "independent": Case(correlated(0), 2000),
    "ar0.5": Case(correlated(0.5), 2000),
    "ar0.8": Case(correlated(0.8), 4000),
    "ar0.8 short": Case(correlated(0.8), 2000),
    # As many frames as a p99 needs that is 5 % longer.
    "independent p99": Case(correlated(0), 2500),
    "ar0.5 p99": Case(correlated(0.5), 3500),
    "ar0.8 p99": Case(correlated(0.8), 8000),
    "bimodal 3%": Case(bimodal(0.03), 2000),
    "bimodal 5%": Case(bimodal(0.05), 2000),
    "bursts": Case(bimodal(0.03, stay=0.7), 4000),
    "6 stages": Case(correlated(0.5), 2000, stages=6),
    "5 runs": Case(correlated(0.5), 700, runs=5, start_spread=0.01),
    "8 runs": Case(correlated(0.5), 700, runs=8, start_spread=0.015),
}


@dataclass(frozen=True)
class Outcome:
    """What was said in how many trials."""

    trials: int
    none_shown: int
    """No figure was called faster or slower."""
    slower: Mapping[Figure, int]


def run_of(*latencies_ns: npt.NDArray[np.int64]) -> Run:
    """Return a run with these latencies of its stages, the first of which follows at once on that before."""
    values: dict[Figure, float] = {}
    samples: dict[Figure, npt.NDArray[np.int64]] = {}
    stages: dict[str, StageEntry] = {}
    for name, latencies in zip(STAGES, latencies_ns, strict=False):
        ordered = np.sort(latencies)
        values |= {Figure(name, percent): float(nearest_rank(ordered, percent)) for percent in PERCENTILES}
        samples |= {Figure(name, percent): latencies for percent in PERCENTILES}
        lacking = tuple(f"p{percent}" for percent in PERCENTILES if len(ordered) < minimum_samples(percent))
        mean_ms, max_ms = float(latencies.mean()) / 1e6, float(ordered[-1]) / 1e6
        stages[name] = StageEntry(
            count=len(latencies), mean_ms=mean_ms, max_ms=max_ms, max_sequence=0, max_at_s=0.0, unreliable=lacking
        )
    frames = len(latencies_ns[0])
    document = ReportDocument(
        schema_version=1,
        run=RunEntry(),
        source=SourceEntry("made up"),
        classifier={},
        machine={},
        definitions={},
        frames=FrameCounts(measured=frames, warmup=0, dropped=0, dropped_in_warmup=0),
        warmup=WarmUpEntry(frames=0, duration_ms=0.0, first_frame_ms=0.0),
        latency=LatencyEntry("all measured frames", stages),
    )
    report = Report(Path("made-up.json"), document, {})
    rate = 1e9 / float(latencies_ns[0].mean())
    return Run(report, values | {FPS: rate}, samples | {FPS: latencies_ns[0]}, None)


def simulate(case: Case, trials: int, *, shift: float = 1.0, resamples: int = 1000, seed: int = 0) -> Outcome:
    """Compare so many pairs of sides, the new one ``shift`` times as slow."""
    random = np.random.default_rng([seed, case.frames, case.runs])
    sides = []
    for factor in (1.0, shift):
        runs = []
        for _ in range(case.runs):
            started = np.exp(case.start_spread * random.standard_normal((trials, 1)))
            made = [case.make(trials, case.frames, random) for _ in range(case.stages)]
            runs.append([np.rint(factor * started * latencies).astype(np.int64) for latencies in made])
        sides.append(runs)
    none_shown, slower = 0, dict.fromkeys([*(Figure(STAGES[0], percent) for percent in PERCENTILES), FPS], 0)
    for trial in range(trials):
        baseline, new = ([run_of(*(stage[trial] for stage in run)) for run in side] for side in sides)
        said = compare_runs(baseline, new, CompareConfig(resamples=resamples, seed=trial)).figures
        none_shown += all(one.verdict not in ("faster", "slower") for one in said)
        for one in said:
            if one.figure in slower:
                slower[one.figure] += one.verdict == "slower"
    return Outcome(trials, none_shown, slower)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was said in each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--only", choices=CASES, action="append")
    arguments = parser.parse_args(argv)
    short = 0
    print("case            frames  runs  nothing shown | 5 % slower found: p50   p90   p95   p99   fps  seconds")
    for name in arguments.only or CASES:
        case, began = CASES[name], time.monotonic()
        equal = simulate(case, arguments.trials, resamples=arguments.resamples)
        slower = simulate(case, arguments.trials, shift=SHIFT, resamples=arguments.resamples, seed=1)
        found = "".join(f"{1000 * count / slower.trials:6.0f}" for count in slower.slower.values())
        shown = 1000 * equal.none_shown / equal.trials
        print(
            f"{name:15} {case.frames:6} {case.runs:5} {shown:14.0f} | {'':17}{found} {time.monotonic() - began:8.0f}",
            flush=True,
        )
        short += shown < 930 or slower.slower[P50] < math.ceil(0.9 * slower.trials)
    return 1 if short else 0


def _ar1(trials: int, frames: int, rho: float, random: np.random.Generator) -> Series:
    """Return standard normal values, float64 (trials, frames), correlated by rho along the frames."""
    values = random.standard_normal((frames, trials))
    for i in range(1, frames if rho else 0):
        values[i] = rho * values[i - 1] + math.sqrt(1 - rho**2) * values[i]
    return values.T


if __name__ == "__main__":
    sys.exit(main())
