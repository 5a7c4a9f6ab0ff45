"""MPEG-4 and others, whose packets do not hold one picture each."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import av
import pytest

from googlenet_edge.capture.reader.parsed import CODECS, parsed

BEGINNINGS = {
    "mpeg4": (b"\0\0\1\xb6\x10", b"\0\0\1\xb6\x50"),
    "mpeg1video": (b"\0\0\1\0\0\x0f\xff\xf8\0\0\1\1", b"\0\0\1\0\0\x57\xff\xf8\0\0\1\1"),
    "mpeg2video": (b"\0\0\1\0\0\x0f\xff\xf8\0\0\1\1", b"\0\0\1\0\0\x57\xff\xf8\0\0\1\1"),
    "h263": (b"\0\0\x80\2", b"\0\0\x80\2"),
}
"""Of a key picture and of another one."""
EVERY = pytest.mark.parametrize("codec", sorted(CODECS))


def pictures_of(codec: str, sizes: list[int]) -> list[bytes]:
    """Each tenth one is a key picture."""
    rng = random.Random(1)
    return [
        BEGINNINGS[codec][number % 10 > 0] + rng.randbytes(size).replace(b"\0", b"\1")
        for number, size in enumerate(sizes)
    ]


def packets_of(contents: list[tuple[bytes, int]]) -> list[Any]:
    packets: list[Any] = []
    for content, pts in contents:
        packets.append(av.Packet(content))
        packets[-1].pts, packets[-1].time_base = pts, Fraction(1, 90_000)
    return [*packets, av.Packet()]


@EVERY
def test_a_picture_that_comes_in_parts_is_put_together(codec: str) -> None:
    wholes = pictures_of(codec, [250] * 40)
    packets = packets_of(
        [(whole[at : at + 100], number) for number, whole in enumerate(wholes) for at in range(0, len(whole), 100)]
    )
    out = [item.packet for item in parsed(packets, codec)]
    assert [bytes(packet) for packet in out] == [*wholes, b""]
    assert [packet.pts for packet in out[:-1]] == list(range(40))
    assert [packet.is_keyframe for packet in out[:-1]] == [codec != "h263" and number % 10 == 0 for number in range(40)]


@EVERY
def test_of_several_pictures_in_one_packet_none_is_lost(codec: str) -> None:
    wholes = pictures_of(codec, [30 + number for number in range(40)])
    packets = packets_of([(b"".join(wholes[at : at + 4]), at) for at in range(0, 40, 4)])
    out = [item.packet for item in parsed(packets, codec)]
    assert [bytes(packet) for packet in out] == [*wholes, b""]
    assert [packet.pts for packet in out[:-1]] == [None if number % 4 else number for number in range(40)]


@EVERY
def test_arrival_is_when_a_picture_began_to_come(codec: str) -> None:
    packets = packets_of([(whole, number) for number, whole in enumerate(pictures_of(codec, [50] * 10))])
    taken: list[int] = []

    def taking() -> Any:
        for packet in packets:
            taken.append(0)
            yield packet

    arrived = [(item.arrived_ns, len(taken)) for item in parsed(taking(), codec)]
    assert [count for _, count in arrived[:9]] == list(range(2, 11))  # when the next one begins
    assert [ns for ns, _ in arrived] == sorted({ns for ns, _ in arrived})
