"""What ``report.json`` says of the machine during the run: its part of :mod:`~googlenet_edge.latency.report_format`.

It is what :class:`~googlenet_edge.latency.watch.run.RunWatch` gives as JSON values.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from googlenet_edge.latency.duration_format import Count

__all__ = [
    "ChannelEntry",
    "DifferenceEntry",
    "EnergyEntry",
    "EpisodeEntry",
    "RailEntry",
    "StateEntry",
    "TimelineEntry",
    "UnreadableEntry",
    "WatchEntry",
]


class DifferenceEntry(msgspec.Struct, frozen=True):
    """What was not the same before and after the run."""

    kind: Annotated[str, Meta(description='"machine", "setting", "throttled" or "drift".')]
    what: str
    before: str
    after: str


State = Annotated[
    dict[str, Any], Meta(description="The machine at one moment.", extra_json_schema={"$ref": "#/$defs/MachineState"})
]
"""What :meth:`~googlenet_edge.latency.watch.state.MachineState.from_dict` takes."""


class StateEntry(msgspec.Struct, frozen=True):
    """The machine before and after the run."""

    before: State
    after: Annotated[State | None, Meta(description="null where the last look failed.")]
    concerns: Annotated[tuple[str, ...], Meta(description="What is doubtful about the state before the run.")] = ()
    differences: tuple[DifferenceEntry, ...] = ()


class EpisodeEntry(msgspec.Struct, frozen=True):
    """A stretch of time in which something slowed the machine down; seconds from the first look."""

    cause: str
    from_s: float
    to_s: float


class ChannelEntry(msgspec.Struct, frozen=True):
    """A clock, temperature or power over time."""

    name: str
    unit: str
    values: Annotated[
        tuple[tuple[float, float] | None, ...],
        Meta(description="Lowest and highest in each stretch; null where it could not be read."),
    ]


class TimelineEntry(msgspec.Struct, frozen=True):
    """Clocks, temperatures and power in stretches of time; seconds from the first look."""

    from_s: tuple[float, ...] = ()
    to_s: tuple[float, ...] = ()
    channels: tuple[ChannelEntry, ...] = ()


class WatchEntry(msgspec.Struct, frozen=True):
    """What was seen of the machine while the run went on."""

    seconds: Annotated[float, Meta(ge=0)]
    looks: Count
    started_s: Annotated[
        float, Meta(description="When the first look was, seconds from the start of the run; below 0: before it.")
    ] = 0.0
    cpu_share: Annotated[float | None, Meta(description="Of one core, that the looks took.")] = None
    error: Annotated[str | None, Meta(description="Why looking ended early.")] = None
    throttled: tuple[EpisodeEntry, ...] = ()
    throttled_dropped: Annotated[int, Meta(ge=0, description="Further episodes that were not kept.")] = 0
    timeline: TimelineEntry = TimelineEntry()


class RailEntry(msgspec.Struct, frozen=True):
    """One supply rail."""

    name: str
    meter: str
    covers: Annotated[str | None, Meta(description="What it supplies.")] = None
    counted: Annotated[bool, Meta(description="Part of the total.")] = False
    joules: float | None = None
    watts: Annotated[float | None, Meta(description="Mean.")] = None


class UnreadableEntry(msgspec.Struct, frozen=True):
    """A power meter that gave nothing."""

    meter: str
    reason: str


class EnergyEntry(msgspec.Struct, frozen=True):
    """Energy of the measured frames."""

    seconds: Annotated[float, Meta(ge=0, description="From the result before the first of them to the last one.")]
    frames: Count
    from_s: Annotated[float, Meta(description="When that stretch begins, seconds from the start of the run.")] = 0.0
    joules: float | None = None
    watts: Annotated[float | None, Meta(description="Mean of the included rails.")] = None
    idle_watts: Annotated[float | None, Meta(description="Mean before the run.")] = None
    joules_per_frame: float | None = None
    joules_per_frame_above_idle: float | None = None
    included: Annotated[tuple[str, ...], Meta(description="Rails that the total is the sum of.")] = ()
    rails: tuple[RailEntry, ...] = ()
    not_measured: tuple[UnreadableEntry, ...] = ()
