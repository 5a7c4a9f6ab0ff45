"""A backend of two slots that computes when the test says so, and cameras that deliver when it does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import pytest

from googlenet_edge.errors import GoogLeNetEdgeError
from googlenet_edge.runtime.backend import Backend, Outputs, check_batch
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.stream import StreamConfig, StreamReport, run_stream
from googlenet_edge.types import Frame, ImageArray, Outages, Prediction, TensorSpec

MS = 1_000_000
SLOTS = 2
CLASSES = 5
TIMEOUT_S = 60
"""Nothing here waits that long unless something is wrong: then the test fails instead of hanging."""


@dataclass
class FakeClock:
    now_ns: int = 50_000 * MS

    def __call__(self) -> int:
        return self.now_ns


class Ticket:
    ready_ns: int | None = None

    def __init__(self, device: Device, slot: int, frames: int, number: int) -> None:
        self.device, self.slot, self.frames, self.number = device, slot, frames, number
        self.outputs: Outputs | None = None
        self.error: GoogLeNetEdgeError | None = None
        self.gone = False
        self.device_stage_ns = (("compute", 5),)

    def result(self) -> Outputs:
        with self.device.changed:
            assert not self.gone, "a result is had once, and never after a withdrawal"
            self.device.wait(lambda: self.outputs is not None or self.error is not None)
            self.gone = True
            self.device.free(self.slot)
            if self.error is not None:
                raise self.error
            assert self.outputs is not None
            return self.outputs

    def done(self) -> bool:
        with self.device.changed:
            return self.outputs is not None or self.error is not None

    def withdraw(self) -> bool:
        with self.device.changed:
            if self not in self.device.waiting:
                return False
            self.device.waiting.remove(self)
            self.gone = True
            self.device.free(self.slot)
            return True


class Device:
    """A backend of two slots. The class of a frame is its brightness modulo 5.

    A frame is read at the end of its computation, and a slot that is free holds 255s: who gives a buffer back too
    early, or writes into one too early, gets wrong classes.
    """

    def __init__(self, max_batch: int = 1) -> None:
        self.max_batch = max_batch
        self.changed = threading.Condition()
        self.buffers = np.full((SLOTS, max_batch, 224, 224, 3), 255, dtype=np.uint8)
        self.free_slots = list(range(SLOTS))
        self.waiting: deque[Ticket] = deque()
        self.running: Ticket | None = None
        self.submitted = 0
        self.holds: list[bool] = []
        self.begun: list[list[int]] = []  # the brightness of each frame, batch by batch
        self.on_begin: Callable[[], None] = lambda: None
        self.closed = False
        self.fail_at: dict[int, GoogLeNetEdgeError] = {}  # by number of the submission, while computing
        self.refuse_at: dict[int, Exception] = {}  # by number of the submission, in submit
        self.thread: threading.Thread | None = None

    @property
    def input(self) -> TensorSpec:
        return TensorSpec("image", ("N", 224, 224, 3), "uint8")

    @property
    def outputs(self) -> tuple[TensorSpec, TensorSpec]:
        return TensorSpec("logits", ("N", CLASSES), "float32"), TensorSpec("probabilities", ("N", CLASSES), "float32")

    @property
    def slots(self) -> int:
        return SLOTS

    @contextmanager
    def staging(self, frames: int) -> Iterator[ImageArray]:
        with self.changed:
            self.wait(lambda: self.free_slots)
            slot = self.free_slots.pop(0)
        used = self.submitted
        try:
            yield self.buffers[slot, :frames]
        finally:
            with self.changed:
                if self.submitted == used:
                    self.free(slot)

    def submit(self, batch: ImageArray, *, hold: bool = False) -> Ticket:
        check_batch(batch, self.input, self.max_batch)
        with self.changed:
            if self.submitted in self.refuse_at:
                raise self.refuse_at[self.submitted]
            slot = next(i for i in range(SLOTS) if np.shares_memory(batch, self.buffers[i]))
            ticket = Ticket(self, slot, len(batch), self.submitted)
            self.waiting.append(ticket)
            self.holds.append(hold)
            self.submitted += 1
            self._begin()
            self.changed.notify_all()
            return ticket

    def infer(self, batch: ImageArray) -> Outputs:
        return self.submit(batch).result()

    def describe(self) -> dict[str, str]:
        return {"backend": "stand-in"}

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        if self.thread is not None:
            self.thread.join(TIMEOUT_S)

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What the test does to it.

    def finish(self) -> None:
        """Compute what is begun, or will be, and begin with the next."""
        with self.changed:
            self.wait(lambda: self.running is not None)
            self._finish()

    def run_freely(self) -> Device:
        """Compute from now on whatever comes, on a thread that ``close`` ends."""
        self.thread = threading.Thread(target=self._run_freely, name="device")
        self.thread.start()
        return self

    def wait_for_submissions(self, count: int) -> None:
        with self.changed:
            self.wait(lambda: self.submitted >= count)

    # With ``changed`` held.

    def wait(self, condition: Callable[[], object]) -> None:
        if not self.changed.wait_for(condition, TIMEOUT_S):
            raise AssertionError("waited for something that does not come")

    def free(self, slot: int) -> None:
        self.buffers[slot] = 255
        self.free_slots.append(slot)
        self.changed.notify_all()

    def _begin(self) -> None:
        if self.running is None and self.waiting:
            self.running = self.waiting.popleft()
            self.begun.append(self.buffers[self.running.slot, : self.running.frames, 0, 0, 0].tolist())
            self.on_begin()
            self.changed.notify_all()

    def _finish(self) -> None:
        ticket, self.running = self.running, None
        assert ticket is not None
        logits = np.zeros((ticket.frames, CLASSES), np.float32)
        for image, row in zip(self.buffers[ticket.slot], logits, strict=False):
            brightness = np.unique(image)
            assert len(brightness) == 1, "a frame was written to while it was computed"
            row[int(brightness[0]) % CLASSES] = 1
        ticket.error = self.fail_at.pop(ticket.number, None)
        ticket.outputs = logits, logits.copy()
        self._begin()
        self.changed.notify_all()

    def _run_freely(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.closed or self.running is not None)
                if self.running is None:
                    return
                self._finish()


class PushedSource:
    """A source whose frames come when the test pushes them. Frame n is of brightness n modulo 250."""

    labels: tuple[str, ...] | None = None

    def __init__(self, clock: FakeClock, *, live: bool = True, name: str = "pushed") -> None:
        self.clock, self.live, self.description = clock, live, name
        self.device: Device | None = None
        self.connected, self.outages = True, Outages()
        self.changed = threading.Condition()
        self.frames: deque[Frame | BaseException | None] = deque()
        self.asked = 0
        self.taken: list[int] = []
        self.sequence = 0
        self.pushed = 0
        self.dropped = 0
        self.closed = 0
        self.on_ask: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Frame]:
        while True:
            with self.changed:
                self.asked += 1
                self.on_ask()
                self.changed.notify_all()
                assert self.changed.wait_for(lambda: self.frames or self.closed, TIMEOUT_S)
                frame = self.frames.popleft() if self.frames else None
                if frame is None:
                    return
                if isinstance(frame, BaseException):
                    raise frame
                self.taken.append(frame.sequence)
            yield frame

    def __enter__(self) -> PushedSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self.changed:
            self.closed += 1
            self.changed.notify_all()

    def push(self, count: int = 1) -> None:
        """Deliver frames, captured now."""
        with self.changed:
            for _ in range(count):
                image = np.full((224, 224, 3), self.sequence % 250, np.uint8)
                self.frames.append(Frame(image, self.sequence, self.clock()))
                self.sequence += 1
                self.pushed += 1
            self.changed.notify_all()

    def drop(self) -> None:
        """Lose a frame, as a camera's reader does when nobody takes it."""
        self.sequence += 1
        self.dropped += 1

    def end(self, error: BaseException | None = None) -> None:
        with self.changed:
            self.frames.append(error)
            self.changed.notify_all()

    def push_and_settle(self) -> None:
        """Deliver a frame and wait until it has been submitted."""
        assert self.device is not None
        with self.device.changed:
            submitted = self.device.submitted
        self.push()
        self.device.wait_for_submissions(submitted + 1)

    def wait_until_asked(self, count: int = 1) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.asked >= count, TIMEOUT_S)


@dataclass
class CheckingSink(Sink):
    """Checks that each result is that of its frame."""

    seen: list[int] = field(default_factory=list)
    cameras: list[str | None] = field(default_factory=list)
    losses: list[str | None] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)
    on_emit: Callable[[int], None] = lambda _count: None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        assert prediction.class_id == frame.sequence % 250 % CLASSES
        assert prediction.trace.sequence == frame.sequence
        assert prediction.trace.device_stage_ns == (("compute", 5),)
        with self.changed:
            self.seen.append(frame.sequence)
            self.cameras.append(frame.camera)
            self.ages_ms.append((prediction.trace.inferred_ns - frame.captured_ns) / MS)
            self.changed.notify_all()
        self.on_emit(len(self.seen))

    def lost(self, camera: str | None) -> None:
        with self.changed:
            self.losses.append(camera)
            self.changed.notify_all()

    def close(self) -> None: ...

    def of(self, camera: str) -> list[int]:
        """The frames of one camera."""
        return [sequence for sequence, name in zip(self.seen, self.cameras, strict=True) if name == camera]

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.seen) >= count, TIMEOUT_S)


class Run:
    """``run_stream`` on a thread of its own, so that the test can play camera and device."""

    def __init__(self, function: Callable[[], StreamReport]) -> None:
        self._function = function
        self._report: StreamReport | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._report = self._function()
        except BaseException as error:  # noqa: BLE001 - raised in report()
            self._error = error

    def report(self) -> StreamReport:
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(("feed ", "loop", "device"))]
    assert not left


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def sink() -> CheckingSink:
    return CheckingSink()


@pytest.fixture
def make_source(clock: FakeClock) -> Callable[..., PushedSource]:
    return partial(PushedSource, clock)


@pytest.fixture
def make_classifier(tiny_bundle: Path, clock: FakeClock) -> Iterator[Callable[[Device], Classifier]]:
    made = []

    def make(device: Device) -> Classifier:
        backend: Backend = device
        made.append(Classifier(tiny_bundle, backend=backend, clock=clock, golden_frames=0))
        return made[-1]

    yield make
    for classifier in made:
        classifier.close()


Start: TypeAlias = Callable[..., tuple[Run, Device, PushedSource, CheckingSink]]


@pytest.fixture
def start(make_classifier: Callable[[Device], Classifier], clock: FakeClock) -> Start:
    """Starts a run whose camera and device are in the test's hands."""

    def begin(
        *, live: bool = True, stop: threading.Event | None = None, on_emit: Any = None, **config: Any
    ) -> tuple[Run, Device, PushedSource, CheckingSink]:
        device, source = Device(), PushedSource(clock, live=live)
        source.device = device
        sink = CheckingSink() if on_emit is None else CheckingSink(on_emit=on_emit)
        classifier = make_classifier(device)
        settings = StreamConfig(**{"warmup_frames": 0, **config})
        run = Run(lambda: run_stream(source, classifier, [sink], settings, clock=clock, stop=stop))
        return run, device, source, sink

    return begin
