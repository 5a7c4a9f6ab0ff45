"""Which setting to take, and which are worth taking at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from googlenet_edge.scenarios.matrix.accuracy import CellAccuracy, comparable
from googlenet_edge.scenarios.matrix.candidates import PRECISIONS
from googlenet_edge.scenarios.matrix.cell import Cell
from googlenet_edge.scenarios.matrix.target import Check, Target, standing

__all__ = ["Accuracies", "Recommendation", "accuracy_key", "pareto_best", "recommend"]

Accuracies = Mapping[str, CellAccuracy | None]
"""By :func:`accuracy_key`."""


@dataclass(frozen=True)
class Recommendation:
    """The answer to a target."""

    chosen: int | None
    """The number of the cell, from 0; None: none is shown to meet the target."""
    nearest: int | None
    """The cell that comes nearest where none meets it; None where nothing was measured."""
    why: tuple[str, ...]
    """One sentence a line: how it was chosen, and what else there is."""
    checks: tuple[tuple[Check, ...], ...]
    """Of each cell."""


def accuracy_key(cell: Cell) -> str:
    """Return what the accuracy of a cell is found under: bundle and backend, whatever the batch."""
    return f"{cell.setting.title}, {cell.setting.backend}"


def recommend(cells: Sequence[Cell], accuracies: Accuracies, target: Target) -> Recommendation:
    """Return the setting that meets the target best.

    Of those that are shown to meet it: where the target says what accuracy is enough, the one that takes the least
    time a frame; else the one with the highest top-1, and of those equal in it the least time. Where accuracies are not
    known, or not of the same images, the widest number format stands for the highest top-1.
    """
    checks = tuple(target.check(cell, accuracies.get(accuracy_key(cell))) for cell in cells)
    meeting = [index for index, found in enumerate(checks) if standing(found) == "met"]
    if not meeting:
        measured = [index for index, cell in enumerate(cells) if cell.rounds]
        nearest = min(measured, key=lambda index: _distance(cells[index], checks[index]), default=None)
        return Recommendation(None, nearest, (), checks)
    there = {accuracy_key(cells[index]): accuracies.get(accuracy_key(cells[index])) for index in meeting}
    known = comparable(there)

    def place(index: int) -> tuple[float, float]:
        accuracy = there[accuracy_key(cells[index])]
        if target.bounds_accuracy:
            worth = 0.0
        elif known and accuracy is not None:
            worth = -accuracy.top1.value
        else:
            worth = float(PRECISIONS.index(cells[index].setting.precision))
        return worth, _ms_per_frame(cells[index], target)

    chosen = min(meeting, key=place)
    of = f"of the {len(meeting)} settings that are shown to meet it, " if len(meeting) > 1 else ""
    least = f"the least time a frame ({_ms_per_frame(cells[chosen], target):.2f} ms)"
    if len(meeting) == 1:
        why = ["it is the only one that is shown to meet it"]
    elif target.bounds_accuracy:
        why = [f"{of}it takes {least}"]
    elif known:
        why = [f"{of}it has the highest top-1, and of those equal in that {least}"]
    else:
        unknown = "their accuracies are not all known on the same images: --dataset measures them"
        why = [f"{of}it has the widest number format, and of those equal in that {least}; {unknown}"]
    if known and not target.bounds_accuracy:
        why += _faster(cells, there, meeting, chosen, target)
    return Recommendation(chosen, None, tuple(why), checks)


def pareto_best(cells: Sequence[Cell], accuracies: Accuracies, percent: int) -> frozenset[int]:
    """Return the cells that no other one beats: as good in latency, rate and accuracy, and clearly better in one.

    Clearly: the ranges share nothing. Where accuracies are not known on the same images, only cells of one bundle are
    compared. A cell with a failure takes no part.
    """
    known = comparable({accuracy_key(cell): accuracies.get(accuracy_key(cell)) for cell in cells if cell.rounds})
    whole = [index for index, cell in enumerate(cells) if cell.rounds and cell.failure is None]

    latencies = {index: cells[index].latency_ms(percent) for index in whole}
    rates = {index: cells[index].frames_per_second(overlapped=True) for index in whole}

    def beats(one: int, other: int) -> bool:
        keys = [accuracy_key(cells[index]) for index in (one, other)]
        if not known and keys[0] != keys[1]:
            return False
        pairs = [(latencies[other], latencies[one]), (rates[one], rates[other])]
        first, second = accuracies.get(keys[0]), accuracies.get(keys[1])
        if known and first is not None and second is not None:
            pairs.append((first.top1, second.top1))
        found = [(more, less) for more, less in pairs if more is not None and less is not None]
        return all(more.value >= less.value for more, less in found) and any(
            more.apart(less) and more.value > less.value for more, less in found
        )

    return frozenset(index for index in whole if not any(beats(other, index) for other in whole if other != index))


def _faster(cells: Sequence[Cell], there: Accuracies, meeting: Sequence[int], chosen: int, target: Target) -> list[str]:
    """Return a word about a faster setting whose accuracy is not shown to be another one."""
    best = there[accuracy_key(cells[chosen])]
    quicker = []
    for index in meeting:
        accuracy = there[accuracy_key(cells[index])]
        if best is None or accuracy is None or accuracy_key(cells[index]) == accuracy_key(cells[chosen]):
            continue
        alike = not (best.drop or best.top1).apart(accuracy.drop or accuracy.top1)
        if alike and _ms_per_frame(cells[index], target) < _ms_per_frame(cells[chosen], target):
            quicker.append(index)
    if not quicker:
        return []
    index = min(quicker, key=lambda one: _ms_per_frame(cells[one], target))
    several = len({cell.setting.backend for cell in cells}) > 1
    share = 1 - _ms_per_frame(cells[index], target) / _ms_per_frame(cells[chosen], target)
    name = cells[index].setting.named(backends=several)
    said = f"{name} takes {100 * share:.0f} % less time a frame, and no difference in accuracy between the two is shown"
    return [f"{said}; --max-accuracy-drop says what may be lost for speed"]


def _distance(cell: Cell, checks: Sequence[Check]) -> tuple[bool, int, int, float]:
    missed = sum(one.standing == "missed" for one in checks)
    not_shown = sum(one.standing == "not shown" for one in checks)
    return cell.failure is not None, missed, not_shown, max((one.excess for one in checks), default=0.0)


def _ms_per_frame(cell: Cell, target: Target) -> float:
    rate = cell.frames_per_second(overlapped=target.overlapped)
    return float("inf") if rate is None or not rate.value else 1e3 / rate.value
