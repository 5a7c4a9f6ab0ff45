"""Looks at the machine every second or two while a run goes on: clocks, temperatures, throttling, power.

It costs next to nothing: what each turn of the thread takes is read from its own CPU clock, and looks become rarer
where they would take more than 0.02 % of a core.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.energy import Energy, EnergyMeter
from googlenet_edge.latency.watch.instruments import Instruments
from googlenet_edge.latency.watch.sensors.rail import Channel, Unreadable
from googlenet_edge.latency.watch.timeline import Episode, EpisodeLog, Span, Timeline
from googlenet_edge.types import Clock

__all__ = ["MOST_OF_A_CORE", "MachineSampler", "SamplerConfig", "SamplerRecord", "watch_idle"]

_logger = logging.getLogger(__name__)

MOST_OF_A_CORE = 0.0002
"""Looks become rarer where they would take a larger share of a core; at 30 frames/s this is 7 microseconds a frame."""
LONGEST_S = 30.0
JOIN_S = 0.8
"""Longest wait for the thread in :meth:`MachineSampler.stop`: a look may hang in a driver, and a run shall end within a
second."""


@dataclass(frozen=True)
class SamplerConfig:
    """How often to look. Raises :class:`InputError` for an interval that is no number from 1 to 30."""

    interval_s: float = 1.0
    capacity: int = 1024
    """Spans of the timeline that are kept."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.interval_s) and 1.0 <= self.interval_s <= LONGEST_S):
            raise InputError(f"sampler: got an interval of {self.interval_s} s, expected 1 to {LONGEST_S:g}")


@dataclass(frozen=True)
class SamplerRecord:
    """What was seen during a run. Times are of the host's monotonic clock, in nanoseconds.

    The first look is just before the start, and the last just after the end.
    """

    started_ns: int
    ended_ns: int
    channels: tuple[Channel, ...]
    spans: tuple[Span, ...]
    episodes: tuple[Episode, ...]
    episodes_dropped: int
    energy: Energy
    unreadable: tuple[Unreadable, ...]
    """Power meters that give nothing, and why."""
    looks: int
    cpu_share: float
    """Of one core, that the looks took."""
    error: str | None = None
    """Why looking ended early; None: it did not."""


class MachineSampler:
    """Looks at a machine on a thread of its own, from :meth:`start` to :meth:`stop`, or as a context manager.

    It reads ``instruments``, and does not close them. It looks once at the start, on the caller's thread, and once at
    the end, so that even a short run has two readings of energy.
    """

    def __init__(
        self,
        instruments: Instruments,
        config: SamplerConfig | None = None,
        *,
        clock: Clock = time.monotonic_ns,
        at_end: Callable[[], None] | None = None,
    ) -> None:
        """``at_end`` is called after the last look, on the same thread: so what hangs there does not hang the run."""
        self._instruments = instruments
        self._config = config or SamplerConfig()
        self._clock = clock
        self._at_end = at_end
        self._timeline = Timeline(
            [channel for probe in instruments.probes for channel in probe.channels], self._config.capacity
        )
        self._log = EpisodeLog()
        self._meters = [[EnergyMeter(rail) for rail in meter.rails] for meter in instruments.meters]
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started_ns = self._ended_ns = 0
        self._cpu_ns = 0
        self._error: str | None = None

    def __enter__(self) -> MachineSampler:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Look once, and then go on looking. Raises :class:`InputError` if it was started before."""
        if self._thread is not None:
            raise InputError("sampler: it was started before; make a new one")
        self._guarded(self.look)
        self._started_ns = self._clock()  # the looks at both ends lie outside, so that readings span all of the run
        self._thread = threading.Thread(target=self._run, name="machine-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End looking, with a last look; within about a second. Calls after the first do nothing."""
        if self._thread is None or self._stop.is_set():
            return
        self._ended_ns = self._clock()
        self._stop.set()
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            self._error = f"a look at the machine did not return within {JOIN_S:g} s"

    @property
    def hung(self) -> bool:
        """Whether its thread is still in a look that does not return: the instruments must stay open then."""
        return self._thread is not None and self._thread.is_alive()

    def look(self) -> None:
        """Look once at everything. For the thread; a test calls it instead of starting one."""
        causes: list[str] = []
        values: list[float | None] = []
        for probe in self._instruments.probes:
            seen = probe.look()
            values += seen.values
            causes += seen.throttles
        now_ns = self._clock()
        self._timeline.add(values, now_ns)
        self._log.add(list(dict.fromkeys(causes)), now_ns)
        for meter, rails in zip(self._instruments.meters, self._meters, strict=True):
            readings = meter.read()
            now_ns = self._clock()
            for rail, value in zip(rails, readings, strict=True):
                rail.add(value, now_ns)

    def record(self) -> SamplerRecord:
        """Return what was seen. Raises :class:`InputError` before :meth:`stop`."""
        if not self._stop.is_set():
            raise InputError("sampler: it is not stopped yet, expected stop() before record()")
        return SamplerRecord(
            started_ns=self._started_ns,
            ended_ns=self._ended_ns,
            channels=self._timeline.channels,
            spans=self._timeline.spans(),
            episodes=self._log.episodes(),
            episodes_dropped=self._log.dropped,
            energy=self.energy(self._started_ns, self._ended_ns),
            unreadable=tuple(self._instruments.unreadable),
            looks=self._timeline.looks,
            cpu_share=self._cpu_ns / max(1, self._ended_ns - self._started_ns),
            error=self._error,
        )

    def energy(self, started_ns: int, ended_ns: int) -> Energy:
        """Return the energy of a stretch of the run, such as that of the measured frames. After :meth:`stop`."""
        rails = [rail.between(started_ns, ended_ns) for meter in self._meters for rail in meter]
        return Energy(started_ns, ended_ns, tuple(rails))

    def _run(self) -> None:
        if self._error is None and self._look_until_stopped():
            self._guarded(self.look)
        if self._at_end is not None:
            self._stop.wait()
            self._guarded(self._at_end)

    def _look_until_stopped(self) -> bool:
        """Look now and then; return False where a sensor failed before the end."""
        interval_s = self._config.interval_s
        before_ns = time.thread_time_ns()
        while not self._stop.wait(interval_s):
            if not self._guarded(self.look):
                return False
            # Falling asleep and waking up are in it: after a second's rest they cost half as much as the look itself.
            after_ns = time.thread_time_ns()
            before_ns, cost_ns = after_ns, after_ns - before_ns
            self._cpu_ns += cost_ns
            wanted_s = cost_ns / 1e9 / MOST_OF_A_CORE
            # Falls slowly, so that one dear look does not set the pace for the rest.
            interval_s = min(LONGEST_S, max(self._config.interval_s, wanted_s, 0.5 * interval_s))
        return True

    def _guarded(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a sensor's fault must not end the run; it is in the record
            _logger.warning("the machine is no longer watched: %s", error)
            self._error = f"{type(error).__name__}: {error}"
            return False
        return True


def watch_idle(instruments: Instruments, seconds: float) -> Energy:
    """Measure what the machine uses before a run. Raises :class:`InputError` for a time that is not above 0."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"idle power: got {seconds} s, expected more than 0")
    with MachineSampler(instruments) as sampler:
        time.sleep(seconds)
    return sampler.record().energy
