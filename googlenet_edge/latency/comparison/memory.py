"""How long a series of frames remembers: the block length for a block bootstrap, by its autocorrelation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.errors import InputError

__all__ = ["LEAST_FRAMES", "Memory", "measure_memory"]

LEAST_FRAMES = 40
"""Below that, autocorrelation cannot be estimated with any use."""

_BAND = 2.0
"""A correlation is taken for 0 within this many times sqrt(log10(N) / N)."""


@dataclass(frozen=True)
class Memory:
    """What autocorrelation means for the mean of each of J series of N frames."""

    block_frames: npt.NDArray[np.float64]
    """float64 (J,), from 1: the best block length of a circular block bootstrap."""
    shortfall_frames: npt.NDArray[np.float64]
    """float64 (J,): blocks of b frames give too small a variance of the mean, by about this / b of itself."""


def measure_memory(series: npt.NDArray[np.float64]) -> Memory:
    """Choose the block length of each series, float64 (N, J), N >= :data:`LEAST_FRAMES`, without NaN.

    D. N. Politis, H. White, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews 23
    (2004), with the correction of A. Patton, D. N. Politis, H. White (Econometric Reviews 28, 2009), section 3.2 for
    the circular bootstrap: b = (2 G^2 / D)^(1/3) N^(1/3) with D = 4/3 g(0)^2, where g(0) is the sum of all
    autocovariances and G that of |lag| x autocovariance, both under their flat-top window, whose width follows from the
    first lag after which the correlogram stays near 0. G / g(0) is also what the variance falls short by (Künsch 1989).

    Raises :class:`InputError` for fewer frames.
    """
    frames = len(series)
    if frames < LEAST_FRAMES:
        raise InputError(f"autocorrelation: got {frames} frames, expected at least {LEAST_FRAMES}")
    quiet_lags = max(5, math.ceil(math.sqrt(math.log10(frames))))
    most_lags = min(math.ceil(math.sqrt(frames)) + quiet_lags, frames - 1 - quiet_lags)
    covariances = _autocovariances(series, most_lags + quiet_lags)
    lengths, shortfalls = np.ones(series.shape[1]), np.zeros(series.shape[1])
    longest = min(3 * math.sqrt(frames), frames / 3)
    for j in np.nonzero(covariances[0] > 0)[0]:
        column = covariances[:, j]
        width = _window(column / column[0], frames, quiet_lags, most_lags)
        lags = np.arange(1, width + 1)
        weighted = np.minimum(1, 2 * (1 - lags / width)) * column[1 : width + 1]
        spectrum = column[0] + 2 * weighted.sum()
        slope = 2 * (lags * weighted).sum()
        # Else neighbours undo each other; taken singly they give too large a variance, which does no harm.
        if spectrum > column[0]:
            best = (1.5 * (slope / spectrum) ** 2 * frames) ** (1 / 3)
            lengths[j] = min(max(best, 1), longest)
            shortfalls[j] = slope / spectrum
    return Memory(lengths, shortfalls)


def _autocovariances(series: npt.NDArray[np.float64], lags: int) -> npt.NDArray[np.float64]:
    """Return float64 (lags + 1, J), by the fast Fourier transform of the series, padded so that ends do not meet."""
    frames = len(series)
    size = 1 << (frames + lags).bit_length()
    covariances = np.empty((lags + 1, series.shape[1]))
    for j, column in enumerate(series.T):  # one at a time: a long run has some megabytes of each
        spectrum = np.fft.rfft(column - column.mean(), size)
        covariances[:, j] = np.fft.irfft(np.abs(spectrum) ** 2, size)[: lags + 1] / frames
    return covariances


def _window(correlogram: npt.NDArray[np.float64], frames: int, quiet_lags: int, most_lags: int) -> int:
    """Return twice the smallest m after which ``quiet_lags`` correlations in a row are near 0."""
    band = _BAND * math.sqrt(math.log10(frames) / frames)
    quiet = np.abs(correlogram[1:]) < band
    in_a_row = np.convolve(quiet, np.ones(quiet_lags, dtype=np.int64), "valid") == quiet_lags
    found = np.nonzero(in_a_row)[0]
    last = int(found[0]) if found.size else int(np.nonzero(~quiet)[0][-1]) + 1
    return min(2 * max(last, 1), most_lags)
