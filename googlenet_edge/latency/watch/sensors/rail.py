"""What a power meter and a probe look like from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from googlenet_edge.errors import InputError

__all__ = ["Channel", "Look", "Meter", "Probe", "Rail", "Unreadable"]


@dataclass(frozen=True)
class Rail:
    """One thing that a meter measures. Raises :class:`InputError` for a wrap that cannot be."""

    name: str
    """As the board, the kernel or the library calls it, for example "VDD_IN"."""
    meter: str
    """What measures it: "ina3221", "nvml", "rapl", ..."""
    kind: Literal["power", "energy"]
    """"power": readings are in microwatts, now. "energy": a counter in microjoules, which only grows."""
    covers: str
    """What it includes, in a few words."""
    counted: bool
    """False: it is a part of another rail, or includes others, and stays out of the total."""
    wraps_at_uj: int | None = None
    """A counter starts again at 0 after this value; None: it does not."""

    def __post_init__(self) -> None:
        if self.wraps_at_uj is not None and (self.wraps_at_uj <= 0 or self.kind != "energy"):
            raise InputError(
                f"rail {self.name}: got kind {self.kind!r}, wraps_at_uj={self.wraps_at_uj}, "
                "expected a positive wrap of an energy counter"
            )


@dataclass(frozen=True)
class Unreadable:
    """A source of power readings that gives none, and why."""

    meter: str
    reason: str

    def __str__(self) -> str:
        return f"{self.meter}: {self.reason}"


class Meter(Protocol):
    """Something that measures power or energy. Read and closed by one thread at a time."""

    @property
    def rails(self) -> Sequence[Rail]:
        """What it measures; fixed."""

    def read(self) -> Sequence[int | None]:
        """Return one value a rail, in the rail's unit; None where it gave none this time. Raises nothing."""

    def close(self) -> None:
        """Let go of files, processes and the library."""


@dataclass(frozen=True)
class Channel:
    """A value that is followed over time."""

    name: str
    unit: Literal["MHz", "C", "W"]


@dataclass(frozen=True)
class Look:
    """What a probe saw at one moment."""

    values: Sequence[float | None]
    """One a channel."""
    throttles: Sequence[str] = ()
    """What slows the machine down now, or did since the last look; one short text a cause."""


class Probe(Protocol):
    """Something that is looked at every second during a run. Used and closed by one thread at a time."""

    @property
    def channels(self) -> Sequence[Channel]:
        """What it follows; fixed."""

    def look(self) -> Look:
        """Look once. Raises nothing."""

    def close(self) -> None:
        """Let go of files and the library."""
