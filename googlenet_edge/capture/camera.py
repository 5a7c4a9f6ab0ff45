"""Cameras through V4L2: USB cameras, capture cards, and whatever else has a driver of the kernel's."""

from __future__ import annotations

import errno
import logging
import re
import threading
import time
from pathlib import Path

from googlenet_edge.capture.options import HIGHEST_FPS, SourceOptions, longest_wait_ms, titled
from googlenet_edge.capture.v4l2_find import check_camera, explain
from googlenet_edge.capture.v4l2_pictures import decode_picture
from googlenet_edge.capture.v4l2_stream import CameraBuffer, CameraStream
from googlenet_edge.errors import SourceError, SourceLostError
from googlenet_edge.types import Clock, Frame, ImageArray, StampSource

__all__ = ["CameraGrabber", "camera_path"]

_logger = logging.getLogger(__name__)

LOOK_MS = 100
"""How often the stop event is looked at while no frame comes."""
OLDEST_STAMP_NS = 5_000_000_000
"""A driver's time stamp that is further back is wrong: by another clock, or never set. Unless it follows a good one:
then the frame has waited, because the program was stopped or every frame is wanted."""
_PAUSE_S = 0.01
"""Between two looks at a driver that answers at once and has no frame, so that this does not spin."""


def camera_path(uri: str) -> str:
    """Return the device node of a camera given by index or path."""
    return f"/dev/video{int(uri)}" if re.fullmatch(r"[0-9]+", uri) else uri


class CameraGrabber:
    """A V4L2 camera as a :class:`~googlenet_edge.capture.live.Grabber`.

    Frames are stamped by the driver (``stamp_source="device"``) where it does so by the monotonic clock and the stamp
    is plausible by ``clock``, else when they are taken from it. Of several frames that are ready, the newest one is
    decoded, unless ``options.every_frame``. Damaged pictures are left out.

    Raises :class:`SourceError` where the device is missing, forbidden, busy, no camera, or offers no format that is
    read here.
    """

    live = True

    def __init__(self, path: str, options: SourceOptions, *, stop: threading.Event, clock: Clock) -> None:
        self._path = path
        self._title = titled(options.name, path)
        self._every_frame = options.every_frame
        self._stop = stop
        self._clock = clock
        check_camera(path)
        try:
            self._stream = CameraStream(path, options)
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"{path}: {explain(path, error)}") from error
        self._report(options)
        fps = self._stream.fps
        self.fps = fps if fps and fps <= HIGHEST_FPS else None
        """What the driver promises."""
        self._timeout_ms = longest_wait_ms(options.read_timeout_ms, self.fps or options.asked_fps)
        self._last_number: int | None = None
        self._last_stamp_ns: int | None = None
        self._last_good_ns: int | None = None  # of the driver's own
        self._skipped = self._damaged = self._missed = self._restamped = 0

    def grab(self, sequence: int) -> Frame | None:
        """Return the camera's next frame, or None once the stop event is set. Raises :class:`SourceLostError`.

        Frames that gave way to a newer one in the driver's queue raise the number that it gets.
        """
        self._skipped, damaged = 0, self._damaged
        limit = time.monotonic() + self._timeout_ms / 1000
        while not self._stop.is_set():
            try:
                frame = self._next(sequence)
            except OSError as error:
                raise SourceLostError(
                    f"{self._path}: the camera {self._fate(error)} (after {sequence} frames)"
                ) from error
            if frame is not None:
                return frame
            if time.monotonic() >= limit:
                raise SourceLostError(
                    f"{self._path}: {self._silence(self._damaged - damaged)}, after {sequence} frames"
                )
        return None

    def release(self) -> None:
        """Stop the camera and free it; log what it lost."""
        self._stream.close()
        if self._damaged:
            _logger.warning("%s: left out %d damaged pictures", self._title, self._damaged)
        if self._missed:
            _logger.warning(
                "%s: the driver dropped %d frames, by its own count: all buffers were full, or the cable lost them",
                *(self._title, self._missed),
            )
        if self._restamped:
            _logger.warning(
                "%s: the driver's time stamp was implausible for %d frames, which got the host's",
                *(self._title, self._restamped),
            )

    def _next(self, sequence: int) -> Frame | None:
        """Return the next frame; None where there is no whole one for now. Raises :class:`OSError`."""
        if not self._stream.wait(LOOK_MS):
            return None
        buffer = self._newest()
        if buffer is None:
            self._stop.wait(_PAUSE_S)
            return None
        stamp_ns, stamp_source = self._stamp(buffer)
        image = self._decode(buffer)
        self._stream.give_back(buffer.index)
        if image is None:
            self._damaged += 1
            return None
        self._last_stamp_ns = stamp_ns
        return Frame(image, sequence + self._skipped, stamp_ns, stamp_source)

    def _newest(self) -> CameraBuffer | None:
        """The newest of the buffers that are ready, or with ``every_frame`` the oldest one."""
        buffer = self._take()
        while buffer is not None and not self._every_frame and (newer := self._take()) is not None:
            self._stream.give_back(buffer.index)
            self._skipped += 1
            buffer = newer
        return buffer

    def _take(self) -> CameraBuffer | None:
        try:
            buffer = self._stream.take()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._damaged += 1  # one frame went wrong; a camera that is gone says so the next time
            return None
        if buffer is not None:
            if self._last_number is not None:
                gap = (buffer.sequence - self._last_number - 1) & 0xFFFFFFFF
                # Drivers that count nothing say 0 every time; some begin again.
                self._missed += gap if gap < 1 << 16 else 0
            self._last_number = buffer.sequence
        return buffer

    def _stamp(self, buffer: CameraBuffer) -> tuple[int, StampSource]:
        now_ns = self._clock()
        if buffer.stamp_ns is None:
            return now_ns, "host"
        oldest_ns = now_ns - OLDEST_STAMP_NS
        if self._last_good_ns is not None:
            oldest_ns = min(oldest_ns, self._last_good_ns)
        if not oldest_ns <= buffer.stamp_ns <= now_ns:
            self._restamped += 1
            return now_ns, "host"
        self._last_good_ns = buffer.stamp_ns
        if self._last_stamp_ns is not None and buffer.stamp_ns <= self._last_stamp_ns:
            return self._last_stamp_ns + 1, "host"  # behind one that had to be replaced: time goes forward only
        return buffer.stamp_ns, "device"

    def _decode(self, buffer: CameraBuffer) -> ImageArray | None:
        if buffer.damaged:
            return None
        with self._stream.content(buffer) as used:
            return decode_picture(used, self._stream.layout)

    def _fate(self, error: OSError) -> str:
        if error.errno in (errno.ENODEV, errno.ENXIO) or not Path(self._path).exists():
            return "was unplugged"
        return f"stopped delivering ({error.strerror}); unplug it and plug it in again"

    def _silence(self, damaged: int) -> str:
        if not Path(self._path).exists():
            return "the camera was unplugged"
        for_ms = f"for {self._timeout_ms:g} ms"
        if damaged:
            return f"only damaged pictures {for_ms} ({damaged}); try another cable, USB port or, with --size, size"
        return (
            f"the camera stopped delivering: no frame {for_ms}; unplug it and plug it in again, "
            f"or allow more time with a longer read timeout"
        )

    def _report(self, options: SourceOptions) -> None:
        """Log what the camera delivers, as a warning where that is not what it was asked for."""
        stream, layout = self._stream, self._stream.layout
        size_px, fps = options.size_px, options.asked_fps
        rate = "unknown rate" if stream.fps is None else f"{stream.fps:g} frames/s"
        got = f"{layout.width_px}x{layout.height_px} {layout.fourcc} at {rate}, {stream.buffer_count} buffers"
        asked = []
        if size_px is not None and size_px != (layout.width_px, layout.height_px):
            asked.append(f"{size_px[0]}x{size_px[1]}")
        if fps is not None and (stream.fps is None or abs(stream.fps - fps) > 0.5):
            asked.append(f"{fps:g} frames/s")
        if options.buffers is not None and options.buffers != stream.buffer_count:
            asked.append(f"{options.buffers} buffers")
        if asked:
            _logger.warning("%s: asked for %s; delivers %s", self._title, ", ".join(asked), got)
        else:
            _logger.info("%s: delivers %s", self._title, got)
