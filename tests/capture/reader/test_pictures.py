"""Packets as FFmpeg hands them out without its parsers, cut by payloaders of several habits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.capture.reader.pictures import DISTRUST, PROVEN, pictures

LIMIT = 100
"""Bytes of a packet."""
CODECS = pytest.mark.parametrize("codec", ["h264", "hevc"])
PERIOD = 3000
Cut = Callable[[bytes], list[bytes]]


def unit(kind: str, codec: str, size: int = 40) -> bytes:
    """A NAL unit of this size: "first" and "more" slices, of a "key" picture; "parameters" and "recovery" point."""
    filler = random.Random(size).randbytes(size).replace(b"\0", b"\1")
    h264 = {"parameters": 0x67, "recovery": 0x06, "first": 0x41, "more": 0x41, "key": 0x65, "filler": 0x0C}
    hevc = {"parameters": 0x42, "recovery": 0x4E, "first": 0x02, "more": 0x02, "key": 0x26, "filler": 0x4C}
    header = bytes([h264[kind]]) if codec == "h264" else bytes([hevc[kind], 1])
    first = {"first": 0x80, "key": 0x80, "recovery": 6}.get(kind, 0x40)
    return header + bytes([first]) + filler[: size - len(header) - 1]


def evenly(unit: bytes) -> list[bytes]:
    """Full packets and a rest, as payloaders do it."""
    if len(unit) <= LIMIT:
        return [unit]
    return [unit[: LIMIT - 1], *(unit[at : at + LIMIT - 2] for at in range(LIMIT - 1, len(unit), LIMIT - 2))]


@dataclass
class Sent:
    """A stream, and how many of its packets were taken."""

    packets: list[Any] = field(default_factory=list)
    wholes: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Packets up to the end of each picture."""
    taken: int = 0

    def picture(self, *units: bytes, cut: Cut = evenly, pts: int | None = None) -> Sent:
        stamp = len(self.wholes) * PERIOD if pts is None else pts
        for each in units:
            for number, piece in enumerate(cut(each)):
                self.packet((b"\0\0\0\1" if number == 0 else b"") + piece, stamp)
        self.wholes.append(b"".join(b"\0\0\0\1" + each for each in units))
        self.ends.append(len(self.packets))
        return self

    def packet(self, content: bytes, pts: int | None) -> None:
        packet: Any = av.Packet(content)
        packet.pts, packet.time_base = pts, Fraction(1, 90_000)
        self.packets.append(packet)

    def __iter__(self) -> Iterator[Any]:
        for packet in self.packets:
            self.taken += 1
            yield packet


def joined(sent: Sent, codec: str = "h264") -> list[tuple[Any, int]]:
    """What comes out, and how many packets had been taken by then."""
    return [(item.packet, sent.taken) for item in pictures(sent, codec)]


def contents(sent: Sent, codec: str = "h264") -> list[bytes]:
    return [bytes(packet) for packet, _ in joined(sent, codec)]


@CODECS
def test_a_regular_sender_s_pictures_go_on_with_their_last_packet(codec: str) -> None:
    sent = Sent()
    rng = random.Random(1)
    for number in range(4 * PROVEN):
        slices = [unit(kind, codec, rng.randrange(20, 1500)) for kind in ("first", "more", "more")]
        if number % 10 == 0:
            slices = [unit("parameters", codec, 30), unit("key", codec, 3000), *slices[1:]]
        sent.picture(*slices)
    out = joined(sent, codec)
    assert [bytes(packet) for packet, _ in out] == sent.wholes
    assert [packet.pts for packet, _ in out] == [number * PERIOD for number in range(4 * PROVEN)]
    assert [packet.is_keyframe for packet, _ in out] == [number % 10 == 0 for number in range(4 * PROVEN)]
    waited = [taken - end for (_, taken), end in zip(out, sent.ends, strict=True)]
    assert set(waited[:PROVEN]) == {1}  # for the next one to begin
    assert waited[2 * PROVEN :].count(0) >= 0.9 * 2 * PROVEN
    assert set(waited) == {0, 1}


@CODECS
def test_arrival_is_that_of_the_first_packet(codec: str) -> None:
    sent = Sent()
    for _ in range(3 * PROVEN):
        sent.picture(unit("first", codec, 500))
    arrived = [(item.arrived_ns, sent.taken) for item in pictures(sent, codec)]
    assert [ns for ns, _ in arrived] == sorted({ns for ns, _ in arrived})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(5, 700)), min_size=1, max_size=80), st.randoms())
def test_whatever_the_habits_no_byte_is_lost_or_moved(habits: list[tuple[int, int]], rng: random.Random) -> None:
    sent = Sent()

    def unevenly(unit: bytes) -> list[bytes]:
        cuts = sorted(rng.sample(range(1, len(unit)), min(3, len(unit) - 1)))
        return [unit[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(unit)], strict=True)]

    for slices, size in habits:
        kinds = ["first"] + ["more"] * (slices - 1)
        sent.picture(*(unit(kind, "h264", size) for kind in kinds), cut=rng.choice([evenly, unevenly]))
    assert b"".join(contents(sent)) == b"".join(sent.wholes)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 3) | st.none()), max_size=40),
    st.sampled_from(["h264", "hevc"]),
)
def test_garbage_passes_unchanged(packets: list[tuple[bytes, int | None]], codec: str) -> None:
    sent = Sent()
    for content, pts in packets:
        sent.packet(b"\0\0\1" * (len(content) % 3) + content, pts)
    assert b"".join(contents(sent, codec)) == b"".join(bytes(packet) for packet in sent.packets)


@CODECS
def test_a_sender_that_cuts_unevenly_is_never_believed(codec: str) -> None:
    sent = Sent()
    rng = random.Random(2)

    def unevenly(unit: bytes) -> list[bytes]:
        middle = rng.randrange(10, len(unit) - 10)
        return [unit[:middle], unit[middle : middle + 5], unit[middle + 5 :]]

    for _ in range(10 * PROVEN):
        sent.picture(unit("first", codec, rng.randrange(100, 300)), cut=unevenly)
    assert contents(sent, codec) == sent.wholes


@CODECS
def test_what_follows_the_slices_is_kept_with_them(codec: str) -> None:
    """Filler data of a constant bit rate, say."""
    sent = Sent()
    for number in range(4 * PROVEN):
        sent.picture(unit("first", codec, 50 + number), unit("filler", codec, 20))
    assert contents(sent, codec) == sent.wholes


def test_a_sender_that_changes_its_habits_spoils_one_picture() -> None:
    sent = Sent()
    for number in range(2 * PROVEN):
        sent.picture(unit("first", "h264", 300 + number))
    for number in range(10 * PROVEN):
        sent.picture(unit("first", "h264", 300 + number), unit("more", "h264", 50))
    out = contents(sent)
    cut = 2 * PROVEN  # the first of the other kind
    assert out == [*sent.wholes[:cut], sent.wholes[cut][:-54], sent.wholes[cut][-54:], *sent.wholes[cut + 1 :]]
    assert DISTRUST > 8 * PROVEN


def test_a_sender_that_was_wrongly_judged_is_believed_after_a_long_time() -> None:
    sent = Sent()
    for number in range(DISTRUST + 4 * PROVEN):
        sent.picture(unit("first", "h264", 80 - number % 50), *[unit("more", "h264", 30)] * (number > 2))
    out = joined(sent)
    assert [bytes(packet) for packet, _ in out] == sent.wholes
    assert out[-2][1] == sent.ends[-2]


@CODECS
def test_a_time_stamp_that_stands_still_does_not_glue_pictures_together(codec: str) -> None:
    sent = Sent()
    for number in range(3 * PROVEN):
        sent.picture(unit("first", codec, 100 + number), unit("more", codec, 500), pts=7)
    assert contents(sent, codec) == sent.wholes


def test_a_stream_without_key_frames_can_be_entered_where_it_says_so() -> None:
    sent = Sent().picture(unit("first", "h264")).picture(unit("recovery", "h264", 10), unit("first", "h264"))
    assert [packet.is_keyframe for packet, _ in joined(sent)] == [False, True]


def test_the_end_of_the_stream_comes_last() -> None:
    sent = Sent().picture(unit("first", "h264"))
    sent.packets.append(av.Packet())
    assert contents(sent) == [*sent.wholes, b""]


@CODECS
def test_a_whole_unit_may_be_longer_than_the_first_part_of_another(codec: str) -> None:
    """What names the parts takes the room of a byte or two."""
    sent = Sent()
    for number in range(4 * PROVEN):
        sent.picture(unit("first", codec, LIMIT if number % 3 == 2 else 250 - number))
    out = joined(sent, codec)
    assert [bytes(packet) for packet, _ in out] == sent.wholes
    late = [number for number in range(2 * PROVEN, 4 * PROVEN - 1) if out[number][1] > sent.ends[number]]
    assert late == [number for number in range(2 * PROVEN, 4 * PROVEN - 1) if number % 3 == 2]


@CODECS
def test_parameters_with_a_time_stamp_of_their_own_go_on_with_their_picture(codec: str) -> None:
    sent = Sent()
    pictures_sent = []
    for number in range(4 * PROVEN):
        if number % 10 == 0:
            parameters = unit("parameters", codec, 30)
            sent.packet(b"\0\0\0\1" + parameters, number * PERIOD - 5)
            sent.picture(unit("key", codec, 300 + number))
            pictures_sent.append(b"\0\0\0\1" + parameters + sent.wholes[-1])
        else:
            sent.picture(unit("first", codec, 300 + number))
            pictures_sent.append(sent.wholes[-1])
    out = joined(sent, codec)
    assert [bytes(packet) for packet, _ in out] == pictures_sent
    assert [packet.pts for packet, _ in out] == [number * PERIOD for number in range(4 * PROVEN)]
    assert [packet.is_keyframe for packet, _ in out] == [number % 10 == 0 for number in range(4 * PROVEN)]


@pytest.mark.parametrize("size", [20, 350])
@CODECS
def test_what_follows_a_picture_that_has_gone_on_goes_on_with_the_next(codec: str, size: int) -> None:
    sent = Sent()
    extra = 2 * PROVEN
    for number in range(4 * PROVEN):
        sent.picture(unit("first", codec, 300 + number), *[unit("filler", codec, size)] * (number == extra))
    out = contents(sent, codec)
    filler = b"\0\0\0\1" + unit("filler", codec, size)
    assert out[extra] + filler == sent.wholes[extra]
    assert out[extra + 1] == filler + sent.wholes[extra + 1]
    assert out[extra + 2 :] == sent.wholes[extra + 2 :]


@CODECS
def test_a_sender_that_makes_as_many_slices_as_it_needs_is_never_believed(codec: str) -> None:
    sent = Sent()
    rng = random.Random(3)
    for number in range(3 * DISTRUST):
        kind, slices = ("key", 9) if number % 1500 == 0 else ("first", 1 if number % 200 < 150 else rng.randrange(1, 4))
        sent.picture(unit(kind, codec, 60), *[unit("more", codec, 60)] * (slices - 1))
    assert contents(sent, codec) == sent.wholes
