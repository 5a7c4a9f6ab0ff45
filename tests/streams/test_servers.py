"""The servers themselves, read with PyAV and no code of the package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import av
import numpy as np
import pytest

from tests.streams.numbered import Number
from tests.streams.reading import read_number
from tests.streams.servers import StreamServer

KINDS = pytest.mark.parametrize("kind", ["mjpeg", "rtsp"])
Serve = Callable[..., StreamServer]


def pictures(server: StreamServer) -> Iterator[tuple[Number, tuple[int, int]]]:
    """The numbers and sizes (width, height) that a server sends, until it ends."""
    with av.open(server.uri, options={"rtsp_transport": "tcp"}, timeout=30.0) as container:
        try:
            for frame in container.decode(video=0):
                image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                yield read_number(image), (frame.width, frame.height)
        except av.FFmpegError:
            return


@KINDS
def test_a_server_sends_numbered_pictures_at_its_rate(kind: str, serve: Serve) -> None:
    server = serve(kind, camera=7, fps=25)
    seen = [number for number, _ in (next_ for next_, _ in zip(pictures(server), range(40), strict=False))]
    assert {number.camera for number in seen} == {7}
    sent = set(range(seen[0].number, seen[-1].number + 1)) - server.skipped()
    assert [number.number for number in seen] == sorted(sent)
    assert all(number.made_ns - server.epoch_ns - number.number * 40_000_000 >= 0 for number in seen)


@KINDS
def test_the_numbers_go_on_after_a_kill_on_the_same_port(kind: str, serve: Serve) -> None:
    server = serve(kind)
    port = server.port
    before = [number.number for (number, _), _ in zip(pictures(server), range(5), strict=False)]
    server.kill()
    with pytest.raises(OSError, match="refused"):
        next(pictures(server))
    server.start()
    after = next(pictures(server))[0].number
    assert server.port == port
    assert before[-1] < after <= server.number_at(time.monotonic_ns())


@KINDS
def test_a_server_freezes_changes_the_size_and_hangs_up(kind: str, serve: Serve) -> None:
    server = serve(kind, fps=25)
    sizes, numbers = [], []
    for number, size in pictures(server):
        sizes.append(size)
        numbers.append(number.number)
        if len(numbers) == 10:
            server.tell("freeze")
            resume = server.number_at(time.monotonic_ns()) + 20
            while server.number_at(time.monotonic_ns()) < resume:
                time.sleep(0.01)
            server.tell("size 320 240")
            server.tell("go")
        elif len(numbers) == 30:
            server.tell("hang up")
    assert len(numbers) >= 30  # what was under way at the end still came
    assert [size for i, size in enumerate(sizes) if size not in sizes[:i]] == [(640, 360), (320, 240)]
    assert 15 <= max(after - before for before, after in pairwise(numbers)) <= 100
