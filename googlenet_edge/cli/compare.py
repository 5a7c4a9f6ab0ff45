"""``googlenet-edge compare``: what of the difference between latency reports is more than chance."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import path_argument
from googlenet_edge.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from googlenet_edge.latency.comparison.judge import Limit

__all__ = ["SLOWER", "configure", "run"]

SLOWER = 3
"""The exit code where ``--fail-if-slower`` fails: neither a failure of the program (1) nor wrong usage (2)."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.epilog = (
        "exit code: 0 done; 1 the reports cannot be compared; 2 wrong usage; 3 --fail-if-slower: it is slower. "
        "With three or more runs on each side (A1.json A2.json A3.json --new B1.json B2.json B3.json) intervals also "
        "contain what changes from one start to the next."
    )
    parser.add_argument(
        "reports",
        type=path_argument,
        nargs="+",
        metavar="REPORT",
        help="reports that `run` or `bench --scenario` wrote, with --report FILE --samples: "
        "the first is the baseline, and each other one is "
        "compared with it; with --new, all of these are runs of the baseline",
    )
    parser.add_argument(
        "--new", type=path_argument, nargs="+", metavar="REPORT", help="runs of what is compared with the baseline"
    )
    parser.add_argument(
        "--stages", type=_names, default=(), metavar="NAME,...", help="compare only these (default: all but wait)"
    )
    parser.add_argument(
        "--percentiles", type=_percentiles, metavar="P,...", help="compare only these (default: 50,90,95,99)"
    )
    parser.add_argument(
        "--expect",
        type=_names,
        default=(),
        metavar="NAME,...",
        help="what differs on purpose, such as precision, threads or cpu_governor: no warning",
    )
    parser.add_argument(
        "--confidence", type=_percent, default=0.95, metavar="P%", help="of all intervals together (default: 95%%)"
    )
    parser.add_argument(
        "--fail-if-slower",
        type=_percent,
        metavar="P%",
        help="exit code 3 if any figure is shown to be slower by more than this",
    )
    parser.add_argument(
        "--strict", action="store_true", help="with --fail-if-slower: fail also where it cannot be excluded"
    )
    parser.add_argument(
        "--ignore-ms",
        type=float,
        metavar="MS",
        help="with --fail-if-slower: latencies that are longer by less than this do not count (default: 0.05)",
    )
    parser.add_argument("--json", type=path_argument, metavar="FILE", help="also write all figures here")


def run(arguments: argparse.Namespace) -> int:
    """Compare and print the tables; see the library functions for what is raised."""
    sides = _sides(arguments)
    limit = _limit(arguments)
    from rich.console import Console

    from googlenet_edge.atomic import check_writable
    from googlenet_edge.cli.compare_display import print_comparison, print_judgement
    from googlenet_edge.cli.output import write_json
    from googlenet_edge.latency.comparison.compare import CompareConfig, compare_each
    from googlenet_edge.latency.comparison.document import comparison_document
    from googlenet_edge.latency.comparison.judge import offences
    from googlenet_edge.latency.comparison.read import read_run
    from googlenet_edge.latency.summary import PERCENTILES

    try:
        config = CompareConfig(
            arguments.stages, arguments.percentiles or PERCENTILES, arguments.expect, arguments.confidence
        )
    except InputError as error:
        raise UsageError(str(error)) from error
    if arguments.json is not None:
        check_writable(arguments.json, what="JSON file")
    baseline, *others = [[read_run(path) for path in side] for side in sides]
    comparisons = compare_each(baseline, others, config)
    console = Console(highlight=False)
    for comparison in comparisons:
        print_comparison(comparison, console)
    try:
        found = () if limit is None else offences(comparisons, limit)
    except InputError:
        if arguments.json is not None:  # the figures are there, and no judgement
            write_json(arguments.json, comparison_document(comparisons))
        raise
    if arguments.json is not None:
        write_json(arguments.json, comparison_document(comparisons, limit, found))
    if limit is not None:
        print_judgement(comparisons, found, limit, console)
    return SLOWER if found else 0


def _sides(arguments: argparse.Namespace) -> list[list[Path]]:
    """Return the paths of the baseline's runs, then those of each side that is compared with it."""
    reports: list[Path] = arguments.reports
    sides = [reports, arguments.new] if arguments.new else [[report] for report in reports]
    if len(sides) < 2:
        raise UsageError(
            "compare: got one report, expected at least two: `googlenet-edge compare BASELINE.json NEW.json`"
        )
    places = [os.path.realpath(path) for side in sides for path in side]
    twice = next((place for i, place in enumerate(places) if place in places[:i]), None)
    if twice is not None:
        raise UsageError(f"compare: got {twice} twice, expected different reports")
    if arguments.json is not None and os.path.realpath(arguments.json) in places:
        raise UsageError(f"--json: got {arguments.json}, which is one of the reports; expected another file")
    return sides


def _limit(arguments: argparse.Namespace) -> Limit | None:
    from googlenet_edge.latency.comparison.judge import Limit

    if arguments.fail_if_slower is None:
        for option, given in (("--strict", arguments.strict), ("--ignore-ms", arguments.ignore_ms is not None)):
            if given:
                raise UsageError(f"{option}: got no --fail-if-slower, expected it")
        return None
    if arguments.ignore_ms is None:
        return Limit(arguments.fail_if_slower, arguments.strict)
    if not 0 <= arguments.ignore_ms < 1e9:
        raise UsageError(f"--ignore-ms: got {arguments.ignore_ms}, expected milliseconds, 0 or more")
    return Limit(arguments.fail_if_slower, arguments.strict, arguments.ignore_ms * 1e6)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected names with commas between them")
    return names


def _percentiles(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part.strip().removeprefix("p")) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected whole numbers, such as 50,99") from None


def _percent(text: str) -> float:
    """A type for argparse: "5%" or "5" is 0.05."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a percentage, such as 5%")
    return value / 100
