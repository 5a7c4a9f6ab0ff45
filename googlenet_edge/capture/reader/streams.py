"""Opens a stream in the way that its address and its server call for, and hands its pictures on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from googlenet_edge.capture.reader import parsed as by_parser
from googlenet_edge.capture.reader import pictures as by_packets
from googlenet_edge.capture.reader.damage import Damage
from googlenet_edge.capture.reader.received import Received, catching_up, timed
from googlenet_edge.capture.reader.run import LostError, NoVideoError, Settings
from googlenet_edge.capture.reader.stamps import StreamClock

if TYPE_CHECKING:
    from googlenet_edge.capture.reader.outlet import Outlet

__all__ = ["read_stream"]

DAMAGED_PACKETS = 1000
"""After so many in a row that cannot be read, without one that can, there is no stream."""
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto,httpproxy"


def read_stream(settings: Settings, outlet: Outlet) -> None:
    """Read a stream to its end. Raises OSError, ValueError or FFmpegError where it cannot be opened, and
    :class:`LostError` where it breaks off.
    """
    if urlsplit(settings.uri).scheme.lower().startswith("rtsp"):
        _read_container(settings, outlet, _rtsp_options(settings), length=None, rtsp=True)
        return
    from googlenet_edge.capture.reader.mjpeg import open_http, read_mjpeg

    with closing(open_http(settings.uri, timeout_s=settings.open_timeout_s)) as response:
        if response.is_mjpeg:
            response.set_timeout(settings.patience_s)
            read_mjpeg(response, outlet)
            return
    options = {"timeout": _microseconds(settings.patience_s), "analyzeduration": "1000000"}
    _read_container(settings, outlet, options, length=response.length, rtsp=False)


def _rtsp_options(settings: Settings) -> dict[str, str]:
    options = {
        "rtsp_transport": settings.transport,
        "timeout": _microseconds(settings.patience_s),
        "allowed_media_types": "video",
        # The description of the stream has what FFmpeg would otherwise wait seconds of video for. What it reads to
        # find out the rest is kept ("nobuffer" would lose the first key frame).
        "analyzeduration": "0",
        "probesize": "5000",
        "fpsprobesize": "0",
        "max_delay": str(settings.latency_ms * 1000),
        # Packets as they come: its parsers would keep each picture until the next one begins.
        "fflags": "+noparse+nofillin",
    }
    if settings.transport == "udp":
        options["buffer_size"] = str(4 << 20)
        if not settings.latency_ms:
            options["reorder_queue_size"] = "0"
    return options


def _microseconds(seconds: float) -> str:
    return str(round(seconds * 1e6))


def _read_container(
    settings: Settings, outlet: Outlet, options: dict[str, str], *, length: int | None, rtsp: bool
) -> None:
    timeout = (settings.open_timeout_s, settings.patience_s)
    options = {**options, "protocol_whitelist": _PROTOCOLS}
    with av.open(settings.uri, options=options, timeout=timeout) as container:
        # FFmpeg would draw a page of plain text as pictures of a terminal.
        if not container.streams.video or container.format.name == "tty":
            raise NoVideoError("no video track")
        stream = container.streams.video[0]
        expected = None if rtsp else _announced_frames(container, stream)
        live = rtsp or not (expected or (length is not None and container.format.name != "hls"))
        outlet.every_frame = outlet.every_frame or not live
        outlet.say("connected")
        codec = stream.codec_context
        if live:
            # Threads of slices: those of frames would hand each picture on some frames later.
            codec.thread_type = "SLICE"
            if codec.name not in by_parser.CODECS:  # those would come in the order of the packets, not of the pictures
                codec.options = {"flags": "low_delay"}
        else:
            codec.thread_type = "AUTO"
        facts: dict[str, object] = {"live": live, "expected": expected, "codec": codec.name}
        damage = Damage(read_timeout_s=settings.read_timeout_s if live else 0.0)
        _decode(container, stream, outlet, facts, damage, rtsp=rtsp)


def _announced_frames(container: InputContainer, stream: VideoStream) -> int | None:
    """How many frames a recording says it has, or the number that its duration and rate give; None of a stream."""
    if stream.frames > 0:
        return stream.frames
    if stream.duration and stream.time_base:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration:
        duration_s = container.duration / 1e6
    else:
        return None
    return max(1, int(duration_s * float(stream.average_rate or 0))) if duration_s > 0 else None


def _decode(
    container: InputContainer,
    stream: VideoStream,
    outlet: Outlet,
    facts: dict[str, object],
    damage: Damage,
    *,
    rtsp: bool,
) -> None:
    clock = StreamClock()
    arrivals: dict[int, int] = {}
    received = _received(_packets(container, stream, outlet), stream.codec_context.name, rtsp=rtsp)
    skipped = 0
    opened = False
    for item in received if outlet.every_frame else catching_up(received):
        packet, arrived_ns = item.packet, item.arrived_ns
        if item.left_out:
            skipped += item.left_out
            stream.codec_context.flush_buffers()
        if packet.pts is not None:
            arrivals[packet.pts] = arrived_ns
            while len(arrivals) > 64:
                del arrivals[next(iter(arrivals))]
        try:
            frames = packet.decode()
        except av.FFmpegError:
            outlet.count_damaged()
            damage.happened(arrived_ns)
            continue
        for frame in frames:
            if not isinstance(frame, av.VideoFrame):
                continue
            if damage.spoils(frame, arrived_ns):
                outlet.count_damaged()
                continue
            stamp_ns = None
            came_ns = arrived_ns
            if frame.pts is not None:
                came_ns = arrivals.get(frame.pts, arrived_ns)
                if frame.time_base is not None:
                    stamp_ns = round(frame.pts * frame.time_base * 1_000_000_000)
            captured_ns, stamped = clock.capture_time(stamp_ns, came_ns)
            if not opened:
                outlet.say("opened", quarter_turns=_quarter_turns(frame), **facts)
                opened = True
            outlet.put(frame, captured_ns, stamped_by_stream=stamped, skipped=skipped)
            skipped = 0
    if not opened and not outlet.closed:
        raise NoVideoError("it ended before its first picture")


def _received(packets: Iterator[av.Packet[VideoStream]], codec: str, *, rtsp: bool) -> Iterator[Received]:
    """One item a picture, with the time when it began to arrive."""
    if rtsp and codec in by_packets.CODECS:
        return by_packets.pictures(packets, codec)
    if rtsp and codec in by_parser.CODECS:
        return by_parser.parsed(packets, codec)
    return timed(packets)


def _quarter_turns(frame: av.VideoFrame) -> int:
    """How often a picture is to be turned to the left by a quarter, as a phone says that was held upright."""
    degrees = getattr(frame, "rotation", 0)  # PyAV before 14.2 does not say
    return 0 if degrees % 90 else degrees // 90 % 4


def _packets(container: InputContainer, stream: VideoStream, outlet: Outlet) -> Iterator[av.Packet[VideoStream]]:
    """The packets of the stream to its end, past what cannot be read."""
    failures = 0
    while True:
        try:
            for packet in container.demux(stream):
                if outlet.closed:
                    return
                failures = 0
                yield packet
        except av.EOFError:
            return
        except (av.InvalidDataError, av.PatchWelcomeError) as error:
            failures += 1
            outlet.count_damaged()
            if failures >= DAMAGED_PACKETS or outlet.closed:
                raise LostError("the server sends what is no video") from error
        except (av.TimeoutError, av.ExitError) as error:
            raise LostError("no data within the time limit") from error
        except (av.FFmpegError, OSError) as error:
            raise LostError(f"the connection broke: {error.strerror or type(error).__name__}") from error
        else:
            return
