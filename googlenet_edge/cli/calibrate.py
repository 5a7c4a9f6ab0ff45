"""``googlenet-edge calibrate``: what INT8 needs to know of a bundle's network, measured on images."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import check_outside, path_argument
from googlenet_edge.errors import InputError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import onnx
    from rich.console import Console
    from rich.progress import Progress

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.quantization.calibrate import Calibration
    from googlenet_edge.quantization.threshold import Method


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("bundle", type=path_argument, metavar="BUNDLE", help="the folder of an fp32 bundle")
    parser.add_argument(
        "--images",
        required=True,
        metavar="SOURCE",
        help="a folder (of images, of a folder per class, or a collection), a quoted glob, a video file, a camera, "
        "a network stream, or demo:",
    )
    parser.add_argument("--count", type=int, default=512, metavar="N", help="so many images at most (default: 512)")
    parser.add_argument(
        "--every", type=int, metavar="N", help="take every Nth frame (default: files and videos evenly, live ones 1/s)"
    )
    parser.add_argument("--drop-duplicates", action="store_true", help="leave images out that look like an earlier one")
    parser.add_argument(
        "--out", type=path_argument, metavar="FILE", help="the table (default: BUNDLE.calibration.json)"
    )
    parser.add_argument(
        "--report", type=path_argument, metavar="FILE", help="the report (default: beside the table, .html)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="images computed at once (default: all cores, at most 4)"
    )
    parser.add_argument("--fresh", action="store_true", help="ignore an earlier table and an interrupted run")
    cache = parser.add_argument_group(
        "calibration cache",
        "TensorRT's old file of scales, one for every tensor of the graph: what DLA takes up to TensorRT 10 (trtexec "
        "--int8 --fp16 --calib=FILE --useDLACore=0 --allowGPUFallback, with the bundle's model.onnx)",
    )
    cache.add_argument("--cache", type=path_argument, metavar="FILE", help="write one to FILE (default: none)")
    cache.add_argument(
        "--cache-version",
        type=int,
        metavar="N",
        help="TensorRT's version, on its first line: 8600 is 8.6.0, 100300 is 10.3.0 (default: 100300)",
    )
    cache.add_argument(
        "--cache-method",
        metavar="METHOD",
        help="whose thresholds it has: max, entropy, mse or another of the report's (default: entropy)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Calibrate, write table and report, and print the ranges; see the library function for what is raised."""
    for name in ("count", "every", "threads"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name}: got {value}, expected at least 1")
    bundle_path = arguments.bundle.resolve()
    for name in ("version", "method"):
        if arguments.cache is None and getattr(arguments, f"cache_{name}") is not None:
            raise UsageError(f"--cache-{name}: got no --cache, expected the file to write; add --cache FILE")
    out = arguments.out or bundle_path.with_name(f"{bundle_path.name}.calibration.json")
    report = arguments.report or out.with_suffix(".html")
    _check_places(bundle_path, out, report, arguments.cache)

    from rich.console import Console

    from googlenet_edge.atomic import check_writable
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.quantization.report import write_report

    check_writable(out, what="calibration table")
    check_writable(report, what="calibration report")
    bundle = Bundle.open(arguments.bundle)
    if bundle.manifest.precision != "fp32":
        raise UsageError(
            f"bundle {str(arguments.bundle)!r}: got precision {bundle.manifest.precision}, expected fp32: INT8 is made "
            "of the float32 graph; give the bundle that it was made from"
        )
    with _quiet():
        calibration = _calibrate(arguments, bundle, out)
    write_report(calibration.table, report, name=bundle.name)
    console = Console(highlight=False)
    written = f"table:  {out}\nreport: {report}"
    if arguments.cache is not None:
        written += f"\ncache:  {_write_cache(arguments, bundle, calibration)}"
    _print(calibration, console)
    console.print(written, soft_wrap=True, markup=False)
    return 0


def _check_places(bundle: Path, out: Path, report: Path, cache: Path | None) -> None:
    """Every file outside of the bundle, and in a place of its own. The state of an unfinished run has one too."""
    check_outside(bundle, {"--out": out, "--report": report, "--cache": cache})
    what_is_at = {Path(os.path.realpath(out.with_name(f"{out.name}.unfinished"))): "the state of an unfinished run"}
    for option, path, what in (
        ("--out", out, "the table"),
        ("--report", report, "the report"),
        ("--cache", cache, "the calibration cache"),
    ):
        if path is None:
            continue
        place = Path(os.path.realpath(path))
        if place in what_is_at:
            raise UsageError(f"{option}: got {path}, which is also {what_is_at[place]}; expected another name")
        what_is_at[place] = what


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what is wrong with the images out of the log: it is printed at the end, and would tear the bar apart."""
    import logging

    import cv2

    logger = logging.getLogger("googlenet_edge.quantization.images")
    level, opencv_level = logger.level, cv2.utils.logging.getLogLevel()
    logger.setLevel(logging.ERROR)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logger.setLevel(level)
        cv2.utils.logging.setLogLevel(opencv_level)


def _calibrate(arguments: argparse.Namespace, bundle: Bundle, out: Path) -> Calibration:
    from googlenet_edge.graph.store import load_graph
    from googlenet_edge.quantization.cache_ranges import tensors_to_observe
    from googlenet_edge.quantization.calibrate import CalibrationOptions, calibrate
    from googlenet_edge.quantization.images import ImageOptions, collect_images
    from googlenet_edge.quantization.placement import scale_groups

    model = load_graph(bundle.graph_path)
    tensors = tensors_to_observe(model, [group.tensor for group in scale_groups(model)])
    if arguments.cache is not None:
        _check_cache(arguments, model, tensors)
    del model
    image_options = ImageOptions(arguments.count, arguments.every, arguments.drop_duplicates)
    options = CalibrationOptions(threads=arguments.threads, fresh=arguments.fresh)
    with _display() as display:
        reading = _Bar(display, "reading")
        with collect_images(arguments.images, bundle.crop, image_options, progress=reading) as images:
            computing = _Bar(display, "calibrating")
            return calibrate(bundle.graph_path, images, tensors, path=out, options=options, progress=computing)


def _check_cache(arguments: argparse.Namespace, model: onnx.ModelProto, tensors: tuple[str, ...]) -> None:
    from googlenet_edge.quantization.cache import DEFAULT_VERSION, check_cache
    from googlenet_edge.quantization.threshold import METHODS

    if arguments.cache_method not in (None, *METHODS):
        raise UsageError(f"--cache-method: got {arguments.cache_method!r}, expected one of {', '.join(METHODS)}")
    if arguments.cache_version is None:
        arguments.cache_version = DEFAULT_VERSION
    try:
        check_cache(model, tensors, arguments.cache, version=arguments.cache_version)
    except InputError as error:
        raise UsageError(str(error)) from error


def _write_cache(arguments: argparse.Namespace, bundle: Bundle, calibration: Calibration) -> str:
    """Write the cache and return what to say of it."""
    from googlenet_edge.quantization.cache import to_cache, write_cache

    method: Method = arguments.cache_method or "entropy"
    cache = to_cache(calibration.table, bundle.graph_path, method=method, version=arguments.cache_version)
    write_cache(cache, arguments.cache)
    return f"{arguments.cache} ({len(cache.scales)} tensors, {method}, TensorRT {cache.version})"


def _display() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class _Bar:
    """One line of the display, called with what is done and of how much."""

    def __init__(self, display: Progress, description: str) -> None:
        self._display = display
        self._task = display.add_task(description, total=None, rate="")
        self._start: int | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._start is None:
            self._start = done  # a run that goes on has images that it did not compute
        seconds = self._display.tasks[self._task].elapsed or 0.0
        rate = f"{(done - self._start) / seconds:.1f} images/s" if seconds else ""
        self._display.update(self._task, completed=done, total=total, rate=rate)


def _print(calibration: Calibration, console: Console) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = calibration.table
    made = "reused" if calibration.reused else "calibrated"
    console.print(f"{made}: {escape(calibration.reason)}", soft_wrap=True)
    for warning in table.images.warnings:
        console.print(f"warning: {escape(warning.message)}", soft_wrap=True)
    shown = Table("tensor", "range", "99.99 %", "entropy", "mse", "dead", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.columns[0].overflow = "fold"
    for column in shown.columns[1:]:
        column.justify = "right"
    for entry in table.tensors:
        dead = f"{len(entry.dead_channels)} of {len(entry.channel_amax)}" if entry.dead_channels else ""
        thresholds = [f"{entry.thresholds[method]:.4g}" for method in ("percentile-99.99", "entropy", "mse")]
        shown.add_row(escape(entry.tensor), f"{entry.amax:.4g}", *thresholds, "all" if entry.dead else dead)
    console.print(shown)
    dead_tensors = sum(entry.dead for entry in table.tensors)
    console.print(
        f"{table.image_count} images, {len(table.tensors)} tensors, {dead_tensors} of them dead; "
        f"images sha256 {table.images_sha256[:12]}..., graph {table.model_sha256[:12]}..."
    )
