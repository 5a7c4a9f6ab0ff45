"""Whether the first and the last layer go into INT8: by what that costs, measured, against what it saves.

Habit keeps both in floating point. The first sees pixels, which INT8 nearly holds, and is a twelfth of GoogLeNet's
work; the last makes the logits, and is next to none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["EndLayer", "EndRule", "stays_in_float"]

EndRule: TypeAlias = Literal["measure", "int8", "float"]

WORTH_DB_PER_PERCENT = 0.1
"""A layer stays in floating point if that gains this much SQNR for each percent of the multiply-accumulates in it."""


@dataclass(frozen=True)
class EndLayer:
    """The first or the last layer, and what was decided about it."""

    node: str
    macs_percent: float
    """Its share of the multiply-accumulates."""
    int8_sqnr_db: float
    """SQNR of the logits with this layer in INT8, all others as decided, on calibration images."""
    float_sqnr_db: float
    in_int8: bool


def stays_in_float(int8_sqnr_db: float, float_sqnr_db: float, macs_percent: float) -> bool:
    """Decide by measurement."""
    return float_sqnr_db - int8_sqnr_db > WORTH_DB_PER_PERCENT * macs_percent
