"""From the simplified float32 graph to FP16 or INT8: calibration, conversion, and what each step did to the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from googlenet_edge.bundle import Artefact, Precision, Step
from googlenet_edge.deploy.config import PrecisionConfig
from googlenet_edge.errors import GraphError, UsageError
from googlenet_edge.graph.emulate import emulate_half
from googlenet_edge.graph.half import to_half
from googlenet_edge.graph.store import load_graph, sha256_of
from googlenet_edge.graph.verify import Tolerance, compare
from googlenet_edge.quantization.cache_ranges import tensors_to_observe
from googlenet_edge.quantization.calibrate import Calibration, calibrate
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.placement import quantizable_nodes, scale_groups
from googlenet_edge.quantization.quantize import Quantized, quantize_int8
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.types import ImageArray

__all__ = ["Counts", "Lowered", "calibrate_graph", "check_keep", "lower_fp16", "lower_int8", "prove", "quantize"]

Counts = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

_ANYTHING = Tolerance(max_abs_error=math.inf, min_sqnr_db=-math.inf, min_top1_agreement=0.0)
"""These steps round on purpose: what they cost is recorded here, and judged on labelled images."""


@dataclass(frozen=True)
class Lowered:
    """A graph in a lower precision than float32."""

    precision: Precision
    model: onnx.ModelProto = field(repr=False)
    """What is deployed."""
    judged: onnx.ModelProto = field(repr=False)
    """What computes the same in ONNX Runtime with its optimizations off."""
    quantized: onnx.ModelProto | None = field(default=None, repr=False)
    """The Q/DQ graph that is float32 besides."""

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return len(self.model.SerializeToString(deterministic=True))


def check_keep(graph: Path, options: PrecisionConfig) -> None:
    """Raise UsageError for a node to keep that the graph does not have, or that is not in INT8 anyway."""
    model = load_graph(graph)
    possible: Collection[str] = (
        quantizable_nodes(model) if options.precision == "int8" else [node.name for node in model.graph.node]
    )
    kind = "a convolution or linear layer" if options.precision == "int8" else "a node"
    unknown = [name for name in options.keep if name not in possible]
    if unknown:
        raise UsageError(
            f"--keep: got {unknown[0]!r}, expected the name of {kind} of the simplified graph, such as "
            f"{next(iter(possible), 'none')!r} (the manifest of an fp32 bundle lists all)"
        )


def calibrate_graph(graph: Path, images: CalibrationImages, table: Path, counts: Counts) -> Calibration:
    """Return the calibration table of a graph over the images: the one at ``table`` if it fits, else a new one there.

    The tensors are those of ``googlenet-edge calibrate``, so either reuses the other's table.
    """
    model = load_graph(graph)
    tensors = tensors_to_observe(model, [group.tensor for group in scale_groups(model)])
    table.parent.mkdir(parents=True, exist_ok=True)
    return calibrate(
        graph, images, tensors, path=table, progress=lambda done, total: counts("calibrating", done, total)
    )


def lower_fp16(graph: Path, table: CalibrationTable | None, keep: Collection[str] = ()) -> Lowered:
    """Return the FP16 form of a float32 graph. Raises GraphError for what FP16 cannot hold, with tensor and remedy."""
    model = load_graph(graph)
    amax = {entry.tensor: entry.amax for entry in table.tensors} if table is not None else {}
    half = _to_half(model, amax, "--keep NODE for each of them, or --precision fp32", keep)
    return Lowered("fp16", half, emulate_half(half))


def lower_int8(quantized: Quantized, kept: Collection[str], options: PrecisionConfig) -> Lowered:
    """Return the INT8 graph with these layers kept out of INT8. Raises GraphError for what FP16 cannot hold."""
    model = quantized.without(kept) if kept else quantized.model
    if not options.half:
        return Lowered("int8", model, model, model)
    half = _to_half(model, quantized.amax, "--high-precision fp32")
    return Lowered("int8", half, emulate_half(half), model)


def quantize(
    graph: Path, images: CalibrationImages, calibration: Calibration, options: PrecisionConfig, counts: Counts
) -> Quantized:
    """Quantize with the table that is there."""
    return quantize_int8(graph, images, options.quantize_config, table=calibration.table, progress=counts)


def prove(graph: Path, parent: Artefact, lowered: Lowered, crops: ImageArray) -> tuple[Step, ...]:
    """Compare each step with the one before it on the proof frames; what it cost is recorded, not limited."""
    steps = []
    before: Path | onnx.ModelProto = graph
    if lowered.quantized is not None:
        artefact = Artefact("quantized.onnx", sha256_of(lowered.quantized))
        agreements = compare(before, lowered.quantized, crops, tolerance=_ANYTHING)
        steps.append(Step("quantize", parent, artefact, agreements))
        before, parent = lowered.quantized, artefact
    if lowered.model is not lowered.quantized:
        agreements = compare(before, lowered.judged, crops, tolerance=_ANYTHING)
        steps.append(Step("half", parent, Artefact("half.onnx", sha256_of(lowered.model)), agreements))
    return tuple(steps)


def _to_half(
    model: onnx.ModelProto, amax: Mapping[str, float], remedy: str, keep: Collection[str] = ()
) -> onnx.ModelProto:
    known = {name for node in model.graph.node for name in (*node.input, *node.output)}
    try:
        return to_half(model, keep=keep, amax={tensor: value for tensor, value in amax.items() if tensor in known})
    except GraphError as error:
        raise GraphError(f"FP16: {error}; on the command line: {remedy}") from error
