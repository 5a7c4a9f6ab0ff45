"""How far the figures of one run may be off: its frames resampled in blocks, so that neighbours stay together.

A percentile's uncertainty is one of rank: if a resampled run has 25 frames above the measured p99 where 20 were, then
the true p99 may as well be the 25th longest. So each resample moves the rank, and the figure is read off there
(R. S. Woodruff, "Confidence Intervals for Medians and Other Position Measures", JASA 47, 1952). This needs no more than
a count in each resample, and holds in the tail, where resampling the durations themselves does not. A rank beyond the
longest frame says that the figure may be anything above it.

All figures of a run are resampled together, by the same blocks, so that what they share is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from googlenet_edge.latency.comparison.figures import Figure
from googlenet_edge.latency.comparison.memory import LEAST_FRAMES, measure_memory
from googlenet_edge.latency.rank import rank_of
from googlenet_edge.latency.summary import minimum_samples

__all__ = ["LEAST_BLOCKS", "Draws", "resample_run"]

LEAST_BLOCKS = 20
"""A run that has not so many stretches that are independent of each other says too little about chance."""
_MOST_BLOCKS = 512
"""More make no interval better, only slower: the blocks of a long run are longer than they had to be."""
_STARTS_PER_BLOCK = 8
"""Blocks overlap: this many begin within the length of one."""
_CHUNK = 256
"""Resamples at a time: 4 MB of weights."""


@dataclass(frozen=True)
class Draws:
    """What a figure of a run may be in truth: its logarithm, in equally likely values, one a resample."""

    log: npt.NDArray[np.float64]
    """float64 (resamples,), natural logarithm of nanoseconds or frames per second; -inf and inf: beyond any sample."""
    worth: float
    """How many independent frames would say as much."""


@dataclass(frozen=True)
class _Series:
    """What is summed over the frames of a resample for each figure that can be judged."""

    figures: tuple[Figure, ...]
    deviations: npt.NDArray[np.float64]
    """float64 (N, figures), mean 0: 1 for a frame beyond the percentile, less their share; an interval over the mean
    of all, less 1."""
    ordered: tuple[npt.NDArray[np.int64], ...]


def resample_run(
    values_ns: Mapping[Figure, npt.NDArray[np.int64]], resamples: int, random: np.random.Generator
) -> tuple[dict[Figure, Draws], dict[Figure, str]]:
    """Return the draws of each figure, and for those that have none the reason.

    Args:
        values_ns: For a percentile its stage's durations, for the frame rate the intervals between frames: int64 (N,),
            in the order of time, the same N for all.
        resamples: How many.
        random: Where chance comes from.
    """
    series = _series(values_ns, random)
    frames = len(series.deviations)
    if frames < LEAST_FRAMES:
        return {}, dict.fromkeys(values_ns, f"too few frames: got {frames}, expected at least {LEAST_FRAMES}")
    memory = measure_memory(series.deviations)
    most = frames / LEAST_BLOCKS
    long = memory.block_frames > most
    without = {
        figure: f"it wanders: frames far apart are still alike, too far for {frames} of them; measure longer"
        for figure, too_long in zip(series.figures, long, strict=True)
        if too_long
    }
    kept = np.nonzero(~long)[0]
    if not kept.size:
        return {}, without
    block = max(math.ceil(memory.block_frames[kept].max()), math.ceil(frames / _MOST_BLOCKS))
    block = min(block, int(most))
    shifts = _shifts(series.deviations[:, kept], block, resamples, random)
    # Two corrections, both of which make up for what blocks cannot see: blocks of finite length miss some of the
    # correlation, and the variance is itself an estimate, from 1.5 N / b degrees of freedom (Künsch 1989): hence
    # Student's t where the blocks alone would give a normal distribution.
    shifts /= np.sqrt(np.clip(1 - memory.shortfall_frames[kept] / block, 0.5, 1))
    freedom = 1.5 * frames / block
    spread = shifts.std(axis=0)
    shifts *= np.sqrt(freedom / random.chisquare(freedom, shifts.shape))
    draws = {}
    for j, index in enumerate(kept):
        figure = series.figures[index]
        alone = float(series.deviations[:, index].var())
        worth = min(float(frames), alone / float(spread[j]) ** 2) if spread[j] > 0 else float(frames)
        needed = LEAST_FRAMES if figure.percent is None else minimum_samples(figure.percent)
        if frames < needed:
            without[figure] = f"too few frames: got {frames}, expected at least {needed} for p{figure.percent}"
        elif worth < needed / 2:
            without[figure] = f"too few frames: {frames} that are so much alike are worth less than {needed / 2:.0f}"
        else:
            draws[figure] = Draws(_figure_draws(figure, series.ordered[index], shifts[:, j], random), worth)
    return draws, without


def _series(values_ns: Mapping[Figure, npt.NDArray[np.int64]], random: np.random.Generator) -> _Series:
    columns, ordered = [], []
    sorted_by_stage: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
    for figure, values in values_ns.items():
        if figure.percent is None:
            columns.append(values / values.mean() - 1)
            ordered.append(values)
            continue
        if figure.stage not in sorted_by_stage:
            # Frames that took equally long are put in any order: where many do, as on a coarse clock, the percentile
            # lies somewhere among them, and "longer than it" alone would know nothing of that.
            order = np.lexsort((random.random(len(values)), values))
            rank = np.empty(len(values), dtype=np.int64)
            rank[order] = np.arange(1, len(values) + 1)
            sorted_by_stage[figure.stage] = (values[order], rank)
        in_order, rank = sorted_by_stage[figure.stage]
        nearest = rank_of(figure.percent, len(values))
        columns.append((rank > nearest) - (len(values) - nearest) / max(1, len(values)))
        ordered.append(in_order)
    return _Series(tuple(values_ns), np.stack(columns, axis=1).astype(np.float64), tuple(ordered))


def _shifts(
    deviations: npt.NDArray[np.float64], block: int, resamples: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the mean of each series in each resample, float64 (resamples, J), by a circular block bootstrap.

    D. N. Politis, J. P. Romano, "A Circular Block-Resampling Procedure for Stationary Data", 1992.
    """
    frames = len(deviations)
    blocks = frames // block  # at most as many frames as there are: intervals come out rather wide than narrow
    around = np.concatenate([np.zeros((1, deviations.shape[1])), deviations, deviations[:block]]).cumsum(axis=0)
    starts = np.arange(0, frames, max(1, block // _STARTS_PER_BLOCK))
    sums = (around[starts + block] - around[starts]) / (blocks * block)
    sums -= sums.mean(axis=0)
    shifts = np.empty((resamples, deviations.shape[1]))
    for first in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - first)
        drawn = random.integers(0, len(starts), (count, blocks)) + len(starts) * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * len(starts)).reshape(count, len(starts))
        shifts[first : first + count] = weights.astype(np.float64) @ sums
    return shifts * math.sqrt(blocks / (blocks - 1))


def _figure_draws(
    figure: Figure, ordered: npt.NDArray[np.int64], shifts: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    if figure.percent is None:
        # A mean above the measured one in a resample: the truth may be as far below it. A rate is its reciprocal.
        return np.asarray(math.log(1e9 / ordered.mean()) + np.log1p(np.maximum(shifts, -0.999)), dtype=np.float64)
    frames = len(ordered)
    # With so many frames beyond it, the truth lies between the last that is not and the first that is: either will do.
    rank = rank_of(figure.percent, frames) - np.rint(frames * shifts) + random.integers(0, 2, len(shifts))
    with np.errstate(divide="ignore"):
        log = np.log(np.maximum(ordered, 0))
    draws = log[np.clip(rank, 1, frames).astype(np.int64) - 1]
    return np.asarray(np.where(rank < 1, -np.inf, np.where(rank > frames, np.inf, draws)), dtype=np.float64)
