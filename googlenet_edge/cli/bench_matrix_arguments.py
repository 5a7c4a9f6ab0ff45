"""The arguments of a matrix, ``bench BUNDLE ... --precision ... --batch ...``, and what goes with them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from googlenet_edge.cli import run_types
from googlenet_edge.cli.arguments import whole_number
from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from googlenet_edge.bundle import Precision
    from googlenet_edge.scenarios.matrix.rounds import MatrixConfig
    from googlenet_edge.scenarios.matrix.target import Target

__all__ = [
    "DEFAULT_BATCHES",
    "add_matrix_arguments",
    "check_matrix_arguments",
    "is_matrix",
    "matrix_config",
    "matrix_target",
    "numbers",
]

DEFAULT_BATCHES: Final = (1, 2, 4, 8)
_LARGEST_BATCH: Final = 1024
_PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
_PERCENTILES: Final = (50, 90, 95, 99)
_ONLY: Final = (
    "precision",
    "rounds",
    "dataset",
    "limit",
    "target_latency",
    "target_percentile",
    "target_fps",
    "min_accuracy",
    "max_accuracy_drop",
)
"""What a matrix alone has, but that several bundles with ``--layers`` have rounds too; None where it was not given."""
_NOT: Final[Mapping[str, str]] = {
    "fps": "--target-fps, or --scenario camera",
    "report": "--json",
    "max_batch": "--batch",
    "samples": "--json, which has the figures of each round",
    "min_queries": "--min-duration",
    "driver": "--scenario single-stream",
    "logs": "--scenario single-stream",
    "deadline": "--target-latency, or --scenario camera",
    "search": "--scenario camera",
    "idle_power": "--scenario single-stream",
    "iterations": "--min-duration",
    "warmup": "none: it ends when the times have become steady",
    "top": "--layers",
}
"""What a matrix does not have, and what to take instead."""


def add_matrix_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a matrix alone has."""
    group = parser.add_argument_group(
        "matrix: precisions by batch sizes, and which to take",
        "Each setting is timed in processes of its own, in rounds that take turns. Exit code 3: no setting is shown to "
        "meet the target.",
    )
    group.add_argument(
        "--precision",
        type=_precisions,
        metavar="P,...",
        help="of the bundles, those of these precisions: fp32, fp16, int8 (default: all of them)",
    )
    group.add_argument(
        "--rounds",
        type=whole_number(2, 100),
        metavar="N",
        help="measure each setting so often, forth and back; a steady drift cancels with an even number (default: 4); "
        "--layers: each of several bundles (default: 5)",
    )
    group.add_argument(
        "--dataset",
        metavar="DATASET",
        help="measure the accuracy of each bundle too, on a labelled set: see `eval` (default: what the bundles say)",
    )
    group.add_argument("--limit", type=whole_number(1), metavar="N", help="only N images of it, spread over the set")
    group.add_argument(
        "--target-latency",
        type=run_types.milliseconds,
        metavar="MS",
        help="recommend a setting whose batches take no longer; with --target-fps: until the oldest frame is labelled, "
        "its wait for the batch to fill included",
    )
    group.add_argument(
        "--target-percentile",
        type=_percentile,
        metavar="P",
        help="of the batches' latencies, to be shown, and within --target-latency: 50, 90, 95, 99 (default: 99)",
    )
    group.add_argument(
        "--target-fps",
        type=run_types.frames_per_second,
        metavar="F",
        help="recommend a setting that keeps up with F frames a second in all, of one camera or of several",
    )
    group.add_argument(
        "--min-accuracy", type=_share, metavar="P", help="recommend only what has a top-1 of P %% or more"
    )
    group.add_argument(
        "--max-accuracy-drop",
        type=_share,
        metavar="POINTS",
        help="recommend only what loses no more of top-1 against FP32, in percentage points",
    )
    group.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of a matrix's --json, and do nothing else"
    )


def is_matrix(arguments: argparse.Namespace) -> bool:
    """Whether the arguments ask for a matrix. Raises :class:`UsageError` where they ask for something else too."""
    other = "--scenario" if arguments.scenario is not None else "--layers" if arguments.layers else None
    shared = ("rounds",) if arguments.layers else ()
    given = [name for name in _ONLY if getattr(arguments, name) is not None and name not in shared]
    if other is not None:
        if given:
            raise UsageError(f"{_option(given[0])}: got it with {other}, expected it for a matrix alone, without that")
        if "," in arguments.backend:
            raise UsageError(f"--backend: got {arguments.backend} with {other}, expected one; several make a matrix")
        return False
    return bool(given) or arguments.batch is not None or len(arguments.bundles) > 1 or "," in arguments.backend


def check_matrix_arguments(arguments: argparse.Namespace) -> None:
    """Raise :class:`UsageError` for arguments that a matrix does not have, or that do not go together."""
    for name, instead in _NOT.items():
        if getattr(arguments, name) is not None:
            raise UsageError(f"{_option(name)}: got it for a matrix, expected {instead}")
    if not arguments.bundles:
        raise UsageError("bench: got no BUNDLE, expected one or more, or a folder of bundles")
    if arguments.limit is not None and arguments.dataset is None:
        raise UsageError("--limit: got no --dataset, expected it: the images are those of that set")
    if arguments.images is not None and arguments.size is not None:
        raise UsageError("--size: got it with --images, expected one of them: images keep their own sizes")
    wrong = next((batch for batch in arguments.batch or () if not 1 <= batch <= _LARGEST_BATCH), None)
    if wrong is not None:
        raise UsageError(f"--batch: got {wrong}, expected 1 to {_LARGEST_BATCH}")


def matrix_config(arguments: argparse.Namespace) -> MatrixConfig:
    """Return how to measure. Raises :class:`UsageError` for times that do not go together."""
    from googlenet_edge.scenarios.matrix.rounds import MatrixConfig

    default = MatrixConfig()
    least_ns = default.min_duration_ns if arguments.min_duration is None else round(arguments.min_duration * 1e9)
    most_ns = max(default.max_duration_ns, least_ns)
    if arguments.max_duration is not None:
        most_ns = round(arguments.max_duration * 1e9)
        if arguments.min_duration is None:
            least_ns = min(least_ns, most_ns)
    if most_ns < least_ns:
        raise UsageError(
            f"--max-duration: got {arguments.max_duration:g} s, expected at least the {arguments.min_duration:g} s of "
            "--min-duration"
        )
    return MatrixConfig(
        rounds=arguments.rounds or default.rounds,
        min_duration_ns=least_ns,
        max_duration_ns=most_ns,
        percent=arguments.target_percentile or default.percent,
        seed=arguments.seed or 0,
        include_preprocess=arguments.include_preprocess is not False,
    )


def matrix_target(arguments: argparse.Namespace) -> Target:
    """Return what is wanted."""
    from googlenet_edge.scenarios.matrix.target import Target

    return Target(
        latency_ms=arguments.target_latency,
        percent=arguments.target_percentile or Target().percent,
        frames_per_second=arguments.target_fps,
        min_top1_percent=arguments.min_accuracy,
        max_drop_points=arguments.max_accuracy_drop,
    )


def numbers(text: str) -> tuple[int, ...]:
    """A type for argparse: whole numbers with commas between them, each once."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected a whole number, or several with commas between them, each once, as 1,2,4,8"
        )
    return found


def _precisions(text: str) -> tuple[Precision, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    found = tuple(known for name in names for known in _PRECISIONS if known == name)
    if len(found) != len(names) or len(set(found)) != len(found):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected one of {', '.join(_PRECISIONS)}, or several with commas between them, each once"
        )
    return found


def _percentile(text: str) -> int:
    found = next((percent for percent in _PERCENTILES if text == str(percent)), None)
    if found is None:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected one of {', '.join(map(str, _PERCENTILES))}")
    return found


def _share(text: str) -> float:
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number from 0 to 100")
    return value


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
