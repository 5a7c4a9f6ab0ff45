"""A camera dies, freezes, changes its size, or sends garbage, in the middle of a run of the whole loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.reconnect import Reconnect
from googlenet_edge.errors import SourceLostError
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.stream import StreamConfig, run_stream
from tests.streams.servers import StreamServer
from tests.streams.watch import Run, Seen, Watcher, show

KINDS = pytest.mark.parametrize("kind", ["mjpeg", "rtsp"])
READ_S = 1.0
OUTAGE_S = 5.0
FOREVER = Reconnect(attempts=None, first_delay_s=0.2, longest_delay_s=0.8)
OPTIONS = SourceOptions(open_timeout_ms=5000, read_timeout_ms=round(READ_S * 1000), reconnect=FOREVER)
BUSY_S = 3.0
"""How much longer than planned things may take on a busy machine."""
Serve = Callable[..., StreamServer]


@contextmanager
def running(uri: str, bundle: Path, options: SourceOptions = OPTIONS) -> Iterator[tuple[Run, Watcher]]:
    watcher = Watcher()
    with Classifier(bundle, threads=1) as classifier, open_source(uri, options) as source:
        config = StreamConfig(warmup_frames=0)
        with Run(lambda stop: run_stream(source, classifier, [watcher], config, stop=stop)) as run:
            watcher.wait_for_frames(10)
            yield run, watcher


def numbers(seen: list[Seen]) -> list[int]:
    return [s.number.number for s in seen if s.number is not None]


def check_order(seen: list[Seen], server: StreamServer) -> None:
    """Each picture came once, in order, whatever happened, and none had waited somewhere for an outage to end."""
    assert all(after > before for before, after in pairwise(numbers(seen)))
    assert all(after.sequence > before.sequence for before, after in pairwise(seen))
    ages_s = [(s.inferred_ns - s.number.made_ns) / 1e9 for s in seen if s.number is not None]
    assert max(ages_s) < BUSY_S


@KINDS
def test_a_camera_that_is_away_for_five_seconds_comes_back(kind: str, serve: Serve, tiny_bundle: Path) -> None:
    server = serve(kind, fps=20)
    with running(server.uri, tiny_bundle) as (run, watcher):
        server.kill()
        killed_ns = time.monotonic_ns()
        watcher.wait_for(lambda: watcher.lost_ns, "the loss")
        while time.monotonic_ns() < killed_ns + OUTAGE_S * 1e9:
            time.sleep(0.01)
        before = len(watcher.seen)
        server.start()
        watcher.wait_for_frames(30)
        report = run.end()
    seen = watcher.seen
    check_order(seen, server)
    away = numbers(seen)[before] - numbers(seen)[before - 1]
    assert away >= OUTAGE_S * server.fps
    assert [camera for camera, _ in watcher.lost_ns] == [None]
    assert watcher.lost_ns[0][1] - killed_ns < (READ_S + BUSY_S) * 1e9
    assert (report.ended, report.error) == ("stopped", None)
    outages = report.cameras[0].outages
    assert (outages.lost, outages.reconnected) == (1, 1)
    assert 4 <= outages.attempts <= 40  # a delay of 0.1 s, 0.2 s, then of 0.4 to 0.8 s
    down_s = (seen[before].captured_ns - watcher.lost_ns[0][1]) / 1e9
    assert outages.down_ns / 1e9 == pytest.approx(down_s, abs=0.5)
    assert down_s > OUTAGE_S - READ_S - 0.5


@pytest.mark.parametrize("how", ["the stream", "the process"])
@KINDS
def test_a_camera_that_freezes_is_lost_and_comes_back(kind: str, how: str, serve: Serve, tiny_bundle: Path) -> None:
    server = serve(kind, fps=20)
    with running(server.uri, tiny_bundle) as (run, watcher):
        server.tell("freeze") if how == "the stream" else server.stop()
        watcher.wait_for(lambda: watcher.lost_ns, "the loss")
        last_ns = watcher.seen[-1].emitted_ns
        server.tell("go") if how == "the stream" else server.go_on()
        watcher.wait_for_frames(20)
        report = run.end()
    check_order(watcher.seen, server)
    assert READ_S * 0.9 < (watcher.lost_ns[0][1] - last_ns) / 1e9 < READ_S + BUSY_S
    outages = report.cameras[0].outages
    assert outages.lost == outages.reconnected >= 1


@KINDS
def test_a_change_of_size_is_followed(kind: str, serve: Serve, tiny_bundle: Path) -> None:
    server = serve(kind, fps=20)
    with running(server.uri, tiny_bundle) as (run, watcher):
        for size in ((320, 240), (800, 448), (640, 360)):
            server.tell(f"size {size[0]} {size[1]}")
            watcher.wait_for_size(size)
            watcher.wait_for_frames(5)
        report = run.end()
    check_order(watcher.seen, server)
    assert len(numbers(watcher.seen)) == len(watcher.seen)  # all of them whole
    assert report.cameras[0].outages.lost == 0


def test_garbage_is_survived(serve: Serve, tiny_bundle: Path) -> None:
    """Between all parts, and in every fourth picture: the others all come, whole."""
    server = serve("mjpeg", fps=20)
    with running(server.uri, tiny_bundle) as (run, watcher):
        server.tell("garbage 4")
        watcher.wait_for_frames(60)
        server.tell("garbage 0")
        watcher.wait_for_frames(10)
        report = run.end()
    check_order(watcher.seen, server)
    seen = numbers(watcher.seen)
    whole = {number for number in range(seen[0], seen[-1]) if number % 4} - server.skipped()
    damaged = sum(s.number is None for s in watcher.seen)
    show(f"{len(whole & set(seen))} of {len(whole)} whole pictures, {damaged} damaged ones were emitted")
    assert len(whole - set(seen)) <= report.cameras[0].dropped
    assert len(whole & set(seen)) >= 0.8 * len(whole)
    assert damaged == 0
    assert report.cameras[0].outages.lost == 0


def test_a_stream_that_trickles_is_lost_and_comes_back(serve: Serve, tiny_bundle: Path) -> None:
    """Bytes come, but no whole picture within the read timeout."""
    server = serve("mjpeg", fps=20)
    with running(server.uri, tiny_bundle) as (run, watcher):
        server.tell("trickle 20")
        watcher.wait_for(lambda: watcher.lost_ns, "the loss")
        server.tell("trickle 0")
        watcher.wait_for_frames(20)
        report = run.end()
    check_order(watcher.seen, server)
    assert report.cameras[0].outages.lost == report.cameras[0].outages.reconnected >= 1


def test_a_camera_that_stays_away_ends_the_run_after_its_attempts(serve: Serve, tiny_bundle: Path) -> None:
    server = serve("mjpeg", fps=20)
    policy = Reconnect(attempts=3, first_delay_s=0.1, longest_delay_s=0.2)
    options = SourceOptions(read_timeout_ms=1000, reconnect=policy)
    with running(server.uri, tiny_bundle, options) as (run, watcher):
        server.kill()
        report = run.report()
    assert report.ended == "source lost"
    assert isinstance(report.error, SourceLostError)
    assert "3 attempts" in str(report.error)
    outages = report.cameras[0].outages
    assert (outages.lost, outages.reconnected, outages.attempts) == (1, 0, 3)
    assert report.frames == len(watcher.seen)


@KINDS
def test_a_camera_may_be_absent_at_the_start(kind: str, serve: Serve, tiny_bundle: Path) -> None:
    server = serve(kind, fps=20)
    server.kill()
    watcher = Watcher()
    with Classifier(tiny_bundle, threads=1) as classifier, open_source(server.uri, OPTIONS) as source:
        assert not source.connected
        with Run(lambda stop: run_stream(source, classifier, [watcher], stop=stop)) as run:
            server.start()
            watcher.wait_for_frames(10)
            report = run.end()
    assert report.cameras[0].outages.reconnected == 1
