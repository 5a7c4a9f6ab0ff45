"""A whole matrix: what was measured, what is known of accuracies, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy
from googlenet_edge.scenarios.matrix.candidates import Candidate, differing_origins
from googlenet_edge.scenarios.matrix.cell import Cell
from googlenet_edge.scenarios.matrix.machine import CellMachine
from googlenet_edge.scenarios.matrix.recommend import Accuracies, Recommendation, accuracy_key, pareto_best, recommend
from googlenet_edge.scenarios.matrix.rounds import MatrixConfig
from googlenet_edge.scenarios.matrix.target import Target

__all__ = ["Matrix", "MatrixFacts"]


@dataclass(frozen=True)
class MatrixFacts:
    """What a matrix's document says besides the figures."""

    version: str
    """Of this package."""
    started_at: str
    """ISO 8601, UTC."""
    ended_at: str
    frames: str
    """Which frames were worked on."""
    dataset: str | None
    """On which accuracies were to be measured."""


@dataclass(frozen=True)
class Matrix:
    """All that a run of a matrix gave."""

    config: MatrixConfig
    candidates: tuple[Candidate, ...]
    cells: tuple[Cell, ...]
    accuracies: Accuracies
    machines: tuple[CellMachine, ...]
    """Of each cell."""
    target: Target
    complete: bool
    """False: it was stopped."""
    facts: MatrixFacts
    doubts: tuple[str, ...] = ()
    """Sentences about what could not be done, besides the cells' own failures."""

    def accuracy(self, cell: Cell) -> CellAccuracy | None:
        """Return what is known of a cell's accuracy."""
        return self.accuracies.get(accuracy_key(cell))

    @property
    def measured(self) -> bool:
        """Whether there is a figure."""
        return any(cell.rounds for cell in self.cells)

    @property
    def several_backends(self) -> bool:
        """Whether names of settings need the backend."""
        return len({cell.setting.backend for cell in self.cells}) > 1

    @cached_property
    def recommendation(self) -> Recommendation | None:
        """The answer to the target; None where nothing is wanted."""
        return recommend(self.cells, self.accuracies, self.target) if self.target.wanted else None

    @cached_property
    def unbeaten(self) -> frozenset[int]:
        """The cells that are worth taking."""
        return pareto_best(self.cells, self.accuracies, self.config.percent)

    @property
    def notes(self) -> list[str]:
        """Sentences about what the figures may be doubted for."""
        found = list(self.doubts)
        origins = differing_origins(self.candidates)
        if origins is not None:
            found.append(origins)
        for cell, machine in zip(self.cells, self.machines, strict=True):
            name = cell.setting.named(backends=self.several_backends)
            if machine.throttled:
                found.append(f"{name}: the machine was slowed down meanwhile ({', '.join(machine.throttled)})")
            unsteady = sum(not one.steady for one in cell.rounds)
            if unsteady:
                found.append(
                    f"{name}: not known to be steady after the warm-up in {unsteady} of {len(cell.rounds)} rounds"
                )
        return found
