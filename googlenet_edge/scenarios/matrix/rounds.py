"""The rounds of a matrix: each measures every cell once, in a process of its own, and they take turns in their order.

What drifts meanwhile, such as a machine that gets warm, then hits all cells alike: over a pair of rounds, one forth and
one back, each cell is measured at the same mean time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from googlenet_edge.errors import InputError
from googlenet_edge.latency.summary import PERCENTILES
from googlenet_edge.scenarios.matrix.cell import Cell, Setting
from googlenet_edge.scenarios.matrix.jobs import Measured
from googlenet_edge.scenarios.matrix.process import JobFailedError, JobStoppedError
from googlenet_edge.scenarios.rig import SECOND_NS
from googlenet_edge.types import Clock

__all__ = ["MatrixConfig", "Measure", "Progress", "least_seconds", "round_order", "run_matrix"]

_STARTING_S: Final = 1.5
"""What a process takes besides measuring, at least: to start, to load the graph, to warm up."""

Measure = Callable[[Setting, int, int], Measured]
"""Measures a setting, given the number of the round and the least number of batches.

Raises :class:`JobFailedError` and :class:`JobStoppedError`.
"""


@dataclass(frozen=True)
class MatrixConfig:
    """How a matrix is measured. Raises :class:`InputError` for what cannot be."""

    rounds: int = 4
    """An even number lets a steady drift cancel."""
    min_duration_ns: int = 2 * SECOND_NS
    """Of each cell in each round."""
    max_duration_ns: int = 60 * SECOND_NS
    """Of each cell in each round, where a percentile needs more batches than ``min_duration_ns`` gives."""
    percent: int = 99
    """The percentile of interest."""
    seed: int = 0
    include_preprocess: bool = True

    def __post_init__(self) -> None:
        if self.rounds < 2 or self.percent not in PERCENTILES:
            raise InputError(
                f"matrix: got rounds={self.rounds}, percent={self.percent}, expected at least 2 rounds and one of "
                f"{', '.join(map(str, PERCENTILES))}"
            )
        if not 0 < self.min_duration_ns <= self.max_duration_ns:
            raise InputError(
                f"matrix: got min_duration_ns={self.min_duration_ns}, max_duration_ns={self.max_duration_ns}, expected "
                "more than 0, in rising order"
            )


@dataclass(frozen=True)
class Progress:
    """How far the rounds are."""

    setting: Setting
    """What is measured now."""
    round: int
    """From 1."""
    done: int
    """Measurements that are done, and those that failed."""
    left: int
    """Measurements to come, this one too."""
    seconds_left: float | None
    """About; None before the first one is done."""


def round_order(count: int, number: int) -> list[int]:
    """Return the order of ``count`` settings in a round, counted from 0: forth and back in turns."""
    order = list(range(count))
    return order if number % 2 == 0 else order[::-1]


def least_seconds(count: int, config: MatrixConfig) -> float:
    """Return how long the rounds of so many settings take at least."""
    return count * config.rounds * (config.min_duration_ns / 1e9 + _STARTING_S)


def run_matrix(
    cells: Sequence[Cell],
    config: MatrixConfig,
    measure: Measure,
    *,
    stop: threading.Event,
    batches_wanted: Callable[[Cell], int] = lambda _cell: 0,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
    clock: Clock = time.monotonic_ns,
) -> tuple[Cell, ...]:
    """Measure all cells, and return them in their order.

    A cell that has a failure, or gets one, is left out from then on, with the reason; the rest goes on. ``stop`` ends
    it with what there is. ``batches_wanted`` says how many batches of all rounds a cell should have, by what is known
    of it; the first round is of the minimum alone, the others share the rest.
    """
    found = list(cells)
    took_ns: list[int] = []
    for number in range(config.rounds):
        order = [index for index in round_order(len(found), number) if found[index].failure is None]
        for place, index in enumerate(order):
            if stop.is_set():
                return tuple(found)
            cell = found[index]
            left = len(order) - place + (config.rounds - 1 - number) * len(order)
            seconds_left = left * sum(took_ns) / len(took_ns) / 1e9 if took_ns else None
            on_progress(Progress(cell.setting, number + 1, len(took_ns), left, seconds_left))
            lacking = 0 if not number else max(0, batches_wanted(cell) - cell.batches)
            began_ns = clock()
            try:
                measured = measure(cell.setting, number, -(-lacking // (config.rounds - number)))
            except JobStoppedError:
                return tuple(found)
            except JobFailedError as error:
                when = f"round {number + 1}: " if number else ""
                found[index] = replace(cell, failure=f"{when}{error}")
            else:
                found[index] = cell.with_round(measured)
            took_ns.append(clock() - began_ns)
    return tuple(found)
