"""Times and ratios of several bundles: of whole inferences, of all inception modules, and of each row of Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from googlenet_edge.errors import InputError
from googlenet_edge.latency.layer_times import LayerReport, LayerTime
from googlenet_edge.latency.roofline import row_work
from googlenet_edge.scenarios.matrix.jobs import LayersTimed
from googlenet_edge.types import NodeRow

__all__ = ["DEFINITIONS", "Comparison", "Figures", "Part", "Spread", "compare", "merged"]

DEFINITIONS: Mapping[str, str] = {
    "whole": "median wall time of an inference, from the batch on the host to its results there, without the layers' "
    "profiler",
    "layers": "all layers of an inference, their times added up, with the profiler on; median of the inferences",
    "inception": "the rows of the inception modules, added up",
    "row": "the layers of a row of Table 1 in an inference, with the profiler on; median of the inferences. Medians do "
    "not add up, and copies and launches are in no row: the sum of the rows is not the whole inference",
    "rounds": "each bundle is timed in a process of its own, in turns, forth and back; a figure is the median of the "
    "rounds, with the least and the most of them",
    "ratio": "to the first bundle, made within each round",
    "macs": "multiply-accumulates of the convolutions and matrix products, of one inference",
    "macs_per_s": "MACs over the median time",
}
"""What the figures contain."""
_INCEPTION = "inception"


@dataclass(frozen=True)
class Spread:
    """A figure of each round. Raises :class:`InputError` for none."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise InputError("spread: got no figure, expected one a round")

    @property
    def median(self) -> float:
        """Of the rounds."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The least of them."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most of them."""
        return max(self.values)


@dataclass(frozen=True)
class Figures:
    """A part of the network in one bundle."""

    ms: Spread
    ratio: Spread | None
    """To the first bundle; None where that lacks the part, or took no time for it that the profiler could tell."""
    macs: int | None
    """Of one inference; None where the bundle does not say, or layers of the part compute nodes of other rows too."""

    @property
    def macs_per_s(self) -> float | None:
        """Multiply-accumulates a second; None where they are not known, and for a part without any or without time."""
        return None if not self.macs or not self.ms.median else self.macs * 1000 / self.ms.median


@dataclass(frozen=True)
class Part:
    """A part of the network in all bundles."""

    name: str
    figures: tuple[Figures | None, ...]
    """Of each bundle; None for one that lacks it."""


@dataclass(frozen=True)
class Comparison:
    """What the rounds gave."""

    whole: Part
    layers: Part
    inception: Part | None
    """None where no bundle has inception modules."""
    rows: tuple[Part, ...]
    """In the order of Table 1."""
    notes: tuple[str, ...]
    """Sentences about what is in a figure besides what its name says."""


def compare(
    rounds: Sequence[Sequence[LayersTimed]], nodes: Sequence[Sequence[NodeRow]], letters: Sequence[str]
) -> Comparison:
    """Return the figures of bundles.

    Args:
        rounds: Of each bundle, the first being the one compared with; equally many, at least one.
        nodes: Every node of each bundle's graph, ``bundle.manifest.nodes``: their MACs are for one frame.
        letters: What notes call the bundles.

    Raises:
        InputError: The bundles differ in how many rounds they have, or in how many nodes or letters there are.
    """
    if len({len(of) for of in rounds}) != 1 or not rounds[0] or not len(rounds) == len(nodes) == len(letters):
        raise InputError(
            f"rounds: got {', '.join(str(len(of)) for of in rounds) or 'none'}, of {len(nodes)} graphs and "
            f"{len(letters)} letters, expected equally many of each bundle"
        )
    costs = [_costs(of, graph) for of, graph in zip(rounds, nodes, strict=True)]
    inception = [one.inception for one in costs]
    return Comparison(
        whole=_part("whole inference", [one.whole for one in costs]),
        layers=_part("all layers", [one.layers for one in costs]),
        inception=_part("inception modules", inception) if any(inception) else None,
        rows=tuple(
            _part(name, [one.rows.get(name) for one in costs]) for name in merged([list(one.rows) for one in costs])
        ),
        notes=tuple(
            f"{letter}: inception modules: with {', '.join(one.fused)}, whose layers compute nodes of both"
            for letter, one in zip(letters, costs, strict=True)
            if one.fused
        ),
    )


def merged(orders: Sequence[Sequence[str]]) -> list[str]:
    """Return all names, in the first one's order; what others have besides comes after what it comes after there."""
    found: list[str] = []
    for names in orders:
        place = 0
        for name in names:
            if name not in found:
                found.insert(place, name)
            place = found.index(name) + 1
    return found


@dataclass(frozen=True)
class _Cost:
    """What a part of one bundle takes."""

    times_ms: tuple[float, ...]
    """Of the rounds."""
    macs: int | None


@dataclass(frozen=True)
class _Costs:
    """What one bundle takes."""

    whole: _Cost
    layers: _Cost
    inception: _Cost | None
    rows: Mapping[str, _Cost]
    fused: tuple[str, ...]
    """The rows of the report in which an inception module and something else are one."""


def _costs(rounds: Sequence[LayersTimed], nodes: Sequence[NodeRow]) -> _Costs:
    report = rounds[0].report
    macs = sum(node.macs for node in nodes) * report.frames if nodes else None
    times = [{row.row: row.median_ns / 1e6 for row in one.report.rows} for one in rounds]
    rows = {
        work.name: _Cost(tuple(of[work.name] for of in times), work.macs)
        for work in row_work(report, nodes)
        if all(work.name in of for of in times)
    }
    modules = [row for row in report.rows if row.row in rows and any(map(_is_module, row.rows))]
    return _Costs(
        whole=_Cost(tuple(one.whole_ns / 1e6 for one in rounds), macs),
        layers=_Cost(tuple(one.report.layers_ns / 1e6 for one in rounds), macs),
        inception=_Cost(tuple(sum(of[row.row] for row in modules) for of in times), _macs_of(modules, report, nodes))
        if modules
        else None,
        rows=rows,
        fused=tuple(row.row for row in modules if not all(map(_is_module, row.rows))),
    )


def _macs_of(rows: Sequence[LayerTime], report: LayerReport, nodes: Sequence[NodeRow]) -> int | None:
    """Return the work of several rows of a report; None where a row of Table 1 is in others of it too."""
    inside = {name for row in rows for name in row.rows}
    outside = {name for row in report.rows if row not in rows for name in row.rows}
    macs = {name: sum(node.macs for node in nodes if node.row == name) for name in inside}
    if any(macs[name] for name in inside & outside):
        return None
    return sum(macs.values()) * report.frames


def _part(name: str, costs: Sequence[_Cost | None]) -> Part:
    first = costs[0]
    return Part(name, tuple(None if one is None else _figures(one, first) for one in costs))


def _figures(cost: _Cost, first: _Cost | None) -> Figures:
    ratio = None
    if first is not None and all(first.times_ms):
        ratio = Spread(tuple(own / others for own, others in zip(cost.times_ms, first.times_ms, strict=True)))
    return Figures(Spread(cost.times_ms), ratio, cost.macs)


def _is_module(row: str) -> bool:
    return row.startswith(_INCEPTION)
