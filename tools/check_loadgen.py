"""Our percentiles against MLPerf LoadGen's, of the very same queries: they must agree within 2 %.

LoadGen drives a bundle's classifier on frames of the demo scene. Each query is timed twice: by LoadGen, in C++, and by
the clock that all our figures come from. Compared are the figure of the scenario (p90 of single-stream, p99 of
multi-stream), its early-stopping estimate and the mean. The plain percentiles are of two definitions: ours is nearest
rank, LoadGen's is one rank above it where queries x percentile is a whole number; ours at LoadGen's rank is shown too.

    pip install '.[loadgen]'
    python tools/check_loadgen.py --bundle DIR [--seconds 10] [--logs DIR]

Exit code 1 if anything differs by more. LoadGen's time also has the way from C++ to Python and back, some 10
microseconds: where a query takes less than a millisecond, that alone is more than 2 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.scenarios.frames import demo_frames
from googlenet_edge.scenarios.loadgen import LoadGenResult, run_loadgen
from googlenet_edge.scenarios.queries import MULTI_STREAM, SINGLE_STREAM
from googlenet_edge.scenarios.rig import Rig
from googlenet_edge.scenarios.work import ClassifierWork

SCENARIOS = {"single-stream": SINGLE_STREAM, "multi-stream": MULTI_STREAM}


@dataclass(frozen=True)
class Compared:
    """A figure of both sides, nanoseconds; None for no figure."""

    name: str
    ours_ns: float | None
    theirs_ns: float | None

    @property
    def difference(self) -> float:
        """LoadGen's over ours, less 1; infinite where only one side has a figure."""
        if self.ours_ns is None or self.theirs_ns is None:
            return 0.0 if self.ours_ns is self.theirs_ns else float("inf")
        return self.theirs_ns / self.ours_ns - 1


def compare(result: LoadGenResult) -> list[Compared]:
    """Return the figures of a run that was not stopped."""
    ours, theirs = result.queries, result.summary
    if theirs is None or theirs.queries != ours.summary.count or not ours.samples.complete:
        raise GoogLeNetEdgeError(
            f"loadgen: got {ours.summary.count} queries of ours and {theirs and theirs.queries} of LoadGen's, expected "
            "the same ones, all kept; choose fewer --seconds"
        )
    latencies = np.sort(ours.samples.rows[:, 5] - ours.samples.rows[:, 1])
    at_their_rank = int(latencies[int(latencies.size * (ours.config.percent / 100))])
    name = f"p{ours.config.percent}"
    return [
        Compared(f"{name}, ours by nearest rank", ours.percentile_ns, theirs.percentile_ns),
        Compared(f"{name}, ours at LoadGen's rank", at_their_rank, theirs.percentile_ns),
        Compared(f"{name}, early-stopping estimate", ours.estimate.value_ns, theirs.estimate_ns),
        Compared("mean", float(latencies.mean()), theirs.mean_ns),
    ]


def report(name: str, result: LoadGenResult, limit_percent: float) -> bool:
    """Print the figures of a run; return whether all agree."""
    figures = compare(result)
    verdict = "VALID" if result.summary and result.summary.valid else "INVALID"
    print(f"{name}: {result.queries.summary.count} queries, LoadGen {result.version} says {verdict}")
    for one in figures:
        ours, theirs = ("none" if x is None else f"{x / 1e6:9.4f} ms" for x in (one.ours_ns, one.theirs_ns))
        agrees = "agrees" if abs(one.difference) <= limit_percent / 100 else f"DIFFERS by more than {limit_percent:g} %"
        print(f"  {one.name:28} {ours:>12}   LoadGen {theirs:>12}   {100 * one.difference:+7.3f} %   {agrees}")
    return all(abs(one.difference) <= limit_percent / 100 for one in figures)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    agree = True
    try:
        with Classifier(arguments.bundle) as classifier, tempfile.TemporaryDirectory() as folder:
            rig = Rig(ClassifierWork(classifier, demo_frames().images))
            logs = arguments.logs or Path(folder) / "logs"
            logs.mkdir(parents=True, exist_ok=True)
            for name in arguments.scenarios:
                config = replace(SCENARIOS[name], min_duration_ns=round(arguments.seconds * 1e9))
                agree &= report(name, run_loadgen(rig, config, logs / name), arguments.limit_percent)
    except (GoogLeNetEdgeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.logs:
        print(f"LoadGen's logs: {arguments.logs}")
    return 0 if agree else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="folder of the bundle")
    parser.add_argument("--scenarios", nargs="+", choices=sorted(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=10.0, help="at least, a scenario (default: %(default)g)")
    parser.add_argument("--logs", type=Path, help="keep LoadGen's logs in this folder, one folder a scenario")
    parser.add_argument("--limit-percent", type=float, default=2.0, help="may differ by this (default: %(default)g)")
    arguments = parser.parse_args(argv)
    if arguments.seconds <= 0 or arguments.limit_percent <= 0:
        parser.error("got a number that is not above 0, expected --seconds and --limit-percent to be")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
