"""What each layer's quantization costs: that layer alone in INT8, and that layer alone kept out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.verify import sqnr_db
from googlenet_edge.quantization.placement import place
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.weights import QuantizedWeight
from googlenet_edge.types import ImageArray

__all__ = ["LayerSensitivity", "measure_sensitivity"]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerSensitivity:
    """How one layer bears INT8; SQNR in dB and top-1 agreement (0 to 1) are those of the logits against float32."""

    node: str
    row: str
    """Its row of Table 1."""
    macs: int
    """Multiply-accumulates for one frame."""
    alone_sqnr_db: float
    """Only this layer in INT8."""
    alone_agreement: float
    kept_sqnr_db: float
    """All chosen layers in INT8 but this one."""
    kept_agreement: float


def measure_sensitivity(
    model: onnx.ModelProto,
    scales: Mapping[str, float],
    weights: Mapping[str, QuantizedWeight],
    images: ImageArray,
    reference: FloatArray,
    *,
    biases: Mapping[str, FloatArray] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[LayerSensitivity, ...]:
    """Measure each of the layers that ``weights`` puts into INT8, in the order of the graph.

    Args:
        model: The float32 graph.
        scales: The scale of each group, by tensor.
        weights: The int8 weights of each layer that can be in INT8, by node name.
        images: Calibration crops, uint8 (N, H, W, 3) BGR.
        reference: The float32 network's logits for them, float32 (N, classes).
        biases: Corrected biases of layers in INT8, by node name; a layer that is kept has its own.
        progress: Told how many layers are done, and of how many.
    """
    rows = {row.node: row for row in node_rows(model)}
    names = [name for name in rows if name in weights]
    found = []
    for index, name in enumerate(names):
        corrected = biases or {}
        own = {name: corrected[name]} if name in corrected else {}
        rest = {other: bias for other, bias in corrected.items() if other != name}
        alone = _agreement(place(model, scales, {name: weights[name]}, biases=own), images, reference)
        others = {other: weight for other, weight in weights.items() if other != name}
        kept = (
            _agreement(place(model, scales, others, biases=rest), images, reference) if others else (float("inf"), 1.0)
        )
        found.append(LayerSensitivity(name, rows[name].row, rows[name].macs, *alone, *kept))
        if progress is not None:
            progress(index + 1, len(names))
    return tuple(found)


def _agreement(model: onnx.ModelProto, images: ImageArray, reference: FloatArray) -> tuple[float, float]:
    logits = SimulatedNetwork(model).logits(images)
    agreement = float((logits.argmax(axis=1) == reference.argmax(axis=1)).mean())
    return sqnr_db(reference, logits), agreement
