"""``googlenet-edge bench``: how long whole frames take in a scenario, each layer, or a matrix of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import path_argument
from googlenet_edge.cli.backend_arguments import add_backend_arguments
from googlenet_edge.cli.bench_layers import LAYERS_ARGUMENTS, run_layers
from googlenet_edge.cli.bench_matrix import print_schema, run_bench_matrix
from googlenet_edge.cli.bench_matrix_arguments import add_matrix_arguments, is_matrix, numbers
from googlenet_edge.cli.bench_scenario_arguments import add_scenario_arguments, check_scenario_arguments
from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "bundles",
        type=path_argument,
        nargs="*",
        metavar="BUNDLE",
        help="the bundle's folder; for a matrix, or to compare layers, several, or a folder that has them in it",
    )
    add_scenario_arguments(parser)
    add_matrix_arguments(parser)
    layers = parser.add_argument_group("--layers")
    layers.add_argument(
        "--layers",
        action="store_true",
        help="time each layer on the bundle's golden frames; on TensorRT with its own profiler, on ONNX Runtime with "
        "that one's; of several bundles, row by row against the first, in rounds that take turns",
    )
    layers.add_argument(
        "--batch",
        type=numbers,
        metavar="N,...",
        help="frames per inference (default: 1); of a matrix, several (default: 1,2,4,8)",
    )
    layers.add_argument("--iterations", type=int, metavar="N", help="inferences (default: 100)")
    layers.add_argument("--warmup", type=int, metavar="N", help="inferences before those (default: 10)")
    layers.add_argument("--top", type=int, metavar="N", help="slowest layers to show (default: 10)")
    layers.add_argument(
        "--json", type=path_argument, metavar="FILE", help="also write all figures, of all layers or of a matrix, here"
    )
    add_backend_arguments(parser, several=True)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print the tables; see the library functions for what is raised."""
    if arguments.schema:
        return print_schema(arguments)
    if is_matrix(arguments):
        return run_bench_matrix(arguments)
    if len(arguments.bundles) != 1 and not arguments.layers:
        raise UsageError(f"bench: got {len(arguments.bundles)} bundles, expected one; several make a matrix")
    check_scenario_arguments(arguments, {name: getattr(arguments, name) for name in ("json", *LAYERS_ARGUMENTS)})
    if arguments.scenario is not None:
        if arguments.layers:
            raise UsageError("bench: got --scenario and --layers, expected one of the two")
        from googlenet_edge.cli.bench_scenario import run_scenario

        arguments.bundle = arguments.bundles[0]
        return run_scenario(arguments)
    if not arguments.layers:
        raise UsageError(
            "bench: got neither --scenario nor --layers, expected one of them: whole frames as they will be asked for, "
            "or the time of each layer; or several settings, for a matrix, as --batch 1,2,4; for a real camera use "
            "`googlenet-edge run`"
        )
    return run_layers(arguments)
