"""The accuracies of all bundles of a matrix: measured where a labelled set was given, else as recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from googlenet_edge.runtime.open_backend import BackendChoice
from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy, measured_accuracy, recorded_accuracy
from googlenet_edge.scenarios.matrix.candidates import Candidate
from googlenet_edge.scenarios.matrix.cell import Cell
from googlenet_edge.scenarios.matrix.jobs import Evaluated
from googlenet_edge.scenarios.matrix.process import JobFailedError, JobStoppedError
from googlenet_edge.scenarios.matrix.recommend import Accuracies, accuracy_key

__all__ = ["Evaluate", "assess"]

Evaluate = Callable[[Candidate, BackendChoice, int], Evaluated]
"""Classifies the labelled set with a bundle and a backend, which has taken batches of so many frames.

Raises :class:`JobFailedError` and :class:`JobStoppedError`.
"""


def assess(
    candidates: Sequence[Candidate], cells: Sequence[Cell], evaluate: Evaluate | None
) -> tuple[Accuracies, list[str], bool]:
    """Return the accuracy under each cell's key, sentences about those that could not be had, and whether it ended.

    Only what was timed is evaluated. False for the last: it was stopped, and what is recorded stands in for the rest.
    """
    by_title = {one.title: one for one in candidates}
    evaluated: dict[str, Evaluated] = {}
    doubts: list[str] = []
    complete = True
    timed: dict[str, Cell] = {}
    for cell in cells:
        known = timed.get(accuracy_key(cell))
        if cell.rounds and (known is None or cell.setting.batch > known.setting.batch):
            timed[accuracy_key(cell)] = cell
    for key, cell in timed.items():
        if evaluate is None:
            break
        try:
            evaluated[key] = evaluate(by_title[cell.setting.title], cell.setting.backend, cell.setting.batch)
        except JobFailedError as error:
            doubts.append(f"accuracy of {key}: could not be measured: {error}")
        except JobStoppedError:
            complete = False
            break
    accuracies: dict[str, CellAccuracy | None] = {}
    for cell in cells:
        key, candidate = accuracy_key(cell), by_title.get(cell.setting.title)
        if key in accuracies or candidate is None:
            continue
        if key in evaluated:
            accuracies[key] = measured_accuracy(evaluated[key], _reference(candidate, cell, by_title, evaluated))
        else:
            accuracies[key] = recorded_accuracy(candidate, candidates)
    return accuracies, doubts, complete


def _reference(
    candidate: Candidate, cell: Cell, by_title: dict[str, Candidate], evaluated: dict[str, Evaluated]
) -> Evaluated | None:
    """Return what FP32 of the same checkpoint gives: with the same backend, or else with another one."""
    checkpoint = candidate.bundle.manifest.lineage.checkpoint.sha256
    found = []
    for key, one in evaluated.items():
        title, _, backend = key.rpartition(", ")
        manifest = by_title[title].bundle.manifest
        if manifest.precision == "fp32" and manifest.lineage.checkpoint.sha256 == checkpoint:
            found.append((title != cell.setting.title, backend != cell.setting.backend, one))
    return min(found, key=lambda entry: entry[:2], default=(False, False, None))[2]
