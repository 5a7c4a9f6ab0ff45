"""``googlenet-edge report``: a latency report as a page to read, a table, CSV or Prometheus' text format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import path_argument
from googlenet_edge.errors import InputError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from googlenet_edge.latency.report_file import Report
    from googlenet_edge.latency.scenario_table import Shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "report",
        nargs="?",
        type=path_argument,
        metavar="REPORT.json",
        help="what `run` or `bench --scenario` wrote, with --report; the raw samples beside it, from --samples, are "
        "used too. Or the REPORT-samples.raw that a run has left which was killed",
    )
    parser.add_argument("-o", "--output", type=path_argument, metavar="FILE.html", help="write one HTML page here")
    parser.add_argument("--csv", type=path_argument, metavar="FILE", help="write one line a stage and percentile here")
    parser.add_argument(
        "--prometheus", type=path_argument, metavar="FILE", help="write Prometheus' text format here, e.g. run.prom"
    )
    parser.add_argument(
        "--json",
        type=path_argument,
        metavar="FILE",
        help="from REPORT-samples.raw: write the report that the run did not live to write here, and the samples "
        "beside it",
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
    outputs["--json"] = arguments.json
    if arguments.schema:
        return _print_schema(arguments.report, outputs)
    if arguments.report is None:
        raise UsageError("report: got no REPORT.json, expected what `googlenet-edge run --report` wrote, or --schema")
    if arguments.layers is not None and arguments.output is None:
        raise UsageError("--layers: got no -o FILE.html, expected one; the page is where layers are shown")
    _check_outputs([arguments.report, arguments.layers, *_samples_of(arguments.report)], outputs)
    report = _read(arguments.report, arguments.json)
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


def _read(path: Path, json: Path | None) -> Report:
    """Return a report, also one of raw samples, which is then written to `json` if that is given."""
    from googlenet_edge.latency.report_file import CameraSamples, read_report, report_from
    from googlenet_edge.latency.sample_file import is_raw

    if not is_raw(path) and path.suffix != ".raw":
        if json is not None:
            raise UsageError(f"--json: got {path}, expected the REPORT-samples.raw of a run that was killed")
        _look_beside(path)
        return read_report(path)
    from googlenet_edge.latency.recover import recover, write_recovered

    recovered = recover(path)
    for note in recovered.notes:
        print(note, file=sys.stderr)
    if json is not None:
        write_recovered(recovered, json)
    return report_from(path, recovered.document, tuple(CameraSamples(*each) for each in recovered.samples))


def _samples_of(path: Path) -> list[Path]:
    """Return the files of raw samples beside a report, which are read with it."""
    import glob

    return list(path.parent.glob(f"{glob.escape(path.stem)}-samples*"))


def _look_beside(path: Path) -> None:
    """Say where a later run has left raw samples alone. Raises :class:`InputError` where there is no report at all."""
    left = [each for each in _samples_of(path) if each.suffix == ".raw"]
    if not left:
        return
    latest = max(left, key=_modified)
    if not path.exists():
        raise InputError(
            f"{path}: there is none, as its run did not end in good order or still goes on; "
            f"`googlenet-edge report {latest}` shows what it measured"
        )
    if _modified(latest) > _modified(path):
        print(f"a later run has no report: `googlenet-edge report {latest}` shows what it measured", file=sys.stderr)


def _modified(path: Path) -> float:
    """Return when a file was changed, in seconds; 0 where it is gone: a run that ends takes its raw samples away."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


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
    from googlenet_edge.cli.output import print_shown
    from googlenet_edge.latency.machine_lines import machine_lines
    from googlenet_edge.latency.scenario_table import scenario_shown

    document = report.document
    shown = _of_run(report) if document.scenario is None else scenario_shown(document)
    if document.scenario is not None:
        shown.insert(0, f"frames: {document.source.description}")
    print_shown([*shown, *machine_lines(document.machine, document.state, document.watch, document.energy)])


def _of_run(report: Report) -> Shown:
    from dataclasses import replace

    from googlenet_edge.cli.report_cameras import cameras_shown
    from googlenet_edge.latency.report_file import latency_summary
    from googlenet_edge.latency.table import latency_notes, latency_table, stage_lines
    from googlenet_edge.plain import counted, escaped

    document, summary = report.document, latency_summary(report.document)
    ended = document.run.ended or "ended"
    shown: Shown = [f"{document.source.description}: {ended} after {counted(document.run.frames or 0, 'frame')}"]
    if document.run.error:
        shown.append(f"error: {document.run.error}")
    shown += cameras_shown(document)
    if summary.stages:
        stages = tuple(replace(stage, name=escaped(stage.name)) for stage in summary.stages)
        shown.append(latency_table(replace(summary, stages=stages)))
    shown += latency_notes(summary)
    if summary.exact and not report.exact:
        shown.append(f"percentiles from {document.latency.percentiles_from}")
    shown += stage_lines(summary)
    if summary.stages and (captured := document.definitions.get("captured")):
        shown.append(f"captured = {captured}")
    return shown
