"""INT8 from a float32 graph and calibration images: table, thresholds, weights, biases, and what each step gained."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import UsageError
from googlenet_edge.graph.store import GraphSource, load_graph, sha256_of
from googlenet_edge.quantization.calibrate import calibrate
from googlenet_edge.quantization.choose import Choice
from googlenet_edge.quantization.config import Progress, QuantizeConfig
from googlenet_edge.quantization.ends import EndLayer
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.placement import pair_scales, place, quantizable_nodes, scale_groups
from googlenet_edge.quantization.steps import Steps
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.quantization.weights import QuantizedWeight
from googlenet_edge.types import Clock

__all__ = ["QuantizeConfig", "Quantized", "quantize_int8"]


@dataclass(frozen=True)
class Quantized:
    """An INT8 graph and how it came about."""

    model: onnx.ModelProto
    """Explicit Q/DQ, float32 besides; see ``graph/half.py`` for FP16."""
    base: onnx.ModelProto = field(repr=False)
    """The float32 graph that the pairs were put into: equalized, and so with other values inside than the first one."""
    table: CalibrationTable
    """Of the graph that was passed in."""
    choices: tuple[Choice, ...]
    ends: tuple[EndLayer, ...]
    """What was measured of the first and the last layer; empty where nothing was to be decided."""
    weights: Mapping[str, QuantizedWeight] = field(repr=False)
    """Of each layer that is in INT8."""
    biases: Mapping[str, npt.NDArray[np.float32]] = field(repr=False)
    """Corrected biases by node; empty without bias correction."""
    amax: Mapping[str, float] = field(repr=False)
    """Largest ``|x|`` of each calibrated tensor of ``base``."""
    sqnr_db: Mapping[str, float]
    """SQNR of the logits after each step, in order, on the calibration images of ``halves.py`` that judge."""
    seconds: Mapping[str, float]
    """Time of each step: ``table``, ``equalization``, ``weights``, ``choice``, ``bias``, ``ends``."""

    @property
    def scales(self) -> dict[str, float]:
        """The scale of each group, by tensor, as it is in the graph."""
        return pair_scales(self.model)

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
    be quantized, :class:`~googlenet_edge.errors.CalibrationError` for a table that does not fit it, and
    :class:`~googlenet_edge.errors.UsageError` for a name in ``keep`` that is none of its layers.
    """
    config = config or QuantizeConfig()
    report = progress or _ignore
    model = load_graph(graph)
    groups = scale_groups(model)
    unknown = sorted(set(config.keep) - set(quantizable_nodes(model)))
    if unknown:
        raise UsageError(f"keep: got {unknown[0]!r}, expected names of convolutions or linear layers of this graph")
    watch = _Watch(clock)
    if table is None:
        made = calibrate(
            graph, images, [group.tensor for group in groups],
            progress=lambda done, total: report("table", done, total),
        )  # fmt: skip
        table = made.table
    table.check(model_sha256=sha256_of(graph), images_sha256=images.sha256)
    table.require(group.tensor for group in groups)
    watch.lap("table")
    steps = Steps(model, images, table, config, report)
    del model, groups  # one copy of the weights less, while memory is at its peak
    steps.equalize()
    watch.lap("equalization")
    steps.quantize_weights()
    watch.lap("weights")
    steps.choose()
    watch.lap("choice")
    steps.correct_biases()
    watch.lap("bias")
    steps.decide_ends()
    watch.lap("ends")
    return Quantized(
        model=steps.placed(),
        base=steps.base,
        table=table,
        choices=steps.choices,
        ends=steps.ends,
        weights=steps.weights,
        biases=steps.biases,
        amax={tensor: entry.amax for tensor, entry in steps.ranges.items()},
        sqnr_db=steps.sqnr_db,
        seconds=watch.seconds,
    )


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


def _ignore(*_: object) -> None:
    """For a caller who wants no progress."""
