"""``googlenet-edge bench --layers``: how long each layer of a bundle takes, and each row of Table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from googlenet_edge.cli.arguments import check_outside
from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rich.console import Console

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.cli.bench_roofline import Roofline
    from googlenet_edge.latency.layer_times import LayerReport, LayerTime
    from googlenet_edge.runtime.layer_profile import ProfileConfig

__all__ = ["LAYERS_ARGUMENTS", "SCHEMA_VERSION", "run_layers"]

SCHEMA_VERSION = 1
LAYERS_ARGUMENTS: Final[Mapping[str, int]] = {"batch": 1, "iterations": 100, "warmup": 10, "top": 10}
"""What ``--layers`` has, and what it is where it was not given."""


def run_layers(arguments: argparse.Namespace) -> int:
    """Measure one bundle, or compare several; see the library functions for what is raised."""
    from googlenet_edge.scenarios.matrix.candidates import bundle_folders

    if not arguments.bundles:
        raise UsageError("bench: got no BUNDLE, expected one or more, or a folder of bundles")
    folders = bundle_folders(arguments.bundles)
    if len(folders) > 1:
        if arguments.top is not None:
            raise UsageError(
                f"--top: got it for {len(folders)} bundles, expected it for one: of several, rows are shown"
            )
        from googlenet_edge.cli.bench_layers_compare import run_comparison

        return run_comparison(arguments, folders, _checked(arguments))
    if arguments.rounds is not None:
        raise UsageError("--rounds: got it with --layers for one bundle, expected it for several, or for a matrix")
    arguments.bundle = folders[0]
    return _run_one(arguments, _checked(arguments))


def _run_one(arguments: argparse.Namespace, config: ProfileConfig) -> int:
    from rich.console import Console

    from googlenet_edge.atomic import check_writable
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.cli.machine_watch import end_watch
    from googlenet_edge.cli.output import write_json
    from googlenet_edge.latency.watch.run import RunWatch, WatchConfig

    check_outside(arguments.bundle, {"--json": arguments.json, "--cache": arguments.cache})
    if arguments.json is not None:
        check_writable(arguments.json, what="JSON file")
    bundle = Bundle.open(arguments.bundle)
    with RunWatch(WatchConfig(power=False)) as watch:  # the profiler's own work would be in the energy
        watch.start()
        report, roofline, line, backend = _measure(arguments, bundle, config)
        watched = end_watch(watch)
    try:
        if arguments.json is not None:
            write_json(arguments.json, {**_document(report, roofline, bundle, backend), **watched.with_machine()})
    finally:  # what was measured is shown, also where it could not be written
        console = Console(highlight=False)
        _print(report, roofline, line, arguments.top, console)
        for said in watched.lines:
            console.print(said, markup=False, soft_wrap=True)
    return 0


def _checked(arguments: argparse.Namespace) -> ProfileConfig:
    from googlenet_edge.runtime.layer_profile import MOST_INFERENCES, ProfileConfig

    batches: tuple[int, ...] | None = arguments.batch
    if batches is not None:
        if len(batches) > 1:
            raise UsageError(f"--batch: got {len(batches)} numbers with --layers, expected one")
        arguments.batch = batches[0]
    for name, default in LAYERS_ARGUMENTS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, default)
    for name, least in (("batch", 1), ("iterations", 1), ("warmup", 0), ("top", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UsageError(f"--{name}: got {value}, expected at least {least}")
    if arguments.iterations + arguments.warmup > MOST_INFERENCES:
        raise UsageError(
            f"--iterations: got {arguments.iterations}, and {arguments.warmup} for warm-up, "
            f"expected at most {MOST_INFERENCES} together"
        )
    if arguments.max_batch is not None and arguments.max_batch < arguments.batch:
        raise UsageError(f"--max-batch: got {arguments.max_batch}, expected at least {arguments.batch}, as --batch")
    if arguments.max_batch is None and arguments.batch > 1:
        arguments.max_batch = arguments.batch
    return ProfileConfig(batch=arguments.batch, inferences=arguments.iterations, warmup=arguments.warmup)


def _measure(
    arguments: argparse.Namespace, bundle: Bundle, config: ProfileConfig
) -> tuple[LayerReport, Roofline, str, dict[str, str]]:
    """Return the times, the rows' work, one line about what computed, and what it says of itself."""
    from googlenet_edge.cli.backend_arguments import open_from_arguments
    from googlenet_edge.cli.bench_roofline import measure_roofline
    from googlenet_edge.runtime.layer_profile import measure_layers, open_profiled

    opened = open_from_arguments(arguments, bundle, profile_layers=True)
    with open_profiled(opened.backend, bundle) as backend:
        report, described = measure_layers(backend, bundle, config), backend.describe()
    return report, measure_roofline(report, backend, bundle), opened.line, described


def _document(report: LayerReport, roofline: Roofline, bundle: Bundle, backend: Mapping[str, str]) -> dict[str, object]:
    from googlenet_edge.cli.bench_roofline import roofline_document

    manifest = bundle.manifest
    return {
        "schema_version": SCHEMA_VERSION,
        "model": manifest.name,
        "precision": manifest.precision,
        "graph_sha256": bundle.graph_sha256,
        "backend": dict(backend),
        "definitions": {
            "median_ms": "nearest rank, of the layer's or row's time in each inference; medians do not add up",
            "share": "of the time of all layers in all inferences; shares add up to 1",
            "wall_ms": "median, from the batch on the host to its results there, with the profiler on",
            "not_covered_ms": "wall_ms less layers_ms: copies, launches and the profiler; below 0 where layers overlap",
            "other": "layers that compute no node of the graph, such as reformatting",
        },
        "frames_per_inference": report.frames,
        "inferences": report.inferences,
        "wall_ms": _ms(report.wall_ns),
        "layers_ms": _ms(report.layers_ns),
        "not_covered_ms": _ms(report.not_covered_ns),
        "rows": [_entry(row) for row in report.rows],
        "roofline": roofline_document(roofline),
        "layers": [_entry(layer) for layer in report.layers],
    }


def _entry(layer: LayerTime) -> dict[str, object]:
    return {
        "name": layer.name,
        "rows": list(layer.rows),
        "median_ms": _ms(layer.median_ns),
        "share": round(layer.share, 6),
    }


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)


def _print(report: LayerReport, roofline: Roofline, line: str, top: int, console: Console) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from googlenet_edge.cli.bench_roofline import roofline_lines, roofline_table
    from googlenet_edge.cli.output import print_shown

    console.print(escape(line), soft_wrap=True)
    frames = f"{report.frames} frame{'s' if report.frames > 1 else ''}"
    console.print(f"median of {report.inferences} inferences of {frames}, with the layers' profiler on", soft_wrap=True)
    counts: dict[tuple[str, ...], int] = {}
    for layer in report.layers:
        counts[layer.rows] = counts.get(layer.rows, 0) + 1
    table = Table("row of Table 1", box=box.SIMPLE_HEAD)
    for title in ("ms", "share", "layers"):
        table.add_column(title, justify="right")
    for row in report.rows:
        table.add_row(escape(row.row), f"{row.median_ns / 1e6:.3f}", f"{100 * row.share:.1f} %", str(counts[row.rows]))
    print_shown([table, roofline_table(roofline), *roofline_lines(roofline)])
    if top:  # names are long: they are folded, and figures are not cut
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("slowest layers", overflow="fold")
        table.add_column("row", overflow="fold")
        for title in ("ms", "share"):
            table.add_column(title, justify="right", no_wrap=True)
        for layer in sorted(report.layers, key=lambda one: -one.share)[:top]:
            share = f"{100 * layer.share:.1f} %"
            table.add_row(escape(layer.name), escape(layer.row), f"{layer.median_ns / 1e6:.3f}", share)
        console.print(table)
    console.print(
        f"whole inference: {report.wall_ns / 1e6:.3f} ms on the wall; its layers: {report.layers_ns / 1e6:.3f} ms; "
        f"not covered: {report.not_covered_ns / 1e6:.3f} ms ({_rest(report)})",
        soft_wrap=True,
    )
    if any(not row.rows for row in report.rows):
        console.print("other: layers that compute no node of the graph, such as reformatting", soft_wrap=True)


def _rest(report: LayerReport) -> str:
    if report.not_covered_ns < 0:
        return "below 0: layers ran side by side"
    return "copies, launches, the profiler itself"
