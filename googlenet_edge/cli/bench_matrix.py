"""``googlenet-edge bench`` with several precisions or batch sizes: measures the matrix, and recommends a setting."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.cli.bench_matrix_arguments import (
    DEFAULT_BATCHES,
    check_matrix_arguments,
    matrix_config,
    matrix_target,
)
from googlenet_edge.cli.run_signals import StopSignals
from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from googlenet_edge.scenarios.matrix.bench import MatrixRequest
    from googlenet_edge.scenarios.matrix.result import Matrix

__all__ = ["NONE_MEETS", "print_schema", "run_bench_matrix"]

NONE_MEETS: Final = 3
"""The exit code where no setting is shown to meet the target."""
_STOPPING = b"\nending with what was measured so far; Ctrl-C again ends at once\n"


def print_schema(arguments: argparse.Namespace) -> int:
    """Print the schema of a matrix's JSON file. Raises :class:`UsageError` where something is to be measured too."""
    if arguments.bundles:
        raise UsageError(f"bench: got --schema together with {arguments.bundles[0]}, expected --schema alone")
    from googlenet_edge.scenarios.matrix.format import matrix_schema

    print(matrix_schema(), end="")
    return 0


def run_bench_matrix(arguments: argparse.Namespace) -> int:
    """Measure, write and print.

    Return 0; 1 where it was stopped or nothing could be measured; :data:`NONE_MEETS` where nothing meets the target.
    """
    check_matrix_arguments(arguments)
    with StopSignals(first_message=_STOPPING, hangup_reopens=False) as signals:
        import msgspec

        from googlenet_edge.atomic import check_writable
        from googlenet_edge.cli.bench_matrix_display import MatrixDisplay
        from googlenet_edge.cli.bench_rig import frames_from_arguments
        from googlenet_edge.cli.machine_watch import end_watch, new_watch
        from googlenet_edge.cli.output import print_shown, write_json
        from googlenet_edge.latency.machine_format import EnergyEntry
        from googlenet_edge.latency.machine_lines import machine_lines
        from googlenet_edge.scenarios.matrix.bench import Told, bench_matrix
        from googlenet_edge.scenarios.matrix.display import matrix_shown
        from googlenet_edge.scenarios.matrix.document import matrix_document

        request = _request(arguments)
        for candidate in request.candidates:
            check_outside(candidate.bundle.path, {"--json": arguments.json, "--cache": arguments.cache})
        if arguments.json is not None:
            check_writable(arguments.json, what="JSON file")
        with ExitStack() as stack:
            watch = stack.enter_context(new_watch(arguments))  # looks now, before the run adds to load and heat
            frames = frames_from_arguments(arguments)
            display = stack.enter_context(MatrixDisplay(request.config.rounds, backends=len(request.backends) > 1))
            display.say(_announcement(request))
            stop = stack.enter_context(signals.in_good_order())
            told = Told(display.progress, display.evaluating)
            matrix = bench_matrix(request, frames, watch=watch, stop=stop, told=told)
        watched = watch.document(None, 0)  # the energy of the whole run; that of each setting is among its figures
        try:
            if arguments.json is not None:
                write_json(arguments.json, matrix_document(matrix, watch.machine.to_dict(), watched))
        finally:  # what was measured is shown, also where it could not be written
            power = machine_lines({}, None, None, msgspec.convert(watched["energy"], EnergyEntry))
            print_shown([f"frames: {frames.description}", *matrix_shown(matrix), *end_watch(watch).lines, *power])
        return _code(matrix)


def _request(arguments: argparse.Namespace) -> MatrixRequest:
    from googlenet_edge.cli.backend_arguments import backend_options
    from googlenet_edge.evaluation.dataset import open_dataset
    from googlenet_edge.scenarios.matrix.bench import MatrixRequest
    from googlenet_edge.scenarios.matrix.candidates import find_candidates

    candidates, missing = find_candidates(arguments.bundles, arguments.precision)
    if not candidates:
        raise UsageError(f"--precision: got {', '.join(one.precision for one in missing)}; {missing[0].reason}")
    if arguments.dataset is not None:
        open_dataset(arguments.dataset, candidates[0].bundle.labels)  # what is wrong with it is better known now
    options = [backend_options(arguments, name) for name in arguments.backend.split(",")]
    return MatrixRequest(
        candidates=tuple(candidates),
        missing=tuple(missing),
        batches=arguments.batch or DEFAULT_BATCHES,
        backends={one.choice: one for one in options},
        config=matrix_config(arguments),
        target=matrix_target(arguments),
        dataset=arguments.dataset,
        limit=arguments.limit,
    )


def _announcement(request: MatrixRequest) -> str:
    from googlenet_edge.cli.bench_matrix_display import duration
    from googlenet_edge.scenarios.matrix.rounds import least_seconds

    count = sum(cell.failure is None for cell in request.cells())
    config = request.config
    more = []
    if request.target.latency_ms is not None:
        most = config.max_duration_ns / 1e9
        more.append(f"more where p{config.percent} needs more batches, up to {most:g} s each")
    if request.dataset is not None:
        more.append("then the accuracies")
    return (
        f"{count} setting{'s' if count != 1 else ''}, {config.rounds} rounds: {count * config.rounds} measurements of "
        f"{config.min_duration_ns / 1e9:g} s, about {duration(least_seconds(count, config))} or longer"
        f"{'; ' if more else ''}{'; '.join(more)}"
    )


def _code(matrix: Matrix) -> int:
    if not matrix.complete or not matrix.measured:
        return 1
    found = matrix.recommendation
    return NONE_MEETS if found is not None and found.chosen is None else 0
