from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import av
import pytest

from googlenet_edge.capture.reader.received import LAG_NS, MOST_PACKETS, Received, catching_up, timed
from googlenet_edge.capture.reader.run import LostError


def packet(number: int, *, key: bool = False) -> Any:
    made: Any = av.Packet(b"content")
    made.pts, made.is_keyframe = number, key
    return made


class Stream:
    """Numbered packets that are all there, from the second on when the first was taken."""

    def __init__(self, count: int, *, keys: tuple[int, ...], age_ns: int, error: Exception | None = None) -> None:
        self.count, self.keys, self.age_ns, self.error = count, keys, age_ns, error
        self.go_on, self.all_there = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Received]:
        for number in range(self.count):
            yield Received(packet(number, key=number in self.keys), time.monotonic_ns() - self.age_ns)
            assert self.go_on.wait(20)
        self.all_there.set()
        if self.error is not None:
            raise self.error


def slowly(stream: Stream) -> list[tuple[int | None, int]]:
    """Numbers and how many were left out before each, of a decoder that takes long for the first."""
    passed = []
    for item in catching_up(iter(stream)):
        stream.go_on.set()
        assert stream.all_there.wait(20)
        passed.append((item.packet.pts, item.left_out))
    return passed


def test_a_decoder_that_is_late_goes_on_at_the_newest_key_frame() -> None:
    assert slowly(Stream(9, keys=(0, 3, 6), age_ns=2 * LAG_NS)) == [(0, 0), (6, 5), (7, 0), (8, 0)]


def test_without_a_key_frame_nothing_is_left_out_that_others_need() -> None:
    assert slowly(Stream(5, keys=(0,), age_ns=2 * LAG_NS)) == [(number, 0) for number in range(5)]


def test_a_decoder_that_keeps_up_gets_everything() -> None:
    assert slowly(Stream(9, keys=(0, 3, 6), age_ns=-LAG_NS * 100)) == [(number, 0) for number in range(9)]


def test_memory_is_bounded() -> None:
    passed = slowly(Stream(MOST_PACKETS + 50, keys=(0,), age_ns=2 * LAG_NS))
    assert len(passed) < 60
    assert len(passed) + sum(left_out for _, left_out in passed) == MOST_PACKETS + 50


def test_an_error_comes_after_the_packets_before_it() -> None:
    stream = Stream(3, keys=(0,), age_ns=0, error=LostError("gone"))
    stream.go_on.set()
    passed = catching_up(iter(stream))
    assert [next(passed).packet.pts for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LostError, match="gone"):
        next(passed)


def test_packets_are_stamped_as_they_come() -> None:
    before_ns = time.monotonic_ns()
    items = list(timed(packet(number) for number in range(3)))
    times = [before_ns, *(item.arrived_ns for item in items), time.monotonic_ns()]
    assert times == sorted(times)
    assert [item.packet.pts for item in items] == [0, 1, 2]
