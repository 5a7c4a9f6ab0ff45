"""What a limit, such as "not slower than 5 %", says of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.compare import Compared, Comparison

__all__ = ["Limit", "Offence", "judge", "offences"]


_ANOTHER_MACHINE = ("machine.board", "machine.cpu", "machine.cores", "state.gpu")


@dataclass(frozen=True)
class Limit:
    """How much slower the new side may be. Raises :class:`InputError`."""

    share: float
    """0.05: 5 % longer; of a frame rate, 5 % more time per frame."""
    strict: bool = False
    """Also fail where it cannot be excluded, instead of only where it is shown."""
    ignore_ns: float = 50_000
    """A latency that is longer by less than this does not count, whatever its share."""

    def __post_init__(self) -> None:
        if not (0 <= self.share < math.inf and 0 <= self.ignore_ns < math.inf):
            raise InputError(f"limit: got {self}, expected a share and a time of 0 or more")


@dataclass(frozen=True)
class Offence:
    """A figure that is beyond the limit."""

    compared: Compared
    shown: bool
    """False: only not excluded (strict)."""


def judge(comparison: Comparison, limit: Limit) -> tuple[Offence, ...]:
    """Return the figures that are shown to be slower by more than the limit: the whole interval is beyond it.

    Where it is strict, also those whose interval reaches beyond it, and those that have none.
    Raises :class:`InputError` where no figure has an interval, as nothing could ever be shown, and where the machines
    are not the same, unless the user said that they would not be: what is slower would be the machine.
    """
    other = next((one for one in comparison.unexpected if one.name in _ANOTHER_MACHINE), None)
    if other is not None:
        raise InputError(
            f"{other.name} is not the same ({_values(other.baseline)} and {_values(other.new)}): on another "
            "machine nothing is shown to be slower, expected reports from the same one; if the machine is what you "
            f"compare, say so: --expect {other.name.partition('.')[2]}"
        )
    if all(one.interval is None for one in comparison.figures):
        lacking = [run.lacking for run in (*comparison.baseline, *comparison.new) if run.lacking]
        reasons = dict.fromkeys([*lacking, *(one.no_verdict for one in comparison.figures if one.no_verdict)])
        raise InputError(
            f"no figure has an interval, so that none can be shown to be slower ({'; '.join(list(reasons)[:3])}); "
            "expected raw samples beside both reports (--report FILE --samples), of more frames"
        )
    found = ((one, _offends(one, limit)) for one in comparison.figures)
    return tuple(Offence(one, shown) for one, shown in found if shown is not None)


def offences(comparisons: Sequence[Comparison], limit: Limit) -> tuple[Offence, ...]:
    """Return :func:`judge`'s offences of all of them."""
    return tuple(offence for comparison in comparisons for offence in judge(comparison, limit))


def _offends(one: Compared, limit: Limit) -> bool | None:
    """Return whether it is shown to be beyond the limit; None where it is within, or may be and that is enough."""
    if one.slowdown is None:
        small = one.figure.percent is not None and max(one.baseline, one.new) <= limit.ignore_ns
        return False if limit.strict and not small else None
    low, high = one.slowdown
    most = 1 + limit.share
    if one.figure.percent is not None:
        # The difference counts where it may be, or is shown to be, as long as that.
        most = max(most, 1 + limit.ignore_ns / one.baseline)
    if low > most:
        return True
    return False if limit.strict and high > most else None


def _values(values: Sequence[object]) -> str:
    return " or ".join("unknown" if value is None else str(value) for value in values)
