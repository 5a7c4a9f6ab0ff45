from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
import pytest

from googlenet_edge.capture.reader.mjpeg import read_mjpeg
from googlenet_edge.capture.reader.run import LostError

TIMEOUT_S = 20
SIDES_PX = range(16, 16 + 8 * 20, 8)
"""Each picture is of another width."""


class Response:
    """A web server whose pictures are all there, one a read; then the end, or an error."""

    def __init__(self, end: Exception | None = None) -> None:
        self.chunks = [cv2.imencode(".jpg", np.zeros((16, side, 3), np.uint8))[1].tobytes() for side in SIDES_PX]
        self.end = end
        self.all_read = threading.Event()

    def read(self) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        self.all_read.set()
        if self.end is not None:
            raise self.end
        return b""


class SlowOutlet:
    """Whoever puts the first picture waits until the test says so, as if it took long to decode."""

    closed = False

    def __init__(self, *, every_frame: bool) -> None:
        self.every_frame = every_frame
        self.said: list[str] = []
        self.put_px: list[tuple[int, int]] = []
        self.go_on = threading.Event()

    def say(self, event: str, **_: object) -> None:
        self.said.append(event)

    def put(self, frame: Any, _: int, *, stamped_by_stream: bool, skipped: int = 0) -> None:
        assert not stamped_by_stream
        assert self.go_on.wait(TIMEOUT_S)
        self.put_px.append((frame.width, skipped))

    def count_damaged(self, count: int = 1) -> None:
        assert not count


def read(response: Any, outlet: Any) -> threading.Thread:
    thread = threading.Thread(target=read_mjpeg, args=(response, outlet), daemon=True)
    thread.start()
    return thread


def test_the_connection_is_read_on_while_a_picture_is_decoded_and_the_newest_one_is_next() -> None:
    response, outlet = Response(), SlowOutlet(every_frame=False)
    reading = read(response, outlet)
    assert response.all_read.wait(TIMEOUT_S)
    outlet.go_on.set()
    reading.join(TIMEOUT_S)
    assert not reading.is_alive()
    widths, skipped = zip(*outlet.put_px, strict=True)
    assert len(widths) <= 2
    assert widths[-1] == SIDES_PX[-1]
    assert len(widths) + sum(skipped) == len(SIDES_PX)
    assert outlet.said == ["connected", "opened"]


def test_where_every_frame_is_wanted_each_is_decoded() -> None:
    response, outlet = Response(), SlowOutlet(every_frame=True)
    outlet.go_on.set()
    read(response, outlet).join(TIMEOUT_S)
    assert outlet.put_px == [(side, 0) for side in SIDES_PX]


def test_what_came_before_a_break_is_handed_on() -> None:
    outlet: Any = SlowOutlet(every_frame=True)
    outlet.go_on.set()
    response: Any = Response(ConnectionResetError("gone"))
    with pytest.raises(LostError, match="the connection broke: ConnectionResetError"):
        read_mjpeg(response, outlet)
    assert [width for width, _ in outlet.put_px] == list(SIDES_PX)
