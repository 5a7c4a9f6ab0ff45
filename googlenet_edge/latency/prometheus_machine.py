"""What the report says of the machine and its power, as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from googlenet_edge.latency.machine_format import EnergyEntry, EpisodeEntry, WatchEntry
from googlenet_edge.latency.report_format import ReportDocument

__all__ = ["Gauge", "machine_gauges"]

Gauge: TypeAlias = "tuple[str, str, Sequence[tuple[str, Mapping[str, str], float]]]"
"""Name, what it says, and its samples: suffix of the name (none), labels, value."""


def machine_gauges(document: ReportDocument) -> Iterator[Gauge]:
    """Return the gauges in base units: seconds, degrees Celsius, hertz, watts, joules."""
    if document.watch is not None:
        yield from _watch(document.watch)
    if document.energy is not None:
        yield from _energy(document.energy)


def _watch(watch: WatchEntry) -> Iterator[Gauge]:
    by_cause: dict[str, list[EpisodeEntry]] = {}
    for one in watch.throttled:
        by_cause.setdefault(one.cause, []).append(one)
    yield (
        "machine_throttled_seconds",
        "How long the cause slowed the machine down in the last run; without a cause: any of them.",
        [("", {"cause": ""}, _seconds(watch.throttled))]
        + [("", {"cause": cause}, _seconds(episodes)) for cause, episodes in by_cause.items()],
    )
    yield (
        "machine_temperature_celsius",
        "Highest temperature in the last run.",
        [("", {"sensor": name}, high) for name, _, high in _extremes(watch, "C")],
    )
    yield (
        "machine_clock_hertz",
        "Lowest clock in the last run.",
        [("", {"clock": name}, 1e6 * low) for name, low, _ in _extremes(watch, "MHz")],
    )


def _energy(energy: EnergyEntry) -> Iterator[Gauge]:
    yield (
        "machine_power_watts",
        "Mean power of a rail over the measured frames; counted: 1 where it is part of the total.",
        [("", {"rail": rail.name, "counted": f"{rail.counted:d}"}, rail.watts)
         for rail in energy.rails if rail.watts is not None],
    )  # fmt: skip
    joules = energy.joules_per_frame
    yield (
        "energy_joules_per_frame",
        "Energy of the measured frames by the rails in the total, for each.",
        [] if joules is None else [("", {}, joules)],
    )


def _seconds(episodes: Sequence[EpisodeEntry]) -> float:
    """Return how long any of them lasted."""
    total, until_s = 0.0, float("-inf")
    for one in sorted(episodes, key=lambda one: one.from_s):
        total += max(0.0, one.to_s - max(one.from_s, until_s))
        until_s = max(until_s, one.to_s)
    return total


def _extremes(watch: WatchEntry, unit: Literal["C", "MHz"]) -> Iterator[tuple[str, float, float]]:
    for channel in watch.timeline.channels:
        known = [pair for pair in channel.values if pair is not None]
        if channel.unit == unit and known:
            yield channel.name, min(low for low, _ in known), max(high for _, high in known)
