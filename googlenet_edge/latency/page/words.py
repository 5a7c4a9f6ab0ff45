"""Numbers and names as the page shows them."""

from __future__ import annotations

import math

__all__ = ["count", "definition_of", "milliseconds", "percent_name", "quantity", "share"]


def milliseconds(value: float | None) -> str:
    """Return milliseconds with three or four figures that count; "-" for None."""
    if value is None:
        return "-"
    size = abs(value)
    decimals = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 or not size else 3
    return f"{value:,.{decimals}f}".replace(",", "\u2009")


def count(number: int | None) -> str:
    """Return a count with thin spaces between thousands; "-" for None."""
    return "-" if number is None else f"{number:,}".replace(",", "\u2009")


def quantity(value: float | None) -> str:
    """Return a number with three figures that count, and whole from 100 on; "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}".replace(",", "\u2009") if abs(value) >= 100 else f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """Return a part as percent; "0 %" for nothing of nothing."""
    percent = 100 * part / whole if whole else 0.0
    if not percent:
        return "0 %"
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %"


def percent_name(percent: float) -> str:
    """Return "p50", "p99.9", "p99.99": with as many digits as it takes."""
    digits = max(0, math.ceil(-math.log10(100 - percent) - 1e-6)) if percent < 100 else 0
    return f"p{percent:.{digits}f}"


def definition_of(name: str, definitions: dict[str, str]) -> str | None:
    """Return what a stage contains, as the report says it."""
    return definitions.get(name) or (definitions.get("device ...") if name.startswith("device ") else None)
