"""The machine around one run: state before, what happened meanwhile, state after, energy; in one context manager."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from googlenet_edge.errors import InputError
from googlenet_edge.latency.machine import MachineInfo, machine_info
from googlenet_edge.latency.summary import RunTimes
from googlenet_edge.latency.watch.document import energy_document, record_document, states_document
from googlenet_edge.latency.watch.energy import Energy
from googlenet_edge.latency.watch.instruments import Instruments, open_instruments
from googlenet_edge.latency.watch.sampler import MachineSampler, SamplerConfig, SamplerRecord, watch_idle
from googlenet_edge.latency.watch.state import MachineState, machine_state
from googlenet_edge.types import Clock

__all__ = ["RunWatch", "WatchConfig"]


@dataclass(frozen=True)
class WatchConfig:
    """What to watch. Raises :class:`InputError` for a negative time, and for idle power without power."""

    power: bool = True
    """Read power meters. On a Jetson whose sensors cannot be read as files this starts tegrastats."""
    idle_s: float = 0.0
    """Measure the idle machine's power for so long before the run; 0: not at all."""
    sampler: SamplerConfig = field(default_factory=SamplerConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.idle_s < float("inf"):
            raise InputError(f"idle power: got {self.idle_s} s, expected 0 or more")
        if self.idle_s and not self.power:
            raise InputError(f"idle power: got {self.idle_s} s and no power to be measured, expected one of the two")


class RunWatch:
    """Watches the machine around a run.

    Entering looks at it for the first time, before anything has warmed it up; :meth:`start` begins the looks that go on
    during the run, :meth:`end` ends them with the state after it, and what there is to say is there from then on.
    Leaving the context closes all, and ends what has not ended.

    Entering takes a few hundredths of a second, and ``idle_s`` more where there is a power meter. :meth:`end` takes a
    second at most, also where a driver hangs.
    """

    machine: MachineInfo
    before: MachineState
    after: MachineState | None = None
    """None until the end, and where looking failed or hung: then the record has the reason."""
    idle: Energy | None = None

    def __init__(
        self,
        config: WatchConfig | None = None,
        *,
        root: Path = Path("/"),
        clock: Clock = time.monotonic_ns,
    ) -> None:
        """``clock`` must be the one by which frames are stamped."""
        self._config = config or WatchConfig()
        self._root = root
        self._clock = clock
        self._instruments: Instruments | None = None
        self._sampler: MachineSampler | None = None

    def __enter__(self) -> RunWatch:
        self._instruments = open_instruments(self._root, power=self._config.power)
        try:
            self.machine = machine_info(self._root)
            self.before = self._look()
            if self._config.idle_s and self._instruments.meters:
                self.idle = watch_idle(self._instruments, self._config.idle_s)
        except BaseException:
            self._instruments.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        finally:
            # A thread that is still in a driver must not find its library shut down.
            if self._instruments is not None and not (self._sampler is not None and self._sampler.hung):
                self._instruments.close()

    def start(self) -> None:
        """Begin to look every second or two. Raises :class:`InputError` outside the context, or a second time."""
        if self._instruments is None or self._sampler is not None:
            raise InputError("watch: got a start outside its context manager, or a second one; make a new one")
        self._sampler = MachineSampler(
            self._instruments, self._config.sampler, clock=self._clock, at_end=self._look_after
        )
        self._sampler.start()

    def end(self) -> None:
        """Look for the last time. Does nothing without a start, and a second time."""
        if self._sampler is not None:
            self._sampler.stop()

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

    def begun(self) -> dict[str, object]:
        """Return what is known before the run, as JSON values: ``state``."""
        return {"state": states_document(self.before, None)}

    def document(self, times: RunTimes | None, frames: int) -> dict[str, object]:
        """Return all as JSON values: ``state``, ``watch``, ``energy``; of what, is in them.

        ``times``: of the run; the energy is that of its measured stretch, in which ``frames`` frames were done. None:
        nothing was measured, and all times are counted from the first look.
        """
        record = self.record
        run_ns = record.started_ns if times is None else times.started_ns
        return {
            "state": states_document(self.before, self.after),
            "watch": record_document(record, run_ns),
            "energy": energy_document(self._measured(times), frames, record.unreadable, idle=self.idle, run_ns=run_ns),
        }

    def _measured(self, times: RunTimes | None) -> Energy:
        return self.energy() if times is None else self.energy(times.measured_from_ns, times.measured_to_ns)

    def _look(self) -> MachineState:
        nvml = None if self._instruments is None else self._instruments.nvml
        return machine_state(self._root, nvml=nvml, clock=self._clock)

    def _look_after(self) -> None:
        self.after = self._look()

    def _ended(self) -> MachineSampler:
        if self._sampler is None:
            raise InputError("watch: it was not started, expected start() and end() before this")
        return self._sampler
