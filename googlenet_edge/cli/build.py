"""``googlenet-edge build``: a bundle's TensorRT engine, for this device or for GPUs that are elsewhere."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.cli.arguments import FLAVOURS, check_outside, flavour_name, path_argument, whole_number
from googlenet_edge.errors import EngineError, UsageError
from googlenet_edge.plain import printable

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.cli.build_display import BuildDisplay
    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions
    from googlenet_edge.runtime.engines import EngineRequest, StoreResult

__all__ = ["configure", "run"]

UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
NO_TIMING_CACHE = Path("none")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument(
        "bundle", type=path_argument, metavar="BUNDLE", help="the folder that `googlenet-edge deploy` made"
    )
    parser.add_argument(
        "--flavour",
        choices=FLAVOURS,
        default="auto",
        help="which TensorRT builds (default: tensorrt where it is installed, else tensorrt-rtx)",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="GPU",
        help="a GPU to build for, which need not be in this machine: sm86, 8.6, rtx30, rtx40, rtx50, ...; may be given "
        "several times; TensorRT-RTX only (default: the GPU of this machine)",
    )
    parser.add_argument(
        "--device", type=whole_number(0), default=0, metavar="N", help="the GPU to build on (default: 0)"
    )
    batch = parser.add_argument_group("batch sizes that the engine takes")
    batch.add_argument("--min-batch", type=int, metavar="N", help="the smallest (default: 1)")
    batch.add_argument("--opt-batch", type=int, metavar="N", help="the one it is made quickest for (default: 1)")
    batch.add_argument("--max-batch", type=int, metavar="N", help="the largest (default: 8)")
    how = parser.add_argument_group("how it is built")
    how.add_argument(
        "--workspace",
        metavar="SIZE",
        help="most scratch memory of a tactic, such as 512M or 1G (default: TensorRT's own; less on a small board)",
    )
    how.add_argument(
        "--optimization-level",
        type=int,
        metavar="N",
        help="0 (quick build) to 5 (every tactic tried); default: TensorRT's",
    )
    how.add_argument("--dla", type=int, metavar="CORE", help="put on this DLA core what can run there")
    how.add_argument(
        "--version-compatible", action="store_true", help="newer TensorRT versions load it too; may be slower"
    )
    how.add_argument(
        "--hardware-compatible", action="store_true", help="every GPU from Ampere on loads it; may be slower; no Jetson"
    )
    how.add_argument(
        "--timing-cache",
        type=path_argument,
        metavar="FILE|none",
        help="where timings of tactics are kept, for a quicker next build (default: with the cached engines)",
    )
    how.add_argument("--ignore-memory", action="store_true", help="build also where memory seems too small for it")
    where = parser.add_argument_group("where it goes")
    where.add_argument(
        "--cache",
        type=path_argument,
        metavar="FOLDER",
        help="keep the engine there (default: in the bundle, if it is writable)",
    )
    where.add_argument("-o", "--output", type=path_argument, metavar="FILE", help="write the plan to this file as well")
    where.add_argument("--rebuild", action="store_true", help="build also where the same engine is stored already")


def run(arguments: argparse.Namespace) -> int:
    """Build, store and print; see :func:`googlenet_edge.runtime.engines.build_into_store` for what is raised."""
    options = _options(arguments)
    timings = None if arguments.timing_cache == NO_TIMING_CACHE else arguments.timing_cache
    places = {"--output": arguments.output, "--cache": arguments.cache, "--timing-cache": timings}
    check_outside(arguments.bundle, places)

    from googlenet_edge.atomic import atomic_file, check_writable
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.cli.build_display import BuildDisplay
    from googlenet_edge.engine.config import check_supported
    from googlenet_edge.engine.flavour import load_flavour
    from googlenet_edge.runtime.engines import build_into_store

    if arguments.output is not None:
        check_writable(arguments.output, what="engine")
    bundle = Bundle.open(arguments.bundle)
    flavour = load_flavour(flavour_name(arguments.flavour, arguments.target, arguments.dla))
    if options.dla_core is not None and flavour.dla == "calibration cache":
        raise _needs_cache(bundle, flavour, options)
    check_supported(flavour, options)  # before anything is said about a GPU that is missing
    with BuildDisplay() as display:
        request = _request(arguments, flavour, options, display)
        result = build_into_store(bundle, request, device=arguments.device, rebuild=arguments.rebuild)
    if arguments.output is not None:
        with atomic_file(arguments.output, what="engine") as file:
            file.write(result.engine.read())
    _print(bundle, flavour, result, arguments.output)
    return 0


def _options(arguments: argparse.Namespace) -> BuildOptions:
    from googlenet_edge.engine.options import BuildOptions

    opt = arguments.opt_batch or arguments.min_batch or 1
    # A DLA takes one batch size.
    least, most = (opt, opt) if arguments.dla is not None else (1, max(8, opt))
    return BuildOptions(
        min_batch=least if arguments.min_batch is None else arguments.min_batch,
        opt_batch=opt if arguments.opt_batch is None else arguments.opt_batch,
        max_batch=most if arguments.max_batch is None else arguments.max_batch,
        workspace_bytes=None if arguments.workspace is None else _bytes(arguments.workspace),
        optimization_level=arguments.optimization_level,
        targets=tuple(arguments.target),
        dla_core=arguments.dla,
        version_compatible=arguments.version_compatible,
        hardware_compatible=arguments.hardware_compatible,
    )


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,12})\s*([kmgt]?)(i?b)?", text.strip().lower())
    if found is None:
        raise UsageError(f"--workspace: got {text!r}, expected a size such as 512M or 1G")
    return int(found.group(1)) << UNITS[found.group(2)]


def _needs_cache(bundle: Bundle, flavour: Flavour, options: BuildOptions) -> EngineError | UsageError:
    from googlenet_edge.engine.dla import calibrated_commands

    if bundle.manifest.precision != "fp32":
        return UsageError(
            f"--dla: got a bundle of precision {bundle.manifest.precision}, expected fp32: {flavour.title} brings INT8 "
            "to a DLA by a calibration cache of the float32 graph; give the bundle that this one was made from"
        )
    calibrate, build = calibrated_commands(flavour, bundle.graph_path.resolve(), bundle.crop.crop_px, options)
    return EngineError(
        f"--dla: {flavour.title} takes INT8 on a DLA only from a calibration cache, in a weakly typed build, not "
        f"ours; these commands make one, for trtexec and programs of your own:\n  {calibrate}\n  {build}"
    )


def _request(
    arguments: argparse.Namespace, flavour: Flavour, options: BuildOptions, display: BuildDisplay
) -> EngineRequest:
    from googlenet_edge.cli.backend_arguments import engine_places
    from googlenet_edge.engine.build import BuildSettings
    from googlenet_edge.runtime.engines import EngineRequest

    places, timings = engine_places(arguments.cache), None
    if arguments.timing_cache == NO_TIMING_CACHE:
        places = replace(places, scratch=None)
    elif arguments.timing_cache is not None:
        if not flavour.has_timing_cache:
            raise UsageError(f"--timing-cache: {flavour.title} times nothing while it builds; leave it out")
        timings = arguments.timing_cache
    settings = BuildSettings(timing_cache=timings, on_progress=display.progress, ignore_memory=arguments.ignore_memory)
    return EngineRequest(flavour, options, places=places, settings=settings)


def _print(bundle: Bundle, flavour: Flavour, result: StoreResult, output: Path | None) -> None:
    from rich.console import Console

    from googlenet_edge.engine.config import price_of

    key, built = result.engine.key, result.built
    options = key.options
    where = key.device_name or f"compute capability {key.compute_capability.replace('+', ', ')}"
    lines = [f"was:     {reason}" for reason in result.reasons]
    lines += [] if built is None else [f"note:    {note}" for note in built.notes]
    done = "found" if built is None else f"built in {built.seconds:.1f} s"
    lines += [
        f"engine:  {result.engine.path}",
        f"         {done}; {result.engine.size_bytes / 1e6:.1f} MB, {bundle.manifest.precision}, {flavour.title}",
        f"for:     {where}; batches {options.min_batch} to {options.max_batch}, best at {options.opt_batch}",
    ]
    lines += [f"price:   {price}" for price in price_of(options)]
    if options.dla_core is not None and built is not None:
        count = len(built.fallback)
        lines.append(f"DLA {options.dla_core}:   {count} layers fell back to the GPU" + (":" if count else ""))
        lines += [f"         {layer}" for layer in built.fallback]
    if result.check is not None:
        lines.append(f"golden:  {result.check.frames} frames on {result.check.device_name}: {result.check.detail}")
    else:
        lines.append("golden:  not run yet: the golden frames are run at the first load on a device")
        lines += [f"         ({result.unchecked})"] if result.unchecked else []
    if flavour.is_rtx and bundle.manifest.precision == "int8":
        lines.append("advice:  on TensorRT-RTX, fp16 is the better choice: `googlenet-edge layers` shows why")
    if output is not None:
        lines.append(f"copied:  {output}")
    Console(highlight=False).print("\n".join(map(printable, lines)), soft_wrap=True, markup=False)
