"""Which layers to keep out of INT8 so that the accuracy stays within a budget, with as few measurements as will do.

A measurement is a whole pass over the selection set, so it is not tried layer by layer: the layers are ranked by what
keeping each gains (:mod:`~googlenet_edge.quantization.sensitivity`, on calibration images only), the number of layers
kept from the top of that list is doubled until the budget is met, and the smallest such number is found by bisection.
The list ranks each layer by itself; so in the end every kept layer is given back once, the least of them first, and
stays in INT8 where that is still within the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from googlenet_edge.quantization.sensitivity import LayerSensitivity

__all__ = ["BudgetSearch", "KeptLayer", "Measurement", "RankedLayer", "rank_layers", "search_budget"]

_ROUNDING = 1e-9
"""Differences of percentages that are equal but for rounding."""


@dataclass(frozen=True)
class RankedLayer:
    """A layer that could be kept out of INT8, and what that would gain."""

    node: str
    row: str
    """Its row of Table 1."""
    macs: int
    gain_db: float
    """By how much the SQNR of the logits rises if this layer alone is kept, on calibration images."""


@dataclass(frozen=True)
class KeptLayer(RankedLayer):
    """A layer that is kept out of INT8, and why."""

    top1_percent_without: float
    """Top-1 on the selection set when it was given back to INT8 and the other kept layers were not."""


@dataclass(frozen=True)
class Measurement:
    """One pass over the selection set."""

    kept: tuple[str, ...]
    """Nodes that were not in INT8."""
    top1_percent: float


@dataclass(frozen=True)
class BudgetSearch:
    """What the search found."""

    budget_points: float
    float_percent: float
    """Top-1 of the float32 network on the selection set."""
    before_percent: float
    """Top-1 with nothing kept."""
    after_percent: float
    """Top-1 with :attr:`kept`."""
    met: bool
    """Whether it is within the budget; if not, nothing is kept."""
    kept: tuple[KeptLayer, ...]
    """Those with the highest gain first."""
    measurements: tuple[Measurement, ...]
    """In the order in which they were made."""


def rank_layers(layers: Sequence[LayerSensitivity], all_sqnr_db: float) -> tuple[RankedLayer, ...]:
    """Sort layers by what keeping each gains against ``all_sqnr_db``, the SQNR with all of them in INT8.

    Of two that gain the same, the one with less work comes first: keeping it costs less time.
    """
    ranked = [RankedLayer(layer.node, layer.row, layer.macs, layer.kept_sqnr_db - all_sqnr_db) for layer in layers]
    return tuple(sorted(ranked, key=lambda layer: (-layer.gain_db, layer.macs, layer.node)))


def search_budget(
    measure: Callable[[tuple[str, ...]], float],
    rank: Callable[[], Sequence[RankedLayer]],
    *,
    float_percent: float,
    budget_points: float,
) -> BudgetSearch:
    """Find few layers to keep so that top-1 is at most ``budget_points`` below ``float_percent``.

    Args:
        measure: Returns top-1 in percent on the selection set with these nodes kept out of INT8.
        rank: Returns the layers, highest gain first; it is asked only if INT8 as it is does not meet the budget.
        float_percent: Top-1 of the float32 network on the same set.
        budget_points: Percentage points that may be lost.
    """
    known: dict[frozenset[str], float] = {}
    made: list[Measurement] = []

    def top1(kept: Sequence[RankedLayer]) -> float:
        nodes = tuple(layer.node for layer in kept)
        if frozenset(nodes) not in known:
            known[frozenset(nodes)] = measure(nodes)
            made.append(Measurement(nodes, known[frozenset(nodes)]))
        return known[frozenset(nodes)]

    def within(kept: Sequence[RankedLayer]) -> bool:
        return float_percent - top1(kept) <= budget_points + _ROUNDING

    before = top1(())
    kept: list[RankedLayer] = []
    met = within(())
    if not met:
        ranking = rank()
        number = _fewest(lambda count: within(ranking[:count]), len(ranking))
        kept = list(ranking[:number]) if number else []
        for layer in reversed(kept.copy()):
            fewer = [other for other in kept if other is not layer]
            if within(fewer):
                kept = fewer
        # With every layer kept, nothing would be left in INT8.
        met = 0 < len(kept) < len(ranking)
        kept = kept if met else []
    without = {layer.node: top1([other for other in kept if other is not layer]) for layer in kept}
    return BudgetSearch(
        budget_points=budget_points,
        float_percent=float_percent,
        before_percent=before,
        after_percent=top1(kept),
        met=met,
        kept=tuple(KeptLayer(layer.node, layer.row, layer.macs, layer.gain_db, without[layer.node]) for layer in kept),
        measurements=tuple(made),
    )


def _fewest(holds: Callable[[int], bool], most: int) -> int | None:
    """Return the smallest number from 1 to ``most`` for which something holds that holds for all above; None if none.

    Where it does not hold for all above (accuracies are counts of few images), what is found still holds.
    """
    failed, number = 0, min(1, most)
    while number == 0 or not holds(number):
        if number == most:
            return None
        failed, number = number, min(2 * number, most)
    while number - failed > 1:
        middle = (failed + number) // 2
        if holds(middle):
            number = middle
        else:
            failed = middle
    return number
