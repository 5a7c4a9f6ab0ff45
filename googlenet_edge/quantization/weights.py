"""Weights as int8 with one scale per output channel (axis 0), the only per-channel form that TensorRT takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError
from googlenet_edge.graph.half_check import round_scale_to_half

__all__ = ["LEVELS", "QuantizedWeight", "Rounding", "WeightMethod", "quantize_weight", "usable_scale"]

WeightMethod: TypeAlias = Literal["max", "mse"]

Rounding: TypeAlias = Literal["nearest", "gptq"]

FloatArray: TypeAlias = npt.NDArray[np.float32]

LEVELS: Final = 127
"""Weights use -127 to 127, so that a weight and its negative round alike."""

_DEAD_SCALE: Final = 1.0
"""Scale of a channel whose weights are all 0: any number above 0 restores it, and a scale of 0 fails to parse."""

_SHRINK: Final = np.linspace(1.0, 0.4, 61)
"""Scales that the MSE method tries, as shares of the largest weight's; a normal distribution's best is about 0.9."""


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight tensor as int8 and its scales."""

    values: npt.NDArray[np.int8]
    """int8, the weight's shape, output channels first, -127 to 127."""
    scales: FloatArray
    """float32 (output channels,), above 0."""

    def restored(self) -> FloatArray:
        """Return the weights that the graph computes with: float32, of the weight's shape."""
        return self.values.astype(np.float32) * _per_channel(self.scales, self.values.ndim)


def quantize_weight(
    weight: FloatArray, *, method: WeightMethod = "mse", scale_dtype: type = np.float32
) -> QuantizedWeight:
    """Quantize a weight tensor, float32 (output channels, ...).

    ``max`` takes each channel's largest magnitude / 127 for its scale; ``mse`` the one of 61 smaller or equal scales
    that restores the channel with the least squared error. With ``scale_dtype=np.float16`` scales are those that FP16
    holds, and the values are rounded with these. Raises :class:`InputError` for NaN and infinity.
    """
    if weight.ndim < 2 or not np.isfinite(weight).all():
        raise InputError(f"weight: got shape {weight.shape} with non-finite values or no output channels")
    flat = weight.reshape(len(weight), -1).astype(np.float32)
    full = np.abs(flat).max(axis=1).astype(np.float64) / LEVELS
    best_scale = usable_scale(full, scale_dtype)
    best_error = _squared_error(flat, best_scale)
    if method == "mse":
        for shrink in _SHRINK[1:]:
            scale = usable_scale(full * shrink, scale_dtype)
            error = _squared_error(flat, scale)
            better = error < best_error
            best_scale, best_error = np.where(better, scale, best_scale), np.where(better, error, best_error)
    values = _rounded(flat, best_scale).astype(np.int8).reshape(weight.shape)
    return QuantizedWeight(values, best_scale.astype(np.float32))


def usable_scale(scale: npt.ArrayLike, dtype: type) -> FloatArray:
    """Return scales as float32 that ``dtype`` holds exactly and no hardware takes for 0; 1 where nothing is scaled."""
    wanted = np.asarray(scale, np.float32)
    held = round_scale_to_half(wanted) if dtype is np.float16 else np.maximum(wanted, np.finfo(np.float32).tiny)
    return np.where(wanted > 0, held, np.float32(_DEAD_SCALE)).astype(np.float32)


def _per_channel(scales: FloatArray, ndim: int) -> FloatArray:
    return scales.reshape(-1, *[1] * (ndim - 1))


def _rounded(flat: FloatArray, scale: FloatArray) -> FloatArray:
    return np.asarray(np.clip(np.rint(flat / scale[:, None]), -LEVELS, LEVELS), np.float32)


def _squared_error(flat: FloatArray, scale: FloatArray) -> npt.NDArray[np.float64]:
    difference = flat - _rounded(flat, scale) * scale[:, None]
    return np.asarray(np.einsum("ij,ij->i", difference, difference, dtype=np.float64))
