"""A V4L2 camera that streams: format, rate and buffers set and read back, frames taken with a deadline."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import mmap
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from googlenet_edge.capture import v4l2_abi as abi
from googlenet_edge.capture.options import SourceOptions, titled
from googlenet_edge.capture.v4l2_device import call, open_node, rate_of, read_modes
from googlenet_edge.capture.v4l2_modes import READABLE, Choice, Mode, choose, is_same_format
from googlenet_edge.capture.v4l2_pictures import PictureLayout
from googlenet_edge.errors import SourceError

__all__ = ["DEFAULT_BUFFERS", "CameraBuffer", "CameraStream"]

_logger = logging.getLogger(__name__)

DEFAULT_BUFFERS = 4
"""One that is decoded, one that is being filled, and two in reserve."""
_PIPELINE = "its frames can be had through GStreamer: 'gst: v4l2src device={path} ! decodebin'"


@dataclass(frozen=True)
class CameraBuffer:
    """A buffer that the driver has filled. It is the reader's until it is given back."""

    index: int
    used_bytes: int
    sequence: int
    """The driver's count of the camera's frames: those that it dropped leave gaps."""
    stamp_ns: int | None
    """The driver's time stamp, if it is by the monotonic clock."""
    damaged: bool
    """The driver itself says so."""


class CameraStream:
    """An open camera that delivers frames. Used by one thread; close it with :meth:`close`.

    Raises :class:`SourceError` where it offers nothing that can be read, and :class:`OSError` as the driver does.
    """

    layout: PictureLayout
    fps: float | None
    """Frames per second that the driver promises; None where it does not say."""
    buffer_count: int

    def __init__(self, path: str, options: SourceOptions) -> None:
        self._path = path
        self._maps: list[mmap.mmap] = []
        with contextlib.ExitStack() as opened:
            self._handle = open_node(path)
            opened.callback(self.close)
            choice = self._choose(options)
            self.layout = self._set_format(choice)
            self.fps = self._set_rate(choice.fps)
            self.buffer_count = self._map_buffers(options.buffers or DEFAULT_BUFFERS)
            for index in range(self.buffer_count):
                self.give_back(index)
            self._switch(abi.STREAMON)
            opened.pop_all()

    def wait(self, timeout_ms: int) -> bool:
        """Wait until a buffer may be filled, or something is wrong, which taking one then tells; False if not."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(timeout_ms))

    def take(self) -> CameraBuffer | None:
        """Take the buffer that was filled first; None where there is none. Raises :class:`OSError`."""
        buffer = abi.Buffer(type=abi.BUF_TYPE_VIDEO_CAPTURE, memory=abi.MEMORY_MMAP)
        try:
            call(self._handle, abi.DQBUF, buffer)
        except BlockingIOError:
            return None
        monotonic = buffer.flags & abi.BUF_FLAG_TIMESTAMP_MASK == abi.BUF_FLAG_TIMESTAMP_MONOTONIC
        return CameraBuffer(
            index=buffer.index,
            used_bytes=min(buffer.bytesused, len(self._maps[buffer.index])),
            sequence=buffer.sequence,
            stamp_ns=buffer.seconds * 1_000_000_000 + buffer.microseconds * 1000 if monotonic else None,
            damaged=bool(buffer.flags & abi.BUF_FLAG_ERROR),
        )

    @contextlib.contextmanager
    def content(self, buffer: CameraBuffer) -> Iterator[memoryview]:
        """What a buffer holds, as far as it was filled; no view of it may outlive the block."""
        with memoryview(self._maps[buffer.index]) as whole, whole[: buffer.used_bytes] as used:
            yield used

    def give_back(self, index: int) -> None:
        """Let the driver fill a buffer again."""
        buffer = abi.Buffer(index=index, type=abi.BUF_TYPE_VIDEO_CAPTURE, memory=abi.MEMORY_MMAP)
        call(self._handle, abi.QBUF, buffer)

    def close(self) -> None:
        """Stop the camera and free it. Idempotent."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        with contextlib.suppress(OSError):  # a camera that is gone has stopped
            call(handle, abi.STREAMOFF, ctypes.c_int(abi.BUF_TYPE_VIDEO_CAPTURE))
        for mapped in self._maps:
            mapped.close()
        self._maps.clear()
        os.close(handle)

    def _choose(self, options: SourceOptions) -> Choice:
        now = self._format()
        current_px = (now.width, now.height)
        # A driver that lists nothing still has what it is set to.
        modes = read_modes(self._handle, options.size_px or current_px) or (
            Mode(abi.fourcc_name(now.pixelformat), None),
        )
        choice = choose(
            modes,
            current=(abi.fourcc_name(now.pixelformat), current_px),
            size_px=options.size_px,
            fps=options.asked_fps,
            fourcc=options.fourcc,
        )
        offered = dict.fromkeys(mode.fourcc for mode in modes)
        _logger.debug("%s: offers %s", self._path, modes)
        if choice is None:
            raise SourceError(
                f"{self._path}: offers only {', '.join(offered)}, expected one of {', '.join(READABLE)}; "
                f"{_PIPELINE.format(path=self._path)}"
            )
        if options.fourcc is not None and not is_same_format(choice.fourcc, options.fourcc):
            _logger.warning(
                "%s: asked for %s, which it does not offer (it has %s); takes %s",
                *(titled(options.name, self._path), options.fourcc, ", ".join(offered), choice.fourcc),
            )
        return choice

    def _format(self) -> abi.Format:
        answer = abi.Format(type=abi.BUF_TYPE_VIDEO_CAPTURE)
        call(self._handle, abi.G_FMT, answer)
        return answer

    def _set_format(self, choice: Choice) -> PictureLayout:
        # What else the driver has set (colour space, quantization) stays. Its own bytes per line, for the new size.
        asked = self._format()
        asked.width, asked.height = choice.size_px
        asked.pixelformat, asked.field = abi.fourcc_code(choice.fourcc), abi.FIELD_ANY
        asked.bytesperline = asked.sizeimage = 0
        call(self._handle, abi.S_FMT, asked)
        got = abi.fourcc_name(asked.pixelformat)
        if got not in READABLE:
            raise SourceError(
                f"{self._path}: asked for {choice.fourcc}, the driver gives {got}, expected one of "
                f"{', '.join(READABLE)}; {_PIPELINE.format(path=self._path)}"
            )
        layout = PictureLayout(
            got,
            asked.width,
            asked.height,
            stride_bytes=asked.bytesperline,
            full_range=asked.quantization == abi.QUANTIZATION_FULL_RANGE,
        )
        if layout.stride_bytes < layout.row_bytes:  # 0: the driver leaves it out
            layout = PictureLayout(got, layout.width_px, layout.height_px, layout.row_bytes, layout.full_range)
        if not layout.is_whole:
            raise SourceError(
                f"{self._path}: got {layout.width_px}x{layout.height_px} {got}, expected even sides; "
                f"ask for another size with --size, or for another pixel format"
            )
        return layout

    def _set_rate(self, fps: float | None) -> float | None:
        """Ask for a rate, and return what the driver has set; None where it does not say."""
        parameters = abi.StreamParameters(type=abi.BUF_TYPE_VIDEO_CAPTURE)
        try:
            call(self._handle, abi.G_PARM, parameters)
            if fps is not None and parameters.capability & abi.CAP_TIMEPERFRAME:
                interval = 1 / Fraction(fps).limit_denominator(1001)
                parameters.timeperframe = abi.Fraction(interval.numerator, interval.denominator)
                call(self._handle, abi.S_PARM, parameters)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL, errno.ENOSYS):
                raise
        return rate_of(parameters.timeperframe)

    def _map_buffers(self, count: int) -> int:
        request = abi.RequestBuffers(count=count, type=abi.BUF_TYPE_VIDEO_CAPTURE, memory=abi.MEMORY_MMAP)
        call(self._handle, abi.REQBUFS, request)
        if not request.count:
            raise SourceError(f"{self._path}: the driver has no memory for a frame buffer; ask for a smaller size")
        for index in range(request.count):
            buffer = abi.Buffer(index=index, type=abi.BUF_TYPE_VIDEO_CAPTURE, memory=abi.MEMORY_MMAP)
            call(self._handle, abi.QUERYBUF, buffer)
            self._maps.append(
                mmap.mmap(self._handle, buffer.length, mmap.MAP_SHARED, mmap.PROT_READ, offset=buffer.offset)
            )
        return int(request.count)

    def _switch(self, request: int) -> None:
        call(self._handle, request, ctypes.c_int(abi.BUF_TYPE_VIDEO_CAPTURE))
