"""The loop's threads played by one, in made-up time: cameras, feeder, device and caller take their steps in turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from googlenet_edge.stream import StreamConfig
from googlenet_edge.stream.feed import Result
from googlenet_edge.stream.lanes import Entry
from googlenet_edge.stream.traffic import Traffic
from googlenet_edge.types import Frame, FrameTrace, Outages, Prediction

MS = 1_000_000
IMAGE = np.zeros((1, 1, 3), np.uint8)


@dataclass
class Plan:
    """A camera: when its frames are captured, in milliseconds."""

    period_ms: int
    offset_ms: int = 0
    frames: int = 40
    live: bool = True

    def delivers_until_ms(self, sequence: int, age_ms: int) -> bool:
        """Say whether it is live, and has delivered newer frames when this one is so old: it need not be older."""
        return self.live and age_ms <= (self.frames - 1 - sequence) * self.period_ms


class SimulatedSource:
    labels = None
    dropped = 0
    connected = True
    outages = Outages()

    def __init__(self, plan: Plan) -> None:
        self.live, self.description = plan.live, "simulated"

    def __iter__(self) -> Iterator[Frame]:
        raise NotImplementedError

    def __enter__(self) -> SimulatedSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def close(self) -> None: ...


class Pending:
    """A batch on the simulated device."""

    def __init__(self, simulation: Simulation, entries: Sequence[Entry], *, hold: bool) -> None:
        self.simulation, self.entries, self.hold = simulation, entries, hold
        self.began_ns: int | None = None
        self.finished = self.gone = False

    def done(self) -> bool:
        return self.finished

    def result(self) -> list[Prediction]:
        assert self.finished
        assert not self.gone
        self.gone = True
        return [
            Prediction(("x",), (0,), (1.0,), FrameTrace(entry.frame.sequence, entry.frame.captured_ns, 0, 0, 0))
            for entry in self.entries
        ]

    def withdraw(self) -> bool:
        if self.began_ns is not None:
            return False
        self.simulation.queue.remove(self)
        self.gone = True
        return True


@dataclass
class Simulation:
    """Runs ``plans`` through :class:`Traffic`, event by event."""

    plans: list[Plan]
    inference_ms: int
    sink_ms: int = 0
    slots: int = 2
    max_batch: int = 8
    config: StreamConfig = field(default_factory=StreamConfig)
    emitted: list[tuple[int, int, int]] = field(default_factory=list)  # camera, sequence, age in ms
    ages_at_begin: list[tuple[int, int, int]] = field(default_factory=list)  # camera, sequence, age in ms
    batches: list[list[int]] = field(default_factory=list)  # the cameras of each batch that began
    prepared: int = 0
    never_ends: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.now_ns = 0
        self.queue: deque[Pending] = deque()
        self.running: Pending | None = None
        self.computing: list[Pending] = []
        sources = [SimulatedSource(plan) for plan in self.plans]
        self.traffic = Traffic(
            sources, self.config, slots=self.slots, max_batch=self.max_batch, now=lambda: self.now_ns
        )
        self.feeder_is_awake = True
        self.traffic._for_feeder.notify = self._wake_feeder  # type: ignore[method-assign]
        self.next_sequence = [0 for _ in self.plans]
        self.sink_free_ns = 0
        self.wait_until_ns: int | None = None

    def run(self) -> None:
        """Play until all cameras have ended and all frames have come out."""
        self.run_until_limit()
        assert all(lane.told or lane.index in self.never_ends for lane in self.traffic.lanes), "frames are left"

    def run_until_limit(self) -> None:
        """Play until nothing happens any more."""
        later = [0]
        while later:
            self.now_ns = min(later)
            self._arrivals()
            self._settle()
            later = [time_ns for time_ns in self._events() if time_ns > self.now_ns]

    def taken(self, camera: int) -> int:
        return self.traffic.lanes[camera].count.taken

    def _events(self) -> Iterator[int]:
        """When something may happen by itself."""
        for lane, plan in zip(self.traffic.lanes, self.plans, strict=True):
            yield self._due_ns(lane.index, plan)
        if self.running is not None and self.running.began_ns is not None:
            yield self.running.began_ns + self.inference_ms * MS
        yield self.sink_free_ns
        if self.wait_until_ns is not None:
            yield self.wait_until_ns

    def _due_ns(self, camera: int, plan: Plan) -> int:
        sequence = self.next_sequence[camera]
        return -1 if sequence == plan.frames else (plan.offset_ms + sequence * plan.period_ms) * MS

    def _arrivals(self) -> None:
        for lane, plan in zip(self.traffic.lanes, self.plans, strict=True):
            # A file is made to wait; a camera's frames come when they come.
            while 0 <= self._due_ns(lane.index, plan) <= self.now_ns and (plan.live or self.traffic.wants(lane)):
                self.traffic.arrived(lane, Frame(IMAGE, self.next_sequence[lane.index], self.now_ns))
                self.next_sequence[lane.index] += 1
                if self.next_sequence[lane.index] == plan.frames and lane.index not in self.never_ends:
                    self.traffic.source_ended(lane, None)
                self._settle()

    def _settle(self) -> None:
        """Let everyone do what can be done now."""
        while self._device() or self._feeder() or self._caller():
            pass

    def _device(self) -> bool:
        if self.running is not None:
            assert self.running.began_ns is not None
            if self.now_ns - self.running.began_ns < self.inference_ms * MS:
                return False
            self.running.finished, finished, self.running = True, self.running, None
            if self.slots == 1:
                self.traffic.computed(finished.entries, finished.result())
            return True
        if self.queue:
            self.running = self.queue.popleft()
            self.running.began_ns = self.now_ns
            self.batches.append([entry.lane.index for entry in self.running.entries])
            for entry in self.running.entries:
                age_ms = (self.now_ns - entry.frame.captured_ns) // MS
                self.ages_at_begin.append((entry.lane.index, entry.frame.sequence, age_ms))
            return True
        return False

    def _wake_feeder(self, n: int = 1) -> None:
        self.feeder_is_awake = True

    def _feeder(self) -> bool:
        if self.slots == 1 and (self.running or self.queue):
            return False  # it computes
        if self.wait_until_ns is not None and self.now_ns >= self.wait_until_ns:
            self.feeder_is_awake = True
        if not self.feeder_is_awake:
            return False
        entries, self.wait_until_ns = self.traffic.due()
        if not entries:
            self.feeder_is_awake = False
            return False
        hold = any(entry.lane.newest for entry in entries)
        pending = Pending(self, entries, hold=hold)
        self.queue.append(pending)
        self.computing.append(pending)
        self.prepared += 1
        if self.slots > 1:
            self.traffic.submitted(entries, pending, hold=hold)
        under_way = [p for p in self.computing if not p.gone]
        assert len(under_way) <= self.slots
        self.computing = under_way
        return True

    def _caller(self) -> bool:
        if self.now_ns < self.sink_free_ns:
            return False
        waits_for_device = any(not p.gone for p in self.computing) and not any(
            p.finished and not p.gone for p in self.computing
        )
        if waits_for_device and not any(lane.ready for lane in self.traffic.lanes):
            return False
        event = self.traffic.next(0)
        if isinstance(event, Result):
            age_ms = (self.now_ns - event.frame.captured_ns) // MS
            self.emitted.append((event.camera, event.frame.sequence, age_ms))
            self.sink_free_ns = self.now_ns + self.sink_ms * MS
        return event is not None
