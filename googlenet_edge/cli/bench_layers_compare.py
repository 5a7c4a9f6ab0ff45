"""``googlenet-edge bench --layers`` with several bundles: what a form of the model, or a precision, costs here."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.cli.run_signals import StopSignals

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from googlenet_edge.runtime.layer_profile import ProfileConfig
    from googlenet_edge.scenarios.layers.rounds import Turn

__all__ = ["run_comparison"]


def run_comparison(arguments: argparse.Namespace, folders: Sequence[Path], config: ProfileConfig) -> int:
    """Time the bundles in turns, write and print; see the library functions for what is raised.

    A signal ends it at once, and nothing is written: rounds that are not whole compare nothing.
    """
    with StopSignals(first_message=b"", hangup_reopens=False), ExitStack() as stack:
        from rich.console import Console

        from googlenet_edge.atomic import check_writable
        from googlenet_edge.cli.backend_arguments import backend_options
        from googlenet_edge.cli.bench_matrix_display import RoundsDisplay
        from googlenet_edge.cli.machine_watch import end_watch
        from googlenet_edge.cli.output import print_shown, write_json
        from googlenet_edge.latency.watch.run import RunWatch, WatchConfig
        from googlenet_edge.scenarios.layers.comparison import compare
        from googlenet_edge.scenarios.layers.display import comparison_shown
        from googlenet_edge.scenarios.layers.document import comparison_document
        from googlenet_edge.scenarios.layers.rounds import DEFAULT_ROUNDS, LayersRequest, entrants, run_rounds

        for folder in folders:
            check_outside(folder, {"--json": arguments.json, "--cache": arguments.cache})
        if arguments.json is not None:
            check_writable(arguments.json, what="JSON file")
        request = LayersRequest(
            entrants(folders),
            backend_options(arguments, arguments.backend),
            config,
            rounds=arguments.rounds or DEFAULT_ROUNDS,
        )
        display = stack.enter_context(RoundsDisplay(request.rounds))
        watch = stack.enter_context(RunWatch(WatchConfig(power=False)))  # the profiler's work would be in the energy
        count = len(request.entrants)
        display.say(f"{count} bundles, {request.rounds} rounds: {count * request.rounds} measurements")

        def show(turn: Turn) -> None:
            name = f"{turn.entrant.letter}, {turn.entrant.title}"
            display.measuring(name, turn.round, done=turn.done, left=turn.left, seconds_left=turn.seconds_left)

        watch.start()
        rounds = run_rounds(request, on_turn=show)
        watched = end_watch(watch)
        stack.close()
        found = compare(
            rounds,
            [one.bundle.manifest.nodes for one in request.entrants],
            [one.letter for one in request.entrants],
        )
        try:
            if arguments.json is not None:
                write_json(arguments.json, comparison_document(request, rounds, found, watched.with_machine()))
        finally:  # what was measured is shown, also where it could not be written
            shown = comparison_shown(request, rounds, found, width=Console().width)
            print_shown([*shown, *watched.lines])
    return 0
