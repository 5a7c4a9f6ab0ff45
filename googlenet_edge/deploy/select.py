"""Which layers of an INT8 graph stay in floating point: the selection set decides, calibration images rank.

Nothing here reads the set of the final figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from googlenet_edge.deploy.config import PrecisionConfig
from googlenet_edge.deploy.judge import Judge
from googlenet_edge.deploy.lower import Counts, lower_int8
from googlenet_edge.evaluation.dataset import Dataset
from googlenet_edge.evaluation.precisions import Inference, PrecisionReport, compare_precisions
from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.verify import sqnr_db
from googlenet_edge.quantization.budget import BudgetSearch, RankedLayer, rank_layers, search_budget
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.quantize import Quantized
from googlenet_edge.quantization.sensitivity import LayerSensitivity, measure_sensitivity
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.types import CropRule

__all__ = ["Selection", "Sensitivities", "float_share", "select_layers"]

_SENSITIVITY_IMAGES = 32
"""As many as the thresholds were chosen on; each layer costs two passes over them."""


@dataclass
class Sensitivities:
    """The sensitivity of every layer, measured when it is first asked for."""

    quantized: Quantized
    images: CalibrationImages
    progress: Callable[[str], None]
    counts: Counts
    layers: tuple[LayerSensitivity, ...] = ()
    all_sqnr_db: float = 0.0
    """SQNR of the logits with every layer in INT8."""

    def ranked(self) -> tuple[RankedLayer, ...]:
        """Return the layers, those that gain the most if they are kept out of INT8 first."""
        if not self.layers:
            self._measure()
        return rank_layers(self.layers, self.all_sqnr_db)

    def _measure(self) -> None:
        self.progress("measuring each layer's sensitivity on calibration images")
        count = len(self.images)
        chosen = np.unique(np.linspace(0, count - 1, min(_SENSITIVITY_IMAGES, count)).round().astype(int))
        crops = np.concatenate([self.images.read(int(index)) for index in chosen])
        quantized = self.quantized
        reference = SimulatedNetwork(quantized.base).logits(crops)
        placed = quantized.model
        self.all_sqnr_db = sqnr_db(reference, SimulatedNetwork(placed).logits(crops))
        self.layers = measure_sensitivity(
            quantized.base, quantized.scales, quantized.weights, crops, reference, biases=quantized.biases,
            progress=lambda done, total: self.counts("sensitivity", done, total),
        )  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """What the selection set decided."""

    report: PrecisionReport
    """FP32 and INT8 with nothing kept."""
    search: BudgetSearch


def select_layers(
    graph: Path,
    sensitivities: Sensitivities,
    dataset: Dataset,
    crop: CropRule,
    options: PrecisionConfig,
    progress: Callable[[str], None],
    counts: Counts,
) -> Selection:
    """Find the layers to keep out of INT8 so that the budget is met on the selection set."""
    quantized = sensitivities.quantized
    with Judge("fp32", graph) as exact, Judge("int8", lower_int8(quantized, (), options).judged) as judge:
        report = _measured({"fp32": exact, "int8": judge}, dataset, crop, counts, "selection set")

    exact_percent, int8_percent = (report.figures(name).top1.percent for name in ("fp32", "int8"))
    progress(f"selection set: top-1 of FP32 {exact_percent:.2f} %, of INT8 {int8_percent:.2f} %")

    def measure(kept: tuple[str, ...]) -> float:
        if not kept:
            return int8_percent
        with Judge("int8", lower_int8(quantized, kept, options).judged) as candidate:
            title = f"selection set, {len(kept)} kept"
            top1 = _measured({"int8": candidate}, dataset, crop, counts, title).figures("int8").top1.percent
        progress(f"{title}: top-1 {top1:.2f} %")
        return top1

    search = search_budget(
        measure, sensitivities.ranked,
        float_percent=exact_percent, budget_points=options.budget_points,
    )  # fmt: skip
    return Selection(report, search)


def float_share(graph: Path, quantized: Quantized, kept: Sequence[str]) -> float:
    """Return the share of all multiply-accumulates, 0 to 1, that is not in INT8."""
    macs = {row.node: row.macs for row in node_rows(graph)}
    int8 = sum(macs.get(name, 0) for name in quantized.weights if name not in kept)
    return 1 - int8 / max(1, sum(macs.values()))


def _measured(
    judges: dict[str, Inference], dataset: Dataset, crop: CropRule, counts: Counts, title: str
) -> PrecisionReport:
    progress: Callable[[int], None] = lambda done: counts(title, done, len(dataset))  # noqa: E731
    return compare_precisions(judges, dataset, crop, progress=progress)
