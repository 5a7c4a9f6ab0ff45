"""What FP16 cannot hold: weights and ranges beyond 65504, weights too small, scales of Q/DQ pairs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.errors import GraphError, InputError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.rows import node_rows

__all__ = [
    "HALF_MAX",
    "SCALE_FLOOR",
    "HalfReport",
    "RangeNote",
    "WeightLoss",
    "check_ranges",
    "round_scale_to_half",
    "rounded_scale",
    "rounded_weight",
]

_logger = logging.getLogger(__name__)

HALF_MAX: Final = 65504.0
"""The largest FP16 number."""

_HEADROOM: Final = 2.0
"""A range is remarked on from 65504 / 2: calibration has seen a sample only."""

_NORMAL_MIN: Final = 2.0**-14

SCALE_FLOOR: Final = _NORMAL_MIN
"""The smallest scale: the smallest normal FP16 number, 6.1e-5, which no hardware takes for zero. It is the scale of a
range of 0.0078; the least channel of a trained GoogLeNet's weights reaches about 0.05.
"""

_Scale = TypeVar("_Scale", float, npt.NDArray[np.floating[Any]])


@dataclass(frozen=True)
class WeightLoss:
    """What rounding to FP16 takes from one initializer."""

    tensor: str
    node: str
    """The first node that reads it."""
    size: int
    """Its elements."""
    zeroed: int
    """Elements that were not zero and become zero."""
    subnormal: int
    """Elements that stay, with fewer bits than the 11 of FP16: below 6.1e-5."""
    largest: float
    """Largest absolute value."""


@dataclass(frozen=True)
class RangeNote:
    """A tensor whose range comes near the end of FP16."""

    tensor: str
    row: str
    """Row of Table 1."""
    amax: float
    """Largest absolute value that calibration has seen."""


@dataclass(frozen=True)
class HalfReport:
    """What a graph is like in FP16."""

    half_tensors: tuple[str, ...]
    """The tensors that are float16 there, by their names there, in the order in which they are made."""
    float_nodes: tuple[str, ...]
    """The nodes that compute in FP32."""
    weights: tuple[WeightLoss, ...]
    """Every float16 initializer but scales, in the graph's order."""
    near_overflow: tuple[RangeNote, ...]
    """Ranges above half of 65504."""
    unchecked: tuple[str, ...]
    """The float16 tensors of which no range is known, by their names in the FP32 graph."""

    @property
    def zeroed_share(self) -> float:
        """Share of all weights that become zero, 0 to 1."""
        return sum(loss.zeroed for loss in self.weights) / max(1, sum(loss.size for loss in self.weights))

    @property
    def subnormal_share(self) -> float:
        """Share of all weights that keep fewer than 11 bits, 0 to 1."""
        return sum(loss.subnormal for loss in self.weights) / max(1, sum(loss.size for loss in self.weights))


def round_scale_to_half(scale: _Scale) -> _Scale:
    """Return the scale, or scales, that an FP16 graph can hold: rounded up to FP16, :data:`SCALE_FLOOR` at least.

    Up, so that the range's end stays inside. Quantize with the result, not with the scale that was asked for: then
    nothing is lost to the rounding, as the graph dequantizes by the same number. 0, the scale of a dead channel, gives
    the floor. Rounding twice changes nothing, and an array keeps its type.
    Raises :class:`InputError` for scales that are negative, not finite, or above 65504.
    """
    values = np.asarray(scale)
    # The negation finds NaN too.
    bad = ~((values >= 0) & (values <= HALF_MAX))
    if bad.any():
        raise InputError(f"scale: got {values[bad].flat[0]}, expected finite numbers of 0 to {HALF_MAX:g}")
    nearest = values.astype(np.float16)
    up = np.nextafter(nearest, np.float16(HALF_MAX))
    rounded = np.maximum(np.where(nearest < values, up, nearest), np.float16(SCALE_FLOOR))
    if isinstance(scale, np.ndarray):
        return rounded.astype(scale.dtype)
    return float(rounded)


def rounded_scale(editor: GraphEditor, node: onnx.NodeProto) -> npt.NDArray[np.float16]:
    """Return the FP16 scale of a QuantizeLinear or DequantizeLinear node; what FP16 holds exactly stays as it is.

    Raises :class:`GraphError` if there is none, or if int8 weights were quantized by a scale that FP16 cannot hold.
    """
    scale = editor.constant(node.input[1])
    where = f"node {node.name!r} ({node.op_type}): scale {node.input[1]!r}"
    if scale is None:
        raise GraphError(f"{where} is computed in the graph, expected a constant")
    if not (scale > 0).all():
        raise GraphError(f"{where}: got {scale[~(scale > 0)].flat[0]}, expected positive numbers")
    try:
        floored = round_scale_to_half(scale)
    except InputError as error:
        raise GraphError(f"{where}: {error}; keep {node.name!r} and its readers in FP32") from error
    nearest = scale.astype(np.float16)
    small = scale < SCALE_FLOOR
    lost = small & (nearest != scale)
    if editor.constant(node.input[0]) is not None and lost.any():
        raise GraphError(
            f"{where}: got {scale[lost].flat[0]:.3g} for {int(lost.sum())} of {lost.size} channels, expected at least "
            f"{SCALE_FLOOR:.3g}, as FP16 holds no smaller ones in full: quantize the weights by "
            f"round_scale_to_half(scale)"
        )
    if (small & ~lost).any():
        _logger.warning("%s: %.3g is a subnormal number of FP16, which hardware may take for 0", where, scale.min())
    return np.where(nearest == scale, nearest, floored).astype(np.float16)


def rounded_weight(
    tensor: str, values: npt.NDArray[np.float32], node: onnx.NodeProto
) -> tuple[npt.NDArray[np.float16], WeightLoss]:
    """Return an initializer in FP16 and what was lost. Raises :class:`GraphError` if a value is beyond FP16."""
    where = f"initializer {tensor!r} of node {node.name!r} ({node.op_type})"
    if not np.isfinite(values).all():
        raise GraphError(f"{where}: got NaN or infinite values, expected finite ones; train or load the network anew")
    magnitude = np.abs(values)
    largest = float(magnitude.max(initial=0.0))
    if largest > HALF_MAX:
        raise GraphError(
            f"{where}: got {largest:.6g}, expected at most {HALF_MAX:g}, the largest number of FP16; keep the node in "
            f"FP32: keep=[{node.name!r}]"
        )
    rounded = values.astype(np.float16)
    loss = WeightLoss(
        tensor=tensor,
        node=node.name,
        size=values.size,
        zeroed=int(((magnitude > 0) & (rounded == 0)).sum()),
        subnormal=int(((rounded != 0) & (np.abs(rounded) < _NORMAL_MIN)).sum()),
        largest=largest,
    )
    if loss.zeroed and not rounded.any():
        _logger.warning("%s: all values are below what FP16 holds, largest %.3g: it becomes zero", where, largest)
    return rounded, loss


def check_ranges(
    model: onnx.ModelProto, amax: Mapping[str, float], half_tensors: Mapping[str, str]
) -> tuple[RangeNote, ...]:
    """Compare calibrated ranges with what FP16 holds and return those that come near it.

    ``amax`` is the largest absolute value by tensor, ``half_tensors`` the node that makes each tensor that FP16 is to
    hold. Raises :class:`GraphError` for a range beyond 65504, one that is no range, or one of a tensor that the graph
    does not have, as then the table is of another graph.
    """
    known = {name for node in model.graph.node for name in (*node.input, *node.output)}
    for tensor, value in amax.items():
        if tensor not in known:
            raise GraphError(
                f"ranges: got one for tensor {tensor!r}, which the graph does not have; calibrate this graph"
            )
        if not (math.isfinite(value) and value >= 0):
            raise GraphError(f"ranges: got {value} for tensor {tensor!r}, expected a finite number of at least 0")
    near = {tensor: value for tensor, value in amax.items() if tensor in half_tensors and value > HALF_MAX / _HEADROOM}
    if not near:
        return ()
    rows = {row.node: row.row for row in node_rows(model)}
    notes = []
    for tensor, value in sorted(near.items(), key=lambda item: -item[1]):
        node = half_tensors[tensor]
        where = f"tensor {tensor!r} in row {rows.get(node, 'other')!r}: its values reach {value:.6g}"
        if value > HALF_MAX:
            raise GraphError(
                f"{where}, expected at most {HALF_MAX:g}, the largest number of FP16; keep the node that makes it, and "
                f"those that read it, in FP32 (keep=[{node!r}, ...]), or scale the weights before it down"
            )
        _logger.warning("%s, more than half of the largest number of FP16, %g", where, HALF_MAX)
        notes.append(RangeNote(tensor, rows.get(node, "other"), value))
    return tuple(notes)
