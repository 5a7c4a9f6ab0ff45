"""A comparison as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from googlenet_edge.scenarios.layers.comparison import DEFINITIONS, Comparison, Figures, Part, Spread
from googlenet_edge.scenarios.layers.rounds import Entrant, LayersRequest
from googlenet_edge.scenarios.matrix.jobs import LayersTimed

__all__ = ["SCHEMA_VERSION", "comparison_document"]

SCHEMA_VERSION = 1


def comparison_document(
    request: LayersRequest,
    rounds: Sequence[Sequence[LayersTimed]],
    comparison: Comparison,
    machine: Mapping[str, object],
) -> dict[str, object]:
    """Return a comparison as JSON values. ``rounds`` are those of each bundle; ``machine``: the sections about it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "layer comparison",
        "definitions": {
            **DEFINITIONS,
            "profiled_wall_ms": "as whole_ms, with the layers' profiler on",
            "null": "the bundle lacks the part; or, of a ratio, the first one does; or, of MACs, they are not known",
        },
        "rounds": request.rounds,
        "frames_per_inference": request.config.batch,
        "inferences": request.config.inferences,
        "warmup_inferences": request.config.warmup,
        "bundles": [
            _bundle(entrant, rounds[index], comparison, index) for index, entrant in enumerate(request.entrants)
        ],
        "notes": list(comparison.notes),
        **machine,
    }


def _bundle(entrant: Entrant, rounds: Sequence[LayersTimed], comparison: Comparison, index: int) -> dict[str, object]:
    manifest, last = entrant.bundle.manifest, rounds[-1]
    inception = comparison.inception
    return {
        "letter": entrant.letter,
        "title": entrant.title,
        "path": str(entrant.bundle.path),
        "model": manifest.name,
        "form": manifest.form,
        "precision": manifest.precision,
        "graph_sha256": entrant.bundle.graph_sha256,
        "computed_by": last.line,
        "backend": dict(last.backend),
        "profiled_backend": dict(last.profiled),
        "whole": _figures(comparison.whole.figures[index]),
        "profiled_wall_ms": _spread(Spread(tuple(one.report.wall_ns / 1e6 for one in rounds))),
        "layers": _figures(comparison.layers.figures[index]),
        "inception": None if inception is None else _figures(inception.figures[index]),
        "rows": [_row(part, last, index) for part in comparison.rows],
    }


def _row(part: Part, timed: LayersTimed, index: int) -> dict[str, object]:
    rows = next((row.rows for row in timed.report.rows if row.row == part.name), ())
    return {"name": part.name, "rows": list(rows), "figures": _figures(part.figures[index])}


def _figures(figures: Figures | None) -> dict[str, object] | None:
    if figures is None:
        return None
    rate = figures.macs_per_s
    return {
        "ms": _spread(figures.ms),
        "ratio": None if figures.ratio is None else _spread(figures.ratio),
        "macs": figures.macs,
        "macs_per_s": None if rate is None else round(rate),
    }


def _spread(spread: Spread) -> dict[str, Any]:
    return {
        "median": round(spread.median, 6),
        "low": round(spread.low, 6),
        "high": round(spread.high, 6),
        "rounds": [round(value, 6) for value in spread.values],
    }
