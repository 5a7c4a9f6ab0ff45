"""What the tests watch a run with: a sink that reads the numbers, a run on a thread, and what a process holds."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet_edge.sinks.sink import Sink
from googlenet_edge.types import Frame, Prediction
from tests.streams.numbered import NotNumberedError, Number
from tests.streams.reading import read_number

if TYPE_CHECKING:
    from googlenet_edge.stream import StreamReport

PATIENCE_S = 60.0
"""Nothing takes that long unless something is wrong: then the test fails instead of hanging."""


@dataclass(frozen=True)
class Seen:
    """One result, with what its picture says."""

    camera: str | None
    sequence: int
    number: Number | None
    """None for a picture that is damaged."""
    size: tuple[int, int]
    captured_ns: int
    dequeued_ns: int
    preprocessed_ns: int
    inferred_ns: int
    emitted_ns: int


@dataclass
class Watcher(Sink):
    """Reads the number of each picture that is emitted, and notes when cameras are lost."""

    on_emit: Callable[[int], None] = lambda _count: None
    seen: list[Seen] = field(default_factory=list)
    lost_ns: list[tuple[str | None, int]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        try:
            number = read_number(frame.image)
        except NotNumberedError:
            number = None
        height, width = frame.image.shape[:2]
        trace = prediction.trace
        times = (frame.captured_ns, trace.dequeued_ns, trace.preprocessed_ns, trace.inferred_ns, time.monotonic_ns())
        with self.changed:
            self.seen.append(Seen(frame.camera, frame.sequence, number, (width, height), *times))
            self.changed.notify_all()
        self.on_emit(len(self.seen))

    def lost(self, camera: str | None) -> None:
        with self.changed:
            self.lost_ns.append((camera, time.monotonic_ns()))
            self.changed.notify_all()

    def reopen(self) -> None: ...

    def close(self) -> None: ...

    def wait_for(self, condition: Callable[[], object], what: str = "it") -> None:
        """Wait until the condition holds, looking at it after each result and loss."""
        limit = time.monotonic() + PATIENCE_S
        with self.changed:
            while not condition():
                assert self.changed.wait(limit - time.monotonic()) or condition(), f"{what} never happened"

    def wait_for_frames(self, more: int, camera: str | None = None) -> None:
        """Wait for so many further results."""
        wanted = len(self.of(camera)) + more
        self.wait_for(lambda: len(self.of(camera)) >= wanted, f"{more} more frames of {camera}")

    def wait_for_size(self, size: tuple[int, int]) -> None:
        """Wait until a picture of this width and height is emitted."""
        self.wait_for(lambda: self.seen[-1].size == size, f"the size {size}")

    def of(self, camera: str | None = None) -> list[Seen]:
        """The results of one camera, or of all."""
        return [seen for seen in list(self.seen) if camera is None or seen.camera == camera]


class Run:
    """A run on a thread of its own, so that the test can play the camera. A context manager: stops it."""

    def __init__(self, function: Callable[[threading.Event], StreamReport]) -> None:
        self._function = function
        self._report: StreamReport | None = None
        self._error: BaseException | None = None
        self.stop = threading.Event()
        self.ended_ns = 0
        self._thread = threading.Thread(target=self._run, name="the test's run", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._report = self._function(self.stop)
        except BaseException as error:  # noqa: BLE001 - raised in report()
            self._error = error
        self.ended_ns = time.monotonic_ns()

    def end(self) -> StreamReport:
        """Stop the run and return its report."""
        self.stop.set()
        return self.report()

    def report(self) -> StreamReport:
        """Wait for the run's own end and return its report."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the run does not end"
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(PATIENCE_S)


def show(line: str) -> None:
    """Print a figure for whoever runs pytest with -s."""
    sys.stdout.write(f"\n{line}\n")


def wait_until(condition: Callable[[], object], what: str = "it", *, within_s: float = PATIENCE_S) -> None:
    """Wait for something that another thread or process brings about."""
    limit = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < limit, f"{what} never happened"
        time.sleep(0.005)


@dataclass(frozen=True)
class Held:
    """What a process holds that it must give back."""

    threads: frozenset[str]
    children: frozenset[int]
    descriptors: tuple[str, ...]
    """What each open one leads to, as the kernel names it: two of one name may be of different times."""

    def __sub__(self, before: Held) -> str:
        """Say what there is more than before; "" for nothing."""
        more = [f"thread {name}" for name in sorted(self.threads - before.threads)]
        more += [f"process {pid}" for pid in sorted(self.children - before.children)]
        if (count := len(self.descriptors) - len(before.descriptors)) > 0:
            new = sorted(set(self.descriptors) - set(before.descriptors))
            more.append(f"{count} descriptors, to some of {new or self.descriptors}")
        return ", ".join(more)


def held(*, besides: Collection[int] = ()) -> Held:
    """What this process holds now, without the processes ``besides``."""
    threads = frozenset(f"{thread.name} ({thread.ident})" for thread in threading.enumerate())
    return Held(threads, children_of(os.getpid()) - set(besides), _descriptors())


def _descriptors() -> tuple[str, ...]:
    leads_to: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that this very list was read through
            leads_to.append(str(descriptor.readlink()))
    return tuple(sorted(leads_to))


def let_go(before: Held, *, besides: Collection[int] = (), within_s: float = 1.0) -> str:
    """Wait until nothing is held that was not before, and say what still is after the time; "" for nothing."""
    limit = time.monotonic() + within_s
    while (left := held(besides=besides) - before) and time.monotonic() < limit:
        time.sleep(0.01)
    return left


def children_of(pid: int) -> frozenset[int]:
    """The processes that a process has started and that have not ended, and those that these have."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):  # it ended
                continue
    found: set[int] = set()
    todo = {pid}
    while todo:
        todo = {child for child, parent in parents.items() if parent in todo} - found
        found |= todo
    return frozenset(found)


def memory_bytes(*, besides: Collection[int] = ()) -> int:
    """The resident memory of this process and all that it has started, without the processes ``besides``."""
    total = 0
    for one in (os.getpid(), *children_of(os.getpid()) - set(besides)):
        try:
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
    return total
