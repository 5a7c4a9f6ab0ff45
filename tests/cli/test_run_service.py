from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from googlenet_edge.cli.notify import Notifier
from googlenet_edge.cli.run_service import ServiceMonitor
from googlenet_edge.stream import CameraStatus

MS = 1_000_000


class FakeClock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def messages(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


@pytest.fixture
def tick(manager: socket.socket) -> Iterator[Callable[..., list[str]]]:
    """Return a function that lets a monitor with a watchdog of 1 s tick, and returns what systemd got by it."""
    clock = FakeClock()
    with Notifier(manager.getsockname()) as notifier:
        monitor = ServiceMonitor(notifier, watchdog_s=1.0, clock=clock)

        def call(*cameras: tuple[str | None, int, bool], at_ms: int, last_ms: Sequence[int | None] = ()) -> list[str]:
            clock.now_ns = at_ms * MS
            stamps = [None if last is None else last * MS for last in last_ms] or [None] * len(cameras)
            monitor.tick([CameraStatus(*camera, stamp) for camera, stamp in zip(cameras, stamps, strict=True)])
            return messages(manager)

        yield call


def test_ready_comes_with_the_first_result(tick: Callable[..., list[str]]) -> None:
    assert tick(("a", 0, True), ("b", 0, False), at_ms=0) == ["STATUS=1 of 2 cameras connected (not b), 0 results"]
    assert tick(("a", 0, True), ("b", 0, False), at_ms=900) == []
    assert tick(("a", 1, True), ("b", 0, False), at_ms=950) == ["READY=1", "WATCHDOG=1"]
    assert tick(("a", 2, True), ("b", 1, True), at_ms=951) == []


def test_a_run_whose_cameras_are_all_away_is_ready_to_wait_for_them(tick: Callable[..., list[str]]) -> None:
    assert tick(("a", 0, False), at_ms=0)[:2] == ["READY=1", "WATCHDOG=1"]


def test_signs_of_life_come_every_half_period_while_the_loop_ticks(tick: Callable[..., list[str]]) -> None:
    tick(("a", 1, True), at_ms=0)
    sent = {at_ms: tick(("a", 1, False), at_ms=at_ms) for at_ms in range(100, 1600, 100)}
    assert [at_ms for at_ms, got in sent.items() if "WATCHDOG=1" in got] == [500, 1000, 1500]


def test_the_status_says_the_rate_since_the_last_one(tick: Callable[..., list[str]]) -> None:
    tick(("a", 10, True), ("b", 10, True), at_ms=0)
    assert "STATUS=2 of 2 cameras connected, 20.0 results/s, 120 results" in tick(
        ("a", 60, True), ("b", 60, True), at_ms=5000
    )


@pytest.mark.parametrize(
    ("last_ms", "remarks"),
    [
        ((9000, 9500), " (not b: no result for 0 s)"),
        ((0, 0), " (a: no result for 10 s; not b: no result for 10 s)"),
        ((9999, -170_000), " (not b: no result for 3 min)"),
        ((9999, -36_000_000), " (not b: no result for 10 h)"),
        ((None, None), " (not b)"),
    ],
)
def test_the_status_names_the_cameras_that_are_away_or_silent_and_since_when(
    tick: Callable[..., list[str]], last_ms: Sequence[int | None], remarks: str
) -> None:
    said = tick(("a", 5, True), ("b", 5, False), at_ms=10_000, last_ms=last_ms)
    assert said[-1] == f"STATUS=1 of 2 cameras connected{remarks}, 10 results"


def test_an_only_camera_that_is_silent_needs_no_name(tick: Callable[..., list[str]]) -> None:
    said = tick((None, 5, True), at_ms=42_000, last_ms=[0])
    assert said[-1] == "STATUS=1 of 1 cameras connected (no result for 42 s), 5 results"
    assert tick((None, 5, True), at_ms=50_000, last_ms=[49_000])[-1].startswith("STATUS=1 of 1 cameras connected, ")


def test_without_systemd_it_still_does_what_is_due_at_each_tick() -> None:
    ticks: list[int] = []
    monitor = ServiceMonitor(Notifier(None), watchdog_s=None, every_tick=lambda: ticks.append(1))
    monitor.tick([])
    monitor.tick([])
    assert len(ticks) == 2
