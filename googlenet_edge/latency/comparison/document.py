"""A comparison as JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from googlenet_edge.latency.comparison.alike import Condition
from googlenet_edge.latency.comparison.compare import LEAST_RUNS, Compared, Comparison
from googlenet_edge.latency.comparison.judge import Limit, Offence

__all__ = ["COMPARISON_SCHEMA_VERSION", "METHODS", "comparison_document"]

COMPARISON_SCHEMA_VERSION: Final = 1

METHODS: Final = {
    "runs": f"how runs differ among themselves, {LEAST_RUNS} or more a side (Welch's t)",
    "samples": "the raw samples within the runs (block bootstrap); not in them: what changes between starts",
    "none": "nothing: no intervals, no verdicts",
}


def comparison_document(
    comparisons: Sequence[Comparison], limit: Limit | None = None, offences: Sequence[Offence] = ()
) -> dict[str, object]:
    """Return all figures of comparisons with one baseline, and what a limit says of them."""
    return {
        "schema_version": COMPARISON_SCHEMA_VERSION,
        "definitions": {
            "ratio": "new / baseline; of several runs a side, of their geometric means",
            "interval": "all intervals of this file contain their true ratios at once with the stated confidence; an "
            "end that is null is unknown, beyond all samples",
            "stage": "of a rate (fps) null for the run as a whole, else what it is the rate of",
            "verdict": "faster or slower where the interval leaves 1 out; null without an interval with two ends",
            "intervals_from": dict(METHODS),
        },
        "baseline": [str(run.path) for run in comparisons[0].baseline] if comparisons else [],
        "confidence": round(1 - sum(1 - one.confidence for one in comparisons), 6),
        "comparisons": [_one(comparison) for comparison in comparisons],
        "limit": None
        if limit is None
        else {
            "slower_percent": round(100 * limit.share, 6),
            "strict": limit.strict,
            "ignore_ms": limit.ignore_ns / 1e6,
            "failed": bool(offences),
            "offences": [{"figure": offence.compared.figure.name, "shown": offence.shown} for offence in offences],
        },
    }


def _one(comparison: Comparison) -> dict[str, object]:
    return {
        "new": [str(run.path) for run in comparison.new],
        "intervals_from": comparison.method,
        "figures": [_figure(one) for one in comparison.figures],
        "expected_to_differ": [_condition(condition) for condition in comparison.expected],
        "also_differs": [_condition(condition) for condition in comparison.unexpected],
        "warnings": list(comparison.warnings),
    }


def _figure(one: Compared) -> dict[str, object]:
    rate = one.figure.percent is None
    unit = 1 if rate else 1e6
    return {
        "stage": one.figure.stage or None,
        "figure": "fps" if rate else f"p{one.figure.percent}",
        "unit": "frames/s" if rate else "ms",
        "baseline": round(one.baseline / unit, 6),
        "new": round(one.new / unit, 6),
        "ratio": None if one.ratio is None else round(one.ratio, 6),
        "interval": None if one.interval is None else [_end(end) for end in one.interval],
        "verdict": one.verdict,
        "no_verdict": one.no_verdict,
    }


def _end(end: float) -> float | None:
    return round(end, 6) if 0 < end < math.inf else None


def _condition(condition: Condition) -> dict[str, object]:
    return {"name": condition.name, "baseline": list(condition.baseline), "new": list(condition.new)}
