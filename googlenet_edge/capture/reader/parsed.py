"""Cuts what comes in the packets of an RTSP stream into pictures, with FFmpeg's parsers.

A packet may hold a part of a picture, or several small pictures with the time stamp of the first (RFC 6416, section
5.2). The parsers hand a picture on when the next one begins.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import av

from googlenet_edge.capture.reader.received import Received

__all__ = ["CODECS", "parsed"]

CODECS = frozenset(("mpeg4", "h263", "mpeg1video", "mpeg2video"))
"""Codecs of which FFmpeg hands out what came in one packet, other than those of which we know better."""

_START = b"\0\0\1"


def parsed(packets: Iterable[av.Packet[Any]], codec: str) -> Iterator[Received]:
    """Hand on each picture, with the time when it began to arrive.

    Its time stamp is that of the packet in which it begins; None if another one began there before it.
    """
    parser = av.CodecContext.create(codec, "r")
    begun: tuple[int | None, int] | None = None  # time stamp and arrival of the picture that is not whole yet
    head: av.Packet[Any] | None = None
    for packet in packets:
        now_ns = time.monotonic_ns()
        stamp = packet.pts
        head = head or packet
        if begun is None:
            begun, stamp = (stamp, now_ns), None
        for picture in parser.parse(bytes(packet) if packet.size else b""):
            yield _like(head, picture, codec, begun)
            begun, stamp = (stamp, now_ns), None
        if not packet.size:  # the end: the decoder may hand out what it has kept
            yield Received(packet, now_ns)


def _like(head: av.Packet[Any], picture: av.Packet[Any], codec: str, begun: tuple[int | None, int]) -> Received:
    picture.pts, arrived_ns = begun
    picture.time_base, picture.is_keyframe = head.time_base, _is_key(codec, bytes(picture))
    if head.stream is not None:
        picture.stream = head.stream
    return Received(picture, arrived_ns)


def _is_key(codec: str, content: bytes) -> bool:
    """Whether a picture needs no other (ISO/IEC 14496-2, 6.2.5; 13818-2, 6.2.3); False of H.263."""
    if codec == "h263":
        return False
    at = content.find(_START + (b"\xb6" if codec == "mpeg4" else b"\0"))
    if not 0 <= at < len(content) - 5:
        return False
    return content[at + 4] >> 6 == 0 if codec == "mpeg4" else content[at + 5] >> 3 & 7 == 1
