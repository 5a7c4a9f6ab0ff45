"""Puts the pictures of an RTSP stream together from its packets, and tells when one is whole.

FFmpeg's parsers hand a picture on when the next one begins: a frame period after it could be decoded. RTP marks the
last packet of a picture, but FFmpeg keeps the mark to itself. What its packets do show is how the sender cuts pictures:
into as many slices each time, and a slice that is too long for a packet into packets of one size and a shorter rest
(RFC 6184, section 5.8, and RFC 7798, section 4.4.3, leave the sizes free, but there is no reason for others). A sender
that was seen to do so is taken at its word: a picture goes on with its last packet. Where it does not, or the last one
is as long as the others, the picture waits for the next one, as with FFmpeg.

What is no picture by itself (parameter sets with a time stamp of their own, what follows the last slice of a picture
that has gone on) goes on with the next picture: alone, the decoder would take it for a damaged one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import av

from googlenet_edge.capture.reader.received import Received

__all__ = ["CODECS", "PROVEN", "pictures"]

PROVEN = 25
"""Pictures of as many slices each, whose last packet was told by its size; from then on the sender is believed."""
DISTRUST = 1000
"""How many more it takes after one that was not. The largest number of slices in as many pictures is the usual one:
where the number depends on what is to be seen, a key picture's holds."""
LARGEST_BYTES = 1 << 25
"""Of a picture. What is longer is none: the sender's time stamps stand still."""

_START = b"\0\0\1"
_RECOVERY_POINT = 6


@dataclass(frozen=True)
class _Syntax:
    """Where the header of a NAL unit (ITU-T H.264 and H.265, section 7.3.1) says what it is."""

    shift: int
    mask: int
    header_bytes: int
    slices: frozenset[int]
    filler: int
    """Kind that makes up for bits that were not needed: the one behind a picture that may be long."""
    keys: frozenset[int]
    """Slices that need no picture before them."""
    sei: int | None = None
    """Kind whose first message may be a recovery point: streams without key frames can be decoded from there on."""


_SYNTAX = {
    "h264": _Syntax(0, 31, 1, slices=frozenset((1, 2, 5)), filler=12, keys=frozenset((5,)), sei=6),
    "hevc": _Syntax(1, 63, 2, slices=frozenset(range(32)), filler=38, keys=frozenset(range(16, 24))),
}
CODECS = frozenset(_SYNTAX)
"""Those whose pictures this module can put together."""


@dataclass(frozen=True)
class _Part:
    """What a packet says of the picture that it belongs to."""

    size: int = 0
    begins: bool = False
    """With a NAL unit, rather than in the middle of one."""
    slices: int = 0
    first_slice: bool = False
    """A picture's (or a field's) first slice begins in it."""
    key: bool = False
    ends_in_slice: bool = False
    ends_in_filler: bool = False
    is_picture: bool = True
    """It has a part of the picture itself, as far as anyone can tell."""


@dataclass
class _Gathered:
    """Packets that are decoded together."""

    data: list[bytes] = field(default_factory=list)
    size: int = 0
    arrived_ns: int = 0
    key: bool = False
    has_picture: bool = False

    def add(self, content: bytes, part: _Part, now_ns: int) -> None:
        if not self.data:
            self.arrived_ns = now_ns
        self.data.append(content)
        self.size += part.size
        self.key = self.key or part.key
        self.has_picture = self.has_picture or part.is_picture

    def received(self, head: av.Packet[Any]) -> Received:
        content = b"".join(self.data)
        packet: av.Packet[Any] = av.Packet(len(content))  # with the room behind it that decoders want
        packet.update(content)
        packet.pts, packet.time_base = head.pts, head.time_base
        packet.is_keyframe = self.key
        if head.stream is not None:
            packet.stream = head.stream
        return Received(packet, self.arrived_ns)


def pictures(packets: Iterable[av.Packet[Any]], codec: str) -> Iterator[Received]:
    """Join the packets of each picture, which have one time stamp, and say when the first of them came.

    ``codec`` is one of :data:`CODECS`.
    """
    sender = _Sender()
    syntax = _SYNTAX[codec]
    part = _Part()
    head: av.Packet[Any] | None = None  # the first packet of the newest picture
    newest = _Gathered()  # what has come of it, as long as it is not handed on
    for packet in packets:
        now_ns = time.monotonic_ns()
        content = bytes(packet) if packet.size else b""
        part = _read(content, syntax, part)
        moved_on = head is None or (packet.pts is not None and packet.pts != head.pts)
        begins_another = part.first_slice and sender.slices > 0
        over = not content or newest.size > LARGEST_BYTES
        if moved_on or begins_another or over:
            if head is not None and newest.data and (newest.has_picture or over):
                yield newest.received(head)
                newest = _Gathered()
            newest.arrived_ns = now_ns
            head = packet
            sender.next_picture()
        if not content:  # the end: the decoder may hand out what it has kept
            yield Received(packet, now_ns)
            continue
        newest.add(content, part, now_ns)
        if sender.is_whole_with(part) and head is not None:
            yield newest.received(head)
            newest = _Gathered()
    if head is not None and newest.data:
        yield newest.received(head)


def _read(content: bytes, syntax: _Syntax, before: _Part) -> _Part:
    """What the next packet after another says."""
    if not content.startswith((_START, b"\0" + _START)):
        goes_on_with = {"ends_in_slice": before.ends_in_slice, "ends_in_filler": before.ends_in_filler}
        return _Part(len(content), **goes_on_with, is_picture=not before.ends_in_filler)
    slices, first_slice, key, in_slice, kind = 0, False, False, False, -1
    at = content.find(_START) + len(_START)
    while len(_START) <= at < len(content) - syntax.header_bytes:
        kind, after = content[at] >> syntax.shift & syntax.mask, content[at + syntax.header_bytes]
        in_slice = kind in syntax.slices
        if in_slice:
            slices += 1
            first_slice = first_slice or after >= 0x80  # the slice's first block is the picture's
        key = key or kind in syntax.keys or (kind == syntax.sei and after == _RECOVERY_POINT)
        at = content.find(_START, at) + len(_START)
    return _Part(len(content), True, slices, first_slice, key, in_slice, kind == syntax.filler, slices > 0)


class _Sender:
    """What is known of how one sender cuts its pictures, and of the newest of them."""

    def __init__(self) -> None:
        self.slices = 0
        self._looks_whole = False
        self._before = _Part()
        # Bytes of packets. One with a whole NAL unit may be a little longer than one with the beginning of another.
        self._longest_begun = self._longest_beginning = self._longest_middle = 0
        self._slice_counts: deque[int] = deque(maxlen=DISTRUST)
        self._usual = 0
        self._right = 0

    def next_picture(self) -> None:
        """What comes from now on belongs to another picture."""
        if self.slices:
            self._right += self._looks_whole
            if self.slices != self._usual:
                self._right = min(self._right, 0)
            self._slice_counts.append(self.slices)
            self._usual = max(self._slice_counts)
        self.slices, self._looks_whole = 0, False

    def is_whole_with(self, part: _Part) -> bool:
        """Add a packet to the picture; True if that is whole now, as far as anyone can tell."""
        if self._looks_whole and part.is_picture:
            self._right = -DISTRUST  # it was not
        self.slices += part.slices
        if part.begins:
            ends_unit = part.size < (self._longest_beginning or self._longest_begun)
            self._longest_begun = max(part.size, self._longest_begun)
        else:
            ends_unit = part.size < self._longest_middle
            self._longest_middle = max(part.size, self._longest_middle)
            if self._before.begins:
                self._longest_beginning = max(self._before.size, self._longest_beginning)
        self._before = part
        self._looks_whole = ends_unit and part.ends_in_slice and self.slices == self._usual > 0
        return self._looks_whole and self._right >= PROVEN
