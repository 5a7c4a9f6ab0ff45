"""Garbage on the way from an RTSP camera: in its pictures, in whole packets, and on the connection itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.streams.garbling import Garbler, Spoil
from tests.streams.servers import StreamServer
from tests.streams.test_outages import check_order, numbers, running
from tests.streams.watch import Seen, Watcher, show, wait_until

FPS = 20
KEY_PICTURES_S = 1.0
"""From one key picture to the next, with which all that was damaged is gone."""
GARBAGE_S = 2.0
Serve = Callable[..., StreamServer]


def spoil_for_a_while(garbler: Garbler, server: StreamServer, how: Spoil, *, every: int = 1) -> None:
    """Spoil what is sent of the next two seconds of pictures, and of as many packets."""
    until = server.number_at(time.monotonic_ns()) + round(GARBAGE_S * FPS)
    garbler.every, garbler.spoil = every, how
    wait_until(lambda: server.number_at(time.monotonic_ns()) > until and garbler.spoilt >= GARBAGE_S * FPS / every)
    garbler.spoil = "nothing"


def made_ns(seen: Seen) -> int:
    """When its picture was made; 0 where it is too damaged to say."""
    return 0 if seen.number is None else seen.number.made_ns


def check_the_end(watcher: Watcher, server: StreamServer, from_ns: int) -> None:
    """What was made after this: all whole, and what is missing of it was counted."""
    first = next(index for index, s in enumerate(watcher.seen) if made_ns(s) >= from_ns)
    seen = watcher.seen[first:]
    skipped = server.skipped()
    assert len(numbers(seen)) == len(seen) >= FPS
    missing = [len(set(range(before + 1, after)) - skipped) for before, after in pairwise(numbers(seen))]
    assert [after.sequence - before.sequence - 1 for before, after in pairwise(seen)] == missing


@pytest.mark.parametrize(("how", "every"), [("pictures", 1), ("pictures", 7), ("packets", 1), ("packets", 7)])
def test_garbage_is_ridden_out(how: Spoil, every: int, serve: Serve, tiny_bundle: Path) -> None:
    server = serve("rtsp", fps=FPS)
    with Garbler(server.port) as garbler, running(garbler.uri, tiny_bundle) as (run, watcher):
        before = len(watcher.seen)
        spoil_for_a_while(garbler, server, how, every=every)
        spoilt = len(watcher.seen)
        clean_ns = time.monotonic_ns() + round(KEY_PICTURES_S * 1e9)
        watcher.wait_for(lambda: made_ns(watcher.seen[-1]) > clean_ns, "a whole picture")
        watcher.wait_for_frames(2 * FPS)
        report = run.end()
    emitted = watcher.seen[before:spoilt]
    outages = report.cameras[0].outages
    show(
        f"{how}, each {every}th: {garbler.spoilt} packets spoilt; {len(emitted)} pictures came meanwhile, "
        f"{sum(s.number is None for s in emitted)} of them damaged; lost {outages.lost} times"
    )
    check_order(watcher.seen, server)
    check_the_end(watcher, server, clean_ns)
    assert (report.ended, report.error) == ("stopped", None)
    assert outages.lost == outages.reconnected == len(watcher.lost_ns)


def test_garbage_instead_of_the_protocol_is_a_loss_after_which_the_camera_comes_back(
    serve: Serve, tiny_bundle: Path
) -> None:
    server = serve("rtsp", fps=FPS)
    with Garbler(server.port) as garbler, running(garbler.uri, tiny_bundle) as (run, watcher):
        garbler.spoil = "connection"
        watcher.wait_for(lambda: watcher.lost_ns, "the loss")
        wait_until(lambda: garbler.connections >= 3, "the second attempt to open it again")
        garbler.spoil = "nothing"
        watcher.wait_for_frames(FPS)  # made while the connection was made, all but the first are not sent
        clean_ns = time.monotonic_ns()
        watcher.wait_for_frames(2 * FPS)
        report = run.end()
    check_order(watcher.seen, server)
    check_the_end(watcher, server, clean_ns)
    assert (report.ended, report.error) == ("stopped", None)
    outages = report.cameras[0].outages
    assert outages.lost == outages.reconnected == len(watcher.lost_ns) == 1
    assert outages.attempts >= 2
