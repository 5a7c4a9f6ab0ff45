"""From a bundle to the report on its engine's layers: builds the engine, and keeps nothing but the report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from googlenet_edge.engine.build import BuildSettings, build_engine
from googlenet_edge.engine.layer_report import EngineFacts, EngineReport, report_engine
from googlenet_edge.engine.layers import parse_inspector, parse_layers
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["survey_bundle", "survey_file"]

# GoogLeNet's layers have 0.5 MB in this format; a limit keeps a wrong file, such as a plan, from filling the memory.
_LIMIT_BYTES = 64 << 20


def survey_bundle(
    bundle: Bundle, flavour: Flavour, options: BuildOptions, *, settings: BuildSettings | None = None
) -> EngineReport:
    """Build the bundle's engine and report on its layers. TensorRT-RTX needs no GPU for it; the plan is thrown away.

    Raises :class:`EngineError` where the build fails, or where this TensorRT logs layers in a way that is not known;
    :class:`~googlenet_edge.errors.UsageError` for options that it does not have.
    """
    settings = replace(settings or BuildSettings(), keep_log=True)
    try:
        onnx = bundle.graph_path.read_bytes()
    except OSError as error:
        raise EngineError(f"bundle {str(bundle.path)!r}: its graph cannot be read: {error}") from error
    built = build_engine(flavour, onnx, options, settings=settings)
    facts = EngineFacts(
        bundle=bundle.name,
        precision=bundle.manifest.precision,
        builder=flavour.title,
        is_rtx=flavour.is_rtx,
        targets=options.targets,
        plan_bytes=len(built.plan),
        batches=(options.min_batch, options.opt_batch, options.max_batch),
    )
    return report_engine(parse_layers(built.log), bundle.manifest.nodes, facts)


def survey_file(bundle: Bundle, path: Path) -> EngineReport:
    """Report on the layers that ``trtexec --exportLayerInfo=FILE`` wrote on a device, for an engine of this bundle.

    Raises :class:`EngineError` where the file cannot be read, or is not about this bundle's network.
    """
    source = f"layers in {str(path)!r}"
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise EngineError(f"{source}: got a folder, pipe or device, expected a file that trtexec wrote")
        with path.open("rb") as file:
            text = file.read(_LIMIT_BYTES + 1)
        if len(text) > _LIMIT_BYTES:
            raise EngineError(f"{source}: got more than 64 MiB, expected JSON that trtexec wrote")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise EngineError(f"{source}: cannot be read: {error}; give a file that trtexec wrote") from error
    facts = EngineFacts(bundle.name, bundle.manifest.precision, f"an engine from elsewhere ({path.name})", is_rtx=False)
    report = report_engine(parse_inspector(text, source=source), bundle.manifest.nodes, facts)
    if len(report.folded) == len(bundle.manifest.nodes):
        names = ", ".join(repr(name) for name in report.strangers[:3]) or "no ONNX node"
        raise EngineError(
            f"{source}: got layers that name {names}, expected nodes of the bundle {bundle.name!r}, such as "
            f"{bundle.manifest.nodes[0].node!r}; give the bundle that the engine was built from"
        )
    return report
