"""Energy of a run from readings of power or of counters, and joules per frame.

- **Power readings**: the integral over time by the trapezoidal rule, that is, power changes linearly between readings.
- **Energy counters**: the difference; a counter that started again at 0 is corrected by its range, once between two
  readings.
- **Total**: the sum of the rails that do not include each other; what it includes is named beside it.
- **Between two times**: the energy so far is interpolated linearly between readings.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.sensors.rail import Rail

__all__ = ["MOST_POINTS", "Energy", "EnergyMeter", "RailEnergy", "per_frame"]

MOST_POINTS = 2048
"""Readings kept a rail; on longer runs every second one is forgotten, so that a run of days stays small."""
_LEAST_COVERED = 0.5
"""Share of a stretch that readings must span; what is known of less would be a guess."""


@dataclass(frozen=True)
class RailEnergy:
    """What one rail used in a stretch of time."""

    rail: Rail
    joules: float | None
    """None: readings span less than half of the stretch, or the counter was set back."""
    watts: float | None
    """Mean power."""
    readings: int
    missed: int
    """Readings that failed; the time around them is interpolated."""


@dataclass(frozen=True)
class Energy:
    """What a machine used in a stretch of time."""

    started_ns: int
    ended_ns: int
    rails: tuple[RailEnergy, ...]

    @property
    def seconds(self) -> float:
        """Length of the stretch."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def included(self) -> tuple[str, ...]:
        """Names of the rails in the total."""
        return tuple(one.rail.name for one in self._counted())

    @property
    def joules(self) -> float | None:
        """Sum of the counted rails; None where there is none."""
        values = [one.joules for one in self._counted() if one.joules is not None]
        return sum(values) if values else None

    @property
    def watts(self) -> float | None:
        """Mean power of the counted rails."""
        return None if self.joules is None or self.seconds == 0 else self.joules / self.seconds

    def _counted(self) -> list[RailEnergy]:
        return [one for one in self.rails if one.rail.counted and one.joules is not None]


def per_frame(energy: Energy, frames: int, *, idle_watts: float | None = None) -> float | None:
    """Return joules per frame; None where the energy is not known, or without frames.

    With ``idle_watts``, the machine's power before the run, only what the run added to it. Below 0 where the machine
    used less during the run than before. Raises :class:`InputError` for a negative number of frames.
    """
    if frames < 0:
        raise InputError(f"joules per frame: got {frames} frames, expected 0 or more")
    if energy.joules is None or frames == 0:
        return None
    return (energy.joules - (idle_watts or 0.0) * energy.seconds) / frames


class EnergyMeter:
    """Adds up the readings of one rail. Times come in rising order, in nanoseconds. Not thread-safe."""

    def __init__(self, rail: Rail) -> None:
        self.rail = rail
        self._times_ns: list[int] = []
        self._energies_uj: list[float] = []
        """Energy so far at each of these times."""
        self._tail = (0, 0.0)
        """Time of the newest reading, and the energy so far."""
        self._last: int | None = None
        self._last_ns = 0
        self._readings = self._missed = 0
        self._every = 1
        self._set_back = False

    def add(self, value: int | None, at_ns: int) -> None:
        """Add a reading, in the rail's unit; None counts as missed. Raises :class:`InputError` for a past time."""
        if value is None:
            self._missed += 1
            return
        if self._last is None:
            self._keep(0.0, at_ns)
        else:
            if at_ns < self._last_ns:
                raise InputError(
                    f"rail {self.rail.name}: got a reading at {at_ns} ns, expected {self._last_ns} or more"
                )
            so_far = self._tail[1] + self._step_uj(self._last, value, at_ns - self._last_ns)
            self._keep(so_far, at_ns)
        self._last, self._last_ns = value, at_ns
        self._readings += 1

    def between(self, started_ns: int, ended_ns: int) -> RailEnergy:
        """Return the energy of a stretch. Readings that begin or end within it stand for all of it, at their mean.

        Raises :class:`InputError` for an end before the start.
        """
        if ended_ns < started_ns:
            raise InputError(f"energy: got {started_ns} to {ended_ns} ns, expected an end after the start")
        joules = watts = None
        if self._times_ns and not self._set_back:
            first, last = max(started_ns, self._times_ns[0]), min(ended_ns, self._last_ns)
            if last > first and last - first >= _LEAST_COVERED * (ended_ns - started_ns):
                watts = (self._at(last) - self._at(first)) * 1e3 / (last - first)
                joules = watts * (ended_ns - started_ns) / 1e9
        return RailEnergy(self.rail, joules, watts, self._readings, self._missed)

    def _step_uj(self, before: int, now: int, elapsed_ns: int) -> float:
        if self.rail.kind == "power":
            return (before + now) / 2 * elapsed_ns / 1e9
        if now >= before:
            return now - before
        if self.rail.wraps_at_uj is not None and before <= self.rail.wraps_at_uj:
            return now + self.rail.wraps_at_uj - before
        self._set_back = True
        return 0.0

    def _keep(self, energy_uj: float, at_ns: int) -> None:
        self._tail = (at_ns, energy_uj)
        if self._readings % self._every == 0:
            self._times_ns.append(at_ns)
            self._energies_uj.append(energy_uj)
            if len(self._times_ns) > MOST_POINTS:
                del self._times_ns[1::2], self._energies_uj[1::2]
                self._every *= 2

    def _at(self, at_ns: int) -> float:
        """Return the energy so far at a time within the readings."""
        times: Sequence[int] = self._times_ns
        after = bisect_right(times, at_ns)
        t0, e0 = times[after - 1], self._energies_uj[after - 1]
        t1, e1 = (times[after], self._energies_uj[after]) if after < len(times) else self._tail
        return e0 if t1 <= t0 else e0 + (e1 - e0) * (at_ns - t0) / (t1 - t0)
