"""``googlenet-edge report``: a latency report as a page to read, a table, CSV or Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import path_argument
from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from googlenet_edge.latency.report_file import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "report",
        nargs="?",
        type=path_argument,
        metavar="REPORT.json",
        help="what `run --report` wrote; the raw samples beside it, from `run --samples`, are used too",
    )
    parser.add_argument("-o", "--output", type=path_argument, metavar="FILE.html", help="write one HTML page here")
    parser.add_argument("--csv", type=path_argument, metavar="FILE", help="write one line a stage and percentile here")
    parser.add_argument(
        "--prometheus", type=path_argument, metavar="FILE", help="write Prometheus' text format here, e.g. run.prom"
    )
    parser.add_argument(
        "--layers",
        type=path_argument,
        metavar="LAYERS.json",
        help="with -o: show the time of each layer too, from `bench --layers --json`",
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of report.json, and do nothing else"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write what was asked for, or print the table; see the library functions for what is raised."""
    outputs = {"-o": arguments.output, "--csv": arguments.csv, "--prometheus": arguments.prometheus}
    if arguments.schema:
        return _print_schema(arguments.report, outputs)
    if arguments.report is None:
        raise UsageError("report: got no REPORT.json, expected what `googlenet-edge run --report` wrote, or --schema")
    if arguments.layers is not None and arguments.output is None:
        raise UsageError("--layers: got no -o FILE.html, expected one; the page is where layers are shown")
    _check_outputs([arguments.report, arguments.layers], outputs)
    from googlenet_edge.latency.report_file import read_report

    report = read_report(arguments.report)
    if arguments.layers is not None:
        from googlenet_edge.latency.report_file import with_layers

        report = with_layers(report, arguments.layers)
    if not any(outputs.values()):
        _print(report)
    if arguments.output is not None:
        from googlenet_edge.latency.page import write_page

        write_page(arguments.output, report)
    if arguments.csv is not None:
        from googlenet_edge.latency.report_csv import write_csv

        write_csv(arguments.csv, report.document)
    if arguments.prometheus is not None:
        from googlenet_edge.latency.prometheus import write_prometheus

        write_prometheus(arguments.prometheus, report.document)
    return 0


def _print_schema(report: Path | None, outputs: dict[str, Path | None]) -> int:
    given = [option for option, path in outputs.items() if path is not None]
    if report is not None or given:
        got = ", ".join(([str(report)] if report is not None else []) + given)
        raise UsageError(f"report: got --schema together with {got}, expected --schema alone")
    from googlenet_edge.latency.schema import report_schema

    print(report_schema(), end="")
    return 0


def _check_outputs(inputs: Sequence[Path | None], outputs: dict[str, Path | None]) -> None:
    """Raise :class:`UsageError` where a file would replace one that is read, or another of the files."""
    import os

    taken = {os.path.realpath(path): "what is read" for path in inputs if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise UsageError(f"{option}: got {path}, which is {taken[place]} already; expected a file of its own")
        taken[place] = option


def _print(report: Report) -> None:
    from dataclasses import replace

    from rich.console import Console

    from googlenet_edge.cli.plain import escaped, printable
    from googlenet_edge.latency.report_file import latency_summary
    from googlenet_edge.latency.table import latency_notes, latency_table

    document, console = report.document, Console(highlight=False)

    def say(text: str) -> None:
        console.print(printable(text), markup=False, soft_wrap=True)

    summary = latency_summary(document)
    say(f"{document.source.description}: {document.run.ended or 'ended'} after {document.run.frames or 0} frames")
    if document.run.error:
        say(f"error: {document.run.error}")
    if summary.stages:
        stages = tuple(replace(stage, name=escaped(stage.name)) for stage in summary.stages)
        console.print(latency_table(replace(summary, stages=stages)))
    for note in latency_notes(summary):
        say(note)
    if not report.complete and document.latency.sampled is None:
        say(f"percentiles from {document.latency.percentiles_from}")
    if summary.stages and (captured := document.definitions.get("captured")):
        say(f"captured = {captured}")
