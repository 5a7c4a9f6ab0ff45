"""The machine around one run: state before, what happened meanwhile, state after, energy; in one context manager."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from googlenet_edge.errors import InputError
from googlenet_edge.latency.watch.document import energy_document, record_document, states_document
from googlenet_edge.latency.watch.energy import Energy
from googlenet_edge.latency.watch.instruments import Instruments, open_instruments
from googlenet_edge.latency.watch.sampler import MachineSampler, SamplerConfig, SamplerRecord, watch_idle
from googlenet_edge.latency.watch.state import MachineState, concerns, machine_state
from googlenet_edge.latency.watch.tables import energy_notes, sampler_notes, state_notes
from googlenet_edge.types import Clock

__all__ = ["RunWatch", "WatchConfig"]


@dataclass(frozen=True)
class WatchConfig:
    """What to watch. Raises :class:`InputError` for a negative time."""

    power: bool = True
    """Read power meters. On a Jetson whose sensors cannot be read as files this starts tegrastats."""
    idle_s: float = 0.0
    """Measure the idle machine's power for so long before the run; 0: not at all."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.idle_s < float("inf"):
            raise InputError(f"idle power: got {self.idle_s} s, expected 0 or more")


class RunWatch:
    """Watches the machine from entering to leaving the context; what it has to say is there afterwards.

    Entering takes a few hundredths of a second, and ``idle_s`` more; ``stop`` ends that wait early.
    """

    before: MachineState
    idle: Energy | None = None

    def __init__(
        self,
        config: WatchConfig | None = None,
        *,
        root: Path = Path("/"),
        stop: threading.Event | None = None,
        clock: Clock = time.monotonic_ns,
    ) -> None:
        self._config = config or WatchConfig()
        self._root = root
        self._stop = stop
        self._clock = clock
        self._instruments: Instruments | None = None
        self._sampler: MachineSampler | None = None
        self._after: MachineState | None = None

    def __enter__(self) -> RunWatch:
        self._instruments = open_instruments(self._root, power=self._config.power)
        try:
            self.before = self._look(self._instruments)
            if self._config.idle_s:
                self.idle = watch_idle(self._instruments, self._config.idle_s, stop=self._stop)
            self._sampler = MachineSampler(self._instruments, self._config.sampler, clock=self._clock)
            self._sampler.start()
        except BaseException:
            self._instruments.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sampler is None or self._instruments is None:
            return
        hung = True
        try:
            self._sampler.stop()
            hung = self._sampler.hung
            self._after = self._look(self._instruments)
        finally:
            if not hung:  # a thread that is still in a driver must not find its library shut down
                self._instruments.close()

    @property
    def after(self) -> MachineState:
        """The state after the run. Raises :class:`InputError` before its end."""
        if self._after is None:
            raise InputError("watch: the run has not ended yet, expected this after the context manager")
        return self._after

    @property
    def record(self) -> SamplerRecord:
        """What was seen meanwhile. Raises :class:`InputError` before the run's end."""
        return self._ended().record()

    def energy(self, started_ns: int | None = None, ended_ns: int | None = None) -> Energy:
        """Return the energy of the run, or of a stretch of it, such as that of the measured frames.

        Raises :class:`InputError` before the run's end, and for an end before the start.
        """
        record = self.record
        return self._ended().energy(
            record.started_ns if started_ns is None else started_ns, record.ended_ns if ended_ns is None else ended_ns
        )

    def document(self, energy: Energy, frames: int) -> dict[str, object]:
        """Return all as JSON values: ``state``, ``watch``, ``energy``. ``frames`` is how many the energy was for."""
        record = self.record
        return {
            "state": states_document(self.before, self.after),
            "watch": record_document(record),
            "energy": energy_document(energy, frames, record.unreadable, idle=self.idle),
        }

    def notes(self, energy: Energy, frames: int) -> list[str]:
        """Return what the terminal should say: doubts about the machine, what changed, throttling, energy."""
        record = self.record
        idle_watts = None if self.idle is None else self.idle.watts
        return [
            *concerns(self.before),
            *state_notes(self.before, self.after),
            *sampler_notes(record),
            *energy_notes(energy, frames, record.unreadable, idle_watts=idle_watts),
        ]

    def _look(self, instruments: Instruments) -> MachineState:
        return machine_state(self._root, nvml=instruments.nvml, clock=self._clock)

    def _ended(self) -> MachineSampler:
        if self._sampler is None:
            raise InputError("watch: it was not started, expected this after the context manager")
        return self._sampler
