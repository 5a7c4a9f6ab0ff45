"""The arguments of ``googlenet-edge bench --scenario``, and which of them go together."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from googlenet_edge.cli import run_types
from googlenet_edge.cli.arguments import path_argument, whole_number
from googlenet_edge.cli.machine_watch import add_watch_arguments
from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SCENARIOS", "add_scenario_arguments", "check_scenario_arguments"]

SCENARIOS: Final = ("single-stream", "multi-stream", "offline", "camera")

_QUERIES = ("single-stream", "multi-stream")
_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "min_queries": _QUERIES,
    "max_duration": _QUERIES,
    "driver": _QUERIES,
    "logs": _QUERIES,
    "fps": ("camera",),
    "deadline": ("camera",),
    "search": ("camera",),
    "min_duration": SCENARIOS,
    "include_preprocess": SCENARIOS,
    "images": SCENARIOS,
    "frame_count": SCENARIOS,
    "size": SCENARIOS,
    "seed": SCENARIOS,
    "report": SCENARIOS,
    "samples": SCENARIOS,
    "no_power": SCENARIOS,
    "idle_power": SCENARIOS,
}
"""Which scenarios an argument is for; each of them is None where it was not given."""


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--scenario`` and what belongs to it."""
    group = parser.add_argument_group("--scenario: whole frames, as they will be asked for")
    group.add_argument(
        "--scenario",
        choices=SCENARIOS,
        help="single-stream: one frame after the other, p90; multi-stream: 8 frames a query, p99, both as MLPerf "
        "Inference defines them; offline: frames a second, over batch sizes; camera: frames arrive at a fixed rate, "
        "and the highest rate that this machine sustains",
    )
    group.add_argument(
        "--min-duration",
        type=run_types.seconds,
        metavar="S",
        help="measure at least so long; of offline, each batch size; of camera, frames come for so long; of a matrix, "
        "each setting in each round (default: 10, offline: 3, matrix: 2; an official MLPerf run takes 600)",
    )
    group.add_argument(
        "--min-queries",
        type=whole_number(1),
        metavar="N",
        help="single-stream, multi-stream: and at least so many queries (default: 64 and 662, which their percentile "
        "needs at 99 %% confidence)",
    )
    group.add_argument(
        "--max-duration",
        type=run_types.seconds,
        metavar="S",
        help="single-stream, multi-stream: end after so long, even with too few queries (default: no such limit); of a "
        "matrix, each setting in each round (default: 60)",
    )
    group.add_argument(
        "--driver",
        choices=("own", "loadgen"),
        help="single-stream, multi-stream: what asks the queries; loadgen: MLPerf's own LoadGen (default: own)",
    )
    group.add_argument(
        "--logs", type=path_argument, metavar="FOLDER", help="with --driver loadgen: keep LoadGen's logs in this folder"
    )
    group.add_argument(
        "--fps", type=run_types.frames_per_second, metavar="F", help="camera: frames per second (default: 30)"
    )
    group.add_argument(
        "--deadline",
        type=run_types.milliseconds,
        metavar="MS",
        help="camera: a result is late that is out later than this after its frame's arrival (default: one period)",
    )
    group.add_argument(
        "--search",
        action=argparse.BooleanOptionalAction,
        help="camera: find the highest rate that is sustained (default: yes; it takes a minute or more)",
    )
    group.add_argument(
        "--include-preprocess",
        action=argparse.BooleanOptionalAction,
        help="crop and resize are part of what is measured, as of a camera's frames (default: yes)",
    )
    group.add_argument(
        "--images",
        metavar="PATH",
        help="work on these: an image, a folder or a glob (default: frames of the demo scene)",
    )
    group.add_argument("--size", type=run_types.size_px, metavar="WxH", help="of the demo's frames (default: 1280x720)")
    group.add_argument(
        "--frame-count", type=whole_number(1, 4096), metavar="N", help="work on so many frames (default: 16)"
    )
    group.add_argument("--seed", type=whole_number(0), metavar="N", help="of which frames, in which order (default: 0)")
    group.add_argument(
        "--report", type=path_argument, metavar="FILE", help="write the report as JSON, e.g. report.json"
    )
    group.add_argument(
        "--samples",
        action="store_true",
        default=None,
        help="with --report: write the time points of each query to REPORT-samples.csv beside it; until the "
        "end they are in REPORT-samples.raw, which `report` reads if the run is killed",
    )
    add_watch_arguments(group)


def check_scenario_arguments(arguments: argparse.Namespace, layers_only: Mapping[str, object]) -> None:
    """Raise :class:`UsageError` for arguments that do not go together.

    ``layers_only`` are the arguments of ``--layers`` by name, None where one was not given.
    """
    scenario = arguments.scenario
    for name, scenarios in _ONLY_FOR.items():
        if getattr(arguments, name) is not None and scenario not in scenarios:
            expected = f"with --scenario {' or '.join(scenarios)}" if scenarios != SCENARIOS else "with --scenario"
            option = _option(name if getattr(arguments, name) is not False else f"no_{name}")
            raise UsageError(f"{option}: got it {_with(scenario)}, expected it {expected} alone")
    if scenario is None:
        return
    for name, value in layers_only.items():
        if value is not None:
            expected = "with --layers, or for a matrix" if name in ("batch", "json") else "with --layers alone"
            raise UsageError(f"{_option(name)}: got it {_with(scenario)}, expected it {expected}")
    if arguments.samples and arguments.report is None:
        raise UsageError("--samples: got no --report, expected it: the samples go beside that file")
    if (arguments.driver == "loadgen") != (arguments.logs is not None):
        raise UsageError("--logs: expected it with --driver loadgen, and only there: LoadGen's logs go to that folder")
    if arguments.images is not None and arguments.size is not None:
        raise UsageError("--size: got it with --images, expected one of them: images keep their own sizes")
    if None not in (arguments.min_duration, arguments.max_duration) and arguments.max_duration < arguments.min_duration:
        raise UsageError(
            f"--max-duration: got {arguments.max_duration:g} s, expected at least the {arguments.min_duration:g} s of "
            "--min-duration"
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _with(scenario: str | None) -> str:
    return "without --scenario" if scenario is None else f"with --scenario {scenario}"
