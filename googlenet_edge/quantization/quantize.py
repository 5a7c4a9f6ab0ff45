"""INT8 from a float32 graph and calibration images: table, thresholds, weights, biases, and what each step gained."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import UsageError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.half_check import round_scale_to_half
from googlenet_edge.graph.store import GraphSource, load_graph
from googlenet_edge.graph.verify import sqnr_db
from googlenet_edge.quantization.bias import corrected_biases
from googlenet_edge.quantization.calibrate import CalibrationOptions, calibrate
from googlenet_edge.quantization.choose import Choice, choose_methods, scale_of
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.placement import place, quantizable_nodes, scale_groups, weight_of
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.quantization.threshold import METHODS, Method
from googlenet_edge.quantization.weights import QuantizedWeight, WeightMethod, quantize_weight
from googlenet_edge.types import Clock, ImageArray

__all__ = ["QuantizeConfig", "Quantized", "quantize_int8"]

Progress = Callable[[str, int, int], None]
"""Told the step, how much of it is done, and of how much."""


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """How to quantize."""

    method: Method | None = None
    """One method for every tensor; None chooses for each by its effect on the logits."""
    weight_method: WeightMethod = "mse"
    bias_correction: bool = True
    half_scales: bool = True
    """Scales that FP16 holds, for a graph whose other operations are FP16."""
    keep: tuple[str, ...] = ()
    """Nodes that stay in floating point."""
    quantize_last: bool = False
    """Put the last linear layer into INT8 too: it is 0.003 % of the work."""
    choice_images: int = 32
    bias_images: int = 64

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in METHODS:
            raise UsageError(f"method: got {self.method!r}, expected one of {', '.join(METHODS)}, or none to choose")
        if min(self.choice_images, self.bias_images) < 1:
            raise UsageError(f"images: got {self.choice_images} and {self.bias_images}, expected 1 or more")


@dataclass(frozen=True)
class Quantized:
    """An INT8 graph and how it came about."""

    model: onnx.ModelProto
    """Explicit Q/DQ, float32 besides; see ``graph/half.py`` for FP16."""
    base: onnx.ModelProto = field(repr=False)
    """The float32 graph that the pairs were put into."""
    table: CalibrationTable
    choices: tuple[Choice, ...]
    weights: Mapping[str, QuantizedWeight] = field(repr=False)
    biases: Mapping[str, npt.NDArray[np.float32]] = field(repr=False)
    """Corrected biases by node; empty without bias correction."""
    sqnr_db: Mapping[str, float]
    """SQNR of the logits over the calibration images for the choice and the bias correction, after each of them."""
    seconds: Mapping[str, float]
    """Time of each step: ``table``, ``weights``, ``choice``, ``bias``."""

    @property
    def scales(self) -> dict[str, float]:
        """The scale of each group, by tensor, as it is in the graph."""
        editor = GraphEditor(self.model)
        pairs = [node for node in editor.nodes if node.op_type == "QuantizeLinear"]
        return {node.input[0]: float(np.asarray(editor.constant(node.input[1]))) for node in pairs}

    def without(self, nodes: Collection[str]) -> onnx.ModelProto:
        """Return the graph with these of its INT8 layers left in floating point, their biases as they were."""
        unknown = sorted(set(nodes) - set(self.weights))
        if unknown:
            raise UsageError(f"layers: got {unknown[0]!r}, expected names of layers that are in INT8")
        weights = {name: weight for name, weight in self.weights.items() if name not in nodes}
        biases = {name: bias for name, bias in self.biases.items() if name not in nodes}
        return place(self.base, self.scales, weights, biases=biases)


def quantize_int8(
    graph: GraphSource,
    images: CalibrationImages,
    config: QuantizeConfig | None = None,
    *,
    table: CalibrationTable | None = None,
    progress: Progress | None = None,
    clock: Clock = time.monotonic_ns,
) -> Quantized:
    """Quantize a simplified float32 graph.

    ``table`` is the calibration table of this graph and these images, if it is there already; otherwise it is made.
    Reads nothing but the calibration images. Raises :class:`~googlenet_edge.errors.GraphError` for a graph that cannot
    be quantized and :class:`~googlenet_edge.errors.CalibrationError` for a table that does not fit it.
    """
    config = config or QuantizeConfig()
    report = progress or _ignore
    model = load_graph(graph)
    groups = scale_groups(model)
    nodes = _chosen_nodes(model, config)
    watch = _Watch(clock)
    if table is None:
        made = calibrate(
            model, images, [group.tensor for group in groups], options=CalibrationOptions(),
            progress=lambda done, total: report("table", done, total),
        )  # fmt: skip
        table = made.table
    table.require(group.tensor for group in groups)
    watch.lap("table")

    rounding: Callable[[float], float] = round_scale_to_half if config.half_scales else float
    weights = _weights(model, nodes, config, report)
    watch.lap("weights")
    groups = tuple(group for group in groups if set(group.readers) & set(nodes))
    crops = _spread(images, config.choice_images)
    start = config.method or "mse"
    scales = {group.tensor: scale_of(table.threshold(group.tensor, start), rounding) for group in groups}
    placed = place(model, scales, weights)
    exact = SimulatedNetwork(model, means_of=nodes)
    reference = exact.logits(crops)
    if config.method is not None:
        method = config.method
        choices = tuple(Choice(g.tensor, method, table.threshold(g.tensor, method), 0.0) for g in groups)
    else:
        choices = choose_methods(
            SimulatedNetwork(placed), table, groups, crops, reference, rounding=rounding,
            progress=lambda done, total: report("choice", done, total),
        )  # fmt: skip
    scales = {choice.tensor: scale_of(choice.threshold, rounding) for choice in choices}
    placed = place(model, scales, weights)
    quality = {"choice": sqnr_db(reference, SimulatedNetwork(placed).logits(crops))}
    watch.lap("choice")

    biases: dict[str, npt.NDArray[np.float32]] = {}
    if config.bias_correction:
        crops = _spread(images, config.bias_images)
        biases = corrected_biases(
            SimulatedNetwork(placed, means_of=nodes), exact.channel_means(crops), placed, crops,
            progress=lambda done, total: report("bias", done, total),
        )  # fmt: skip
        placed = place(model, scales, weights, biases=biases)
        quality["bias"] = sqnr_db(exact.logits(crops), SimulatedNetwork(placed).logits(crops))
    watch.lap("bias")
    return Quantized(placed, model, table, choices, weights, biases, quality, watch.seconds)


class _Watch:
    """How long each step took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = clock()
        self.seconds: dict[str, float] = {}

    def lap(self, step: str) -> None:
        now_ns = self._clock()
        self.seconds[step] = (now_ns - self._last_ns) / 1e9
        self._last_ns = now_ns


def _chosen_nodes(model: onnx.ModelProto, config: QuantizeConfig) -> tuple[str, ...]:
    possible = quantizable_nodes(model)
    unknown = [name for name in config.keep if name not in possible]
    if unknown:
        raise UsageError(f"keep: got {unknown[0]!r}, expected names of convolutions or linear layers of this graph")
    linear = {node.name for node in model.graph.node if node.op_type == "Gemm"}
    left_out = set(config.keep) | (set() if config.quantize_last else linear)
    return tuple(name for name in possible if name not in left_out)


def _weights(
    model: onnx.ModelProto, nodes: tuple[str, ...], config: QuantizeConfig, report: Progress
) -> dict[str, QuantizedWeight]:
    editor = GraphEditor(model)
    by_name = {node.name: node for node in editor.nodes}
    dtype = np.float16 if config.half_scales else np.float32
    weights = {}
    for index, name in enumerate(nodes):
        weights[name] = quantize_weight(
            weight_of(editor, by_name[name]), method=config.weight_method, scale_dtype=dtype
        )
        report("weights", index + 1, len(nodes))
    return weights


def _ignore(*_: object) -> None:
    """For a caller who wants no progress."""


def _spread(images: CalibrationImages, count: int) -> ImageArray:
    """Up to ``count`` crops, evenly spread over all: uint8 (count, H, W, 3)."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))
    return np.concatenate([images.read(int(index)) for index in chosen])
