from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from googlenet_edge.errors import OutputError, UsageError
from googlenet_edge.sinks.events import EventsSink
from googlenet_edge.sinks.jsonl import JsonLinesSink
from googlenet_edge.sinks.label_events import EventConfig
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.sinks.tolerant import TolerantSink
from googlenet_edge.types import Frame, Prediction

ResultMaker = Callable[..., tuple[Frame, Prediction]]
SECOND = 1_000_000_000
MESSAGES = "googlenet_edge.sinks.tolerant"


@dataclass
class Clock:
    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Disk(Sink):
    """A sink that writes while there is room."""

    room: bool = True
    written: list[int] = field(default_factory=list)
    reopened_ns: list[int] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        self._need_room()
        self.written.append(frame.sequence)

    def lost(self, camera: str | None) -> None:
        self._need_room()

    def reopen(self) -> None:
        self.reopened_ns.append(self.clock())

    def close(self) -> None:
        self._need_room()

    def _need_room(self) -> None:
        if not self.room:
            raise OutputError("disk: no room")


def test_a_sink_that_works_is_left_alone(make_result: ResultMaker, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    with TolerantSink(lambda: disk, "disk") as sink:
        sink.emit(*make_result(3))
        sink.lost(None)
    assert disk.written == [3]
    assert (sink.name, sink.dropped, sink.failures, sink.last_error) == ("disk", 0, 0, None)
    assert caplog.messages == []


def test_what_cannot_be_written_is_dropped_and_counted(
    make_result: ResultMaker, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    with TolerantSink(lambda: disk, "disk", clock=Clock()) as sink:
        for i in range(10):
            disk.room = i not in (2, 3, 4, 7)
            sink.emit(*make_result(i))
    assert disk.written == [0, 1, 5, 6, 8, 9]
    assert (sink.dropped, sink.failures, sink.last_error) == (4, 2, "disk: no room")
    assert caplog.messages == [
        "disk: disk: no room; the run goes on, and results are dropped until it can be written",
        "disk: goes on after 3 dropped results",
    ], "the second failure came within a minute of the first"


def test_the_log_has_a_line_a_minute_while_it_lasts(make_result: ResultMaker, caplog: pytest.LogCaptureFixture) -> None:
    clock, disk = Clock(), Disk(room=False)
    with TolerantSink(lambda: disk, "disk", clock=clock) as sink:
        for i in range(150 * 25):  # two and a half minutes
            clock.now_ns = i * SECOND // 25
            sink.emit(*make_result(i))
        disk.room = True
        sink.emit(*make_result(0))
    assert [message.split(":")[1].split()[0] for message in caplog.messages] == ["disk", "still", "still", "goes"]
    assert "3001 results dropped" in caplog.messages[2]
    assert caplog.messages[3] == "disk: goes on after 3750 dropped results"


def test_trouble_that_comes_and_goes_does_not_flood_the_log(
    make_result: ResultMaker, caplog: pytest.LogCaptureFixture
) -> None:
    clock, disk = Clock(), Disk()
    with TolerantSink(lambda: disk, "disk", clock=clock) as sink:
        for i in range(120 * 25):
            clock.now_ns = i * SECOND // 25
            disk.room = i % 2 == 1
            sink.emit(*make_result(i))
    assert (sink.dropped, sink.failures) == (1500, 1500)
    assert len(caplog.messages) == 4, "two lines a minute"


def test_while_it_fails_the_output_is_opened_anew_less_and_less_often(make_result: ResultMaker) -> None:
    clock = Clock()
    disk = Disk(room=False, clock=clock)
    with TolerantSink(lambda: disk, "disk", clock=clock) as sink:
        for second in range(130):
            clock.now_ns = second * SECOND
            sink.emit(*make_result(second))
        disk.room = True
        sink.emit(*make_result(0))
        disk.room = False
        for second in range(130, 132):
            clock.now_ns = second * SECOND
            sink.emit(*make_result(second))
        disk.room = True
    assert [at // SECOND for at in disk.reopened_ns] == [1, 3, 7, 15, 31, 61, 91, 121, 131]


def test_a_sink_that_cannot_be_opened_is_tried_again(make_result: ResultMaker, tmp_path: Path) -> None:
    clock, folder = Clock(), tmp_path / "usb-stick"
    path = folder / "results.jsonl"
    folder.write_text("not a folder")
    with TolerantSink(lambda: JsonLinesSink(path), "results", clock=clock) as sink:
        assert sink.failures == 1
        assert sink.last_error is not None
        assert "Not a directory" in sink.last_error
        sink.lost(None)
        sink.reopen()
        for i in range(4):
            clock.now_ns = i * SECOND // 2
            sink.emit(*make_result(i))
        folder.unlink()
        folder.mkdir()
        for i in range(4, 10):
            clock.now_ns = i * SECOND // 2
            sink.emit(*make_result(i))
    assert [json.loads(line)["sequence"] for line in path.read_text().splitlines()] == [6, 7, 8, 9], "at 1 s and 3 s"
    assert sink.dropped == 6
    assert sink.failures == 1


def test_a_mistake_in_the_settings_is_not_tolerated() -> None:
    def open_sink() -> Sink:
        raise UsageError("no such thing")

    with pytest.raises(UsageError):
        TolerantSink(open_sink, "video")


def test_a_defect_is_not_tolerated(make_result: ResultMaker) -> None:
    class Broken(Disk):
        def emit(self, frame: Frame, prediction: Prediction) -> None:
            raise ZeroDivisionError

    sink = TolerantSink(Broken, "broken")
    with pytest.raises(ZeroDivisionError):
        sink.emit(*make_result(0))


def test_closing_never_raises_and_says_what_was_dropped(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    sink = TolerantSink(lambda: disk, "video")
    disk.room = False
    sink.lost("door")
    sink.close()
    sink.close()
    assert (sink.dropped, sink.failures) == (1, 1)
    assert caplog.messages[-1] == "video: ended with 1 results dropped: disk: no room"


def test_other_errors_of_the_system_are_tolerated_too(make_result: ResultMaker) -> None:
    class Raw(Disk):
        def emit(self, frame: Frame, prediction: Prediction) -> None:
            raise OSError(errno.EIO, "Input/output error")

    sink = TolerantSink(Raw, "raw")
    sink.emit(*make_result(0))
    assert sink.dropped == 1
    assert sink.last_error is not None
    assert "Input/output error" in sink.last_error


def test_a_device_that_is_always_full(make_result: ResultMaker, caplog: pytest.LogCaptureFixture) -> None:
    config = EventConfig(appear_ms=0, leave_ms=0)
    with (
        TolerantSink(lambda: JsonLinesSink("/dev/full"), "results") as results,
        TolerantSink(lambda: EventsSink("/dev/full", config), "events") as events,
    ):
        for i in range(5):
            results.emit(*make_result(i))
            events.emit(*make_result(i))
    assert (results.dropped, results.failures) == (5, 1)
    assert (events.dropped, events.failures) == (1, 1), "there was one event, with the first frame"
    assert sum("No space left on device" in message for message in caplog.messages) >= 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB, which only root may mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=65536") != 0:
        pytest.skip(f"a small file system cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)


def test_a_disk_that_fills_up_and_has_room_again(
    make_result: ResultMaker, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, MESSAGES)
    path, filler = small_disk / "results.jsonl", small_disk / "filler"
    filler.write_bytes(bytes(32768))
    with TolerantSink(lambda: JsonLinesSink(path), "results", clock=Clock()) as sink:
        first = 0
        while not sink.dropped:
            sink.emit(*make_result(first))
            first += 1
        full = path.read_bytes()
        assert full.endswith(b"}\n"), "half a line was taken back"
        for i in range(first, first + 20):
            sink.emit(*make_result(i))
        assert path.read_bytes() == full
        filler.unlink()
        for i in range(first + 20, first + 30):
            sink.emit(*make_result(i))
    sequences = [json.loads(line)["sequence"] for line in path.read_text().splitlines()]
    assert sequences == [*range(first - 1), *range(first + 20, first + 30)]
    assert (sink.dropped, sink.failures) == (21, 1)
    assert len(caplog.messages) == 2


def test_a_file_system_that_is_read_only_at_first(make_result: ResultMaker, small_disk: Path) -> None:
    clock, path = Clock(), small_disk / "results.jsonl"
    remount(small_disk, read_only=True)
    with pytest.raises(OutputError, match="Read-only file system"):
        JsonLinesSink(path)
    with TolerantSink(lambda: JsonLinesSink(path), "results", clock=clock) as sink:
        sink.emit(*make_result(0))
        assert sink.last_error is not None
        assert "Read-only file system" in sink.last_error
        remount(small_disk, read_only=False)
        clock.now_ns = 60 * SECOND
        sink.emit(*make_result(1))
    assert [json.loads(line)["sequence"] for line in path.read_text().splitlines()] == [1]
    assert (sink.dropped, sink.failures) == (1, 1)


def remount(folder: Path, *, read_only: bool) -> None:
    """As the kernel does it to a disk with errors (mount(2): MS_REMOUNT and MS_RDONLY)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 32 | int(read_only), b"size=65536") != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def test_a_file_that_was_removed_to_make_room_is_made_anew(make_result: ResultMaker, small_disk: Path) -> None:
    path = small_disk / "results.jsonl"
    with TolerantSink(lambda: JsonLinesSink(path), "results", clock=Clock()) as sink:
        i = 0
        while not sink.dropped:
            sink.emit(*make_result(i))
            i += 1
        path.unlink()
        sink.emit(*make_result(i))
        sink.emit(*make_result(i + 1))
    assert [json.loads(line)["sequence"] for line in path.read_text().splitlines()] == [i, i + 1]


def test_a_reader_of_a_named_pipe_may_come_late_go_and_come_back(make_result: ResultMaker, tmp_path: Path) -> None:
    fifo, clock = tmp_path / "fifo", Clock()
    os.mkfifo(fifo)
    with TolerantSink(lambda: JsonLinesSink(fifo), "results", clock=clock) as sink:
        sink.emit(*make_result(0))
        clock.now_ns = 2 * SECOND
        for i in (1, 4):
            reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            sink.emit(*make_result(i))
            assert json.loads(os.read(reading, 10_000))["sequence"] == i
            os.close(reading)
            sink.emit(*make_result(i + 1))
            sink.emit(*make_result(i + 2))
    assert (sink.dropped, sink.failures) == (5, 3)
