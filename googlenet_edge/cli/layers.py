"""``googlenet-edge layers``: what TensorRT makes of a bundle, layer by layer, without a GPU."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import FLAVOURS, check_outside, flavour_name, path_argument
from googlenet_edge.errors import GoogLeNetEdgeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.layer_report import EngineReport
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["configure", "run"]

PRECISIONS = ("fp32", "fp16", "int8")
DEFAULT_TARGET = "8.6"
"""Where no GPU is: what most GeForce cards since 2020 can run."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "bundle", type=path_argument, metavar="BUNDLE", help="the folder that `googlenet-edge deploy` made"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="the precision that the bundle is meant to have: another one is an error (a bundle has one)",
    )
    parser.add_argument(
        "--against",
        type=path_argument,
        metavar="BUNDLE",
        help="a second bundle, of another precision, to show beside it",
    )
    source = parser.add_argument_group("where the layers come from")
    source.add_argument(
        "--flavour",
        choices=FLAVOURS,
        default="auto",
        help="which TensorRT builds (default: tensorrt where it is installed, else tensorrt-rtx, which needs no GPU)",
    )
    source.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="GPU",
        help="a GPU to build for: sm86, 8.6, rtx30, rtx40, rtx50, ...; may be given several times; TensorRT-RTX only "
        "(default: the GPU of this machine, else sm86)",
    )
    source.add_argument(
        "--opt-batch", type=int, default=1, metavar="N", help="the batch size to build for (default: 1)"
    )
    source.add_argument(
        "--layer-info",
        type=path_argument,
        metavar="FILE",
        help="build nothing: read what `trtexec --loadEngine=PLAN --exportLayerInfo=FILE` wrote on a device for an "
        "engine of this bundle",
    )
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--all", action="store_true", help="print every layer, not the totals alone")
    shown.add_argument("--json", type=path_argument, metavar="FILE", help="write all of it there, as JSON")
    shown.add_argument(
        "--html", type=path_argument, metavar="FILE", help="write a page with a picture of the network there"
    )


def run(arguments: argparse.Namespace) -> int:
    """Report on the layers; see :func:`googlenet_edge.engine.layer_survey.survey_bundle` for what is raised."""
    _check(arguments)

    from googlenet_edge.atomic import check_writable
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.cli.layers_tables import print_layers
    from googlenet_edge.engine.layer_document import write_document
    from googlenet_edge.engine.layer_page import write_page
    from googlenet_edge.engine.layer_survey import survey_file

    paths = [arguments.bundle] + ([] if arguments.against is None else [arguments.against])
    bundles = [Bundle.open(path) for path in paths]
    precision = bundles[0].manifest.precision
    if arguments.precision not in (None, precision):
        raise UsageError(
            f"--precision: got {arguments.precision}, but {str(arguments.bundle)!r} is a bundle of precision "
            f"{precision}; make one with `googlenet-edge deploy CHECKPOINT --precision {arguments.precision} -o FOLDER`"
        )
    if arguments.json is not None:
        check_writable(arguments.json, what="layers as JSON")
    if arguments.html is not None:
        check_writable(arguments.html, what="page of layers")
    notes: list[str] = []
    if arguments.layer_info is not None:
        reports = [survey_file(bundles[0], arguments.layer_info)]
    else:
        notes, reports = _build(arguments, bundles)
    if len({report.facts.title for report in reports}) < len(reports):  # two versions of one model
        reports = [
            replace(report, facts=replace(report.facts, bundle=f"{report.facts.bundle} in {path}"))
            for report, path in zip(reports, paths, strict=True)
        ]
    if arguments.json is not None:
        write_document(reports, arguments.json)
    if arguments.html is not None:
        write_page(reports, arguments.html)
    print_layers(reports, notes=notes, every_layer=arguments.all)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.opt_batch < 1:
        raise UsageError(f"--opt-batch: got {arguments.opt_batch}, expected 1 or more")
    if arguments.against is not None and os.path.realpath(arguments.against) == os.path.realpath(arguments.bundle):
        raise UsageError(f"--against: got {arguments.against}, the same bundle; expected another one")
    if arguments.layer_info is not None and (arguments.target or arguments.against or arguments.flavour != "auto"):
        raise UsageError("--layer-info: nothing is built: leave out --target, --flavour and --against")
    outputs = [path for path in (arguments.json, arguments.html) if path is not None]
    if len({os.path.realpath(path) for path in outputs}) < len(outputs):
        raise UsageError(f"--json and --html: got {outputs[0]} for both, expected two files")
    for bundle in (arguments.bundle, arguments.against):
        if bundle is not None:
            check_outside(bundle, {"--json": arguments.json, "--html": arguments.html})


def _build(arguments: argparse.Namespace, bundles: Sequence[Bundle]) -> tuple[list[str], list[EngineReport]]:
    from googlenet_edge.cli.build_display import BuildDisplay
    from googlenet_edge.engine.build import BuildSettings
    from googlenet_edge.engine.flavour import load_flavour
    from googlenet_edge.engine.layer_survey import survey_bundle

    options = _options(arguments)
    flavour = load_flavour(flavour_name(arguments.flavour, arguments.target))
    notes = []
    if flavour.has_targets and not options.targets:
        options, note = _target_here(arguments, flavour)
        notes = [note]
    reports = []
    for bundle in bundles:
        with BuildDisplay() as display:
            settings = BuildSettings(on_progress=display.progress)
            reports.append(survey_bundle(bundle, flavour, options, settings=settings))
    return notes, reports


def _options(arguments: argparse.Namespace, target: str | None = None) -> BuildOptions:
    from googlenet_edge.engine.options import BuildOptions

    batch = arguments.opt_batch
    targets = tuple(arguments.target) if target is None else (target,)
    return BuildOptions(min_batch=1, opt_batch=batch, max_batch=max(8, batch), targets=targets)


def _target_here(arguments: argparse.Namespace, flavour: Flavour) -> tuple[BuildOptions, str]:
    """The GPU of this machine, if there is one that the builder knows; and what was chosen, in words."""
    from googlenet_edge.runtime.trt_device import find_device

    try:
        device = find_device()
        return _options(arguments, device.compute_capability), f"built for {device.title}"
    except GoogLeNetEdgeError:
        # No pycuda, no driver, no GPU, or one that this builder does not build for.
        sm = "sm" + DEFAULT_TARGET.replace(".", "")
        return (
            _options(arguments, DEFAULT_TARGET),
            f"no GPU of this machine can be built for: built for {sm} ({flavour.title}); --target names another",
        )
