"""Packets of a stream with the time when they arrived, and how a decoder that is too slow for a live one catches up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import av

__all__ = ["Received", "catching_up", "timed"]

LAG_NS = 500_000_000
"""A packet that has waited so long for the decoder is left out, with all up to the next key frame that is there."""
MOST_PACKETS = 1000
"""That wait: half a minute of video, and more than any key frame is away."""

_Packet = TypeVar("_Packet", bound="av.Packet[av.VideoStream]")


@dataclass(frozen=True)
class Received:
    """A packet and when it began to arrive, by CLOCK_MONOTONIC."""

    packet: av.Packet[av.VideoStream]
    arrived_ns: int
    left_out: int = 0
    """Packets before it that are not decoded: the decoder must forget what it has."""


def timed(packets: Iterable[_Packet]) -> Iterator[Received]:
    """Stamp packets as they come."""
    for packet in packets:
        yield Received(packet, time.monotonic_ns())


def catching_up(received: Iterator[Received]) -> Iterator[Received]:
    """Take packets up on a thread of their own, and pass on what a decoder that keeps up would get, or left-out parts.

    A decoder that is too slow would otherwise leave them in the connection, where they grow old and nobody sees it.
    Raises what ``received`` raises, after the packets before that.
    """
    queue = _Queue()
    threading.Thread(target=queue.fill, args=(received,), daemon=True).start()
    while (item := queue.take()) is not None:
        yield item


class _Queue:
    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all that follows
        self._items: deque[Received] = deque()
        self._left_out = 0
        self._ended = False
        self._error: BaseException | None = None

    def fill(self, received: Iterator[Received]) -> None:
        error: BaseException | None = None
        try:
            for item in received:
                self._put(item)
        except BaseException as caught:  # noqa: BLE001 - whoever takes the packets raises it
            error = caught
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def take(self) -> Received | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            if not self._items:
                if self._error is not None:
                    raise self._error
                return None
            self._catch_up()
            item, left_out = self._items.popleft(), self._left_out
            self._left_out = 0
            return Received(item.packet, item.arrived_ns, left_out)

    def _put(self, item: Received) -> None:
        with self._changed:
            if len(self._items) >= MOST_PACKETS:
                self._left_out += len(self._items)
                self._items.clear()
            self._items.append(item)
            self._changed.notify_all()

    def _catch_up(self) -> None:
        """Go on at the newest key frame if what comes next has waited too long."""
        if time.monotonic_ns() - self._items[0].arrived_ns <= LAG_NS:
            return
        keys = [index for index, item in enumerate(self._items) if item.packet.is_keyframe]
        for _ in range(keys[-1] if keys else 0):
            self._items.popleft()
            self._left_out += 1
