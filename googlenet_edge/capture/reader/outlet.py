"""Decoded pictures on their way to the process that wants them: the newest one wins, or each waits its turn."""

from __future__ import annotations

import os
import threading
from collections import deque

import av
from av.video.reformatter import ColorRange, VideoReformatter

from googlenet_edge.capture.reader.wire import FRAME, LARGEST_SIDE_PX, Header, message_packet

__all__ = ["Outlet"]

WAITING_FRAMES = 3
"""Decoded pictures that wait where all are wanted; then the decoder waits, and with it the sender."""


class Outlet:
    """Sends a picture for each one that is asked for, from a thread of its own.

    Nothing is sent unasked, so no picture grows old in the pipe: who asks late gets the newest.
    """

    def __init__(self, frames_fd: int, *, every_frame: bool) -> None:
        self.every_frame = every_frame
        """May be set before the first frame."""
        self._fd = frames_fd
        self._changed = threading.Condition()  # guards all that follows
        self._asked = 0
        self._messages: deque[bytes] = deque()
        self._frames: deque[tuple[av.VideoFrame, int, bool]] = deque()
        self._skipped = 0
        self._damaged = 0
        self._sending = False
        self._closed = False
        self._reformatter = VideoReformatter()

    @property
    def closed(self) -> bool:
        """Nobody wants anything any more."""
        return self._closed

    def ask(self, count: int) -> None:
        """Let so many more pictures go."""
        with self._changed:
            self._asked += count
            self._changed.notify_all()

    def close(self) -> None:
        """End all waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def say(self, event: str, **fields: object) -> None:
        """Send a message, before the pictures that wait."""
        with self._changed:
            self._messages.append(message_packet(event, **fields))
            self._changed.notify_all()

    def put(self, frame: av.VideoFrame, captured_ns: int, *, stamped_by_stream: bool, skipped: int = 0) -> None:
        """Hand a picture over, before which so many were left out. Where all are wanted, wait for room."""
        with self._changed:
            self._skipped += skipped
            if self.every_frame:
                self._changed.wait_for(lambda: len(self._frames) < WAITING_FRAMES or self._closed)
            elif self._frames:
                self._frames.clear()
                self._skipped += 1
            self._frames.append((frame, captured_ns, stamped_by_stream))
            self._changed.notify_all()

    def count_damaged(self, count: int = 1) -> None:
        """Count pictures that could not be decoded."""
        with self._changed:
            self._damaged += count

    def finish(self, event: str, **fields: object) -> None:
        """Send the last message, after all pictures, and wait until it is sent."""
        for last in (False, True):
            with self._changed:
                if last:
                    self._messages.append(message_packet(event, **fields))
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or not (self._frames or self._messages or self._sending))

    def send_all(self) -> None:
        """Send until nobody wants anything any more."""
        while True:
            with self._changed:
                self._sending = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed or self._messages or (self._frames and self._asked))
                if self._closed:
                    return
                self._sending = True
                message = self._messages.popleft() if self._messages else None
                if message is None:
                    item = self._frames.popleft()
                    self._asked -= 1
                    counts = self._skipped, self._damaged
                    self._skipped = self._damaged = 0
                    self._changed.notify_all()
            if message is not None:
                self._write(memoryview(message))
            else:
                self._send(*item, *counts)

    def _send(self, frame: av.VideoFrame, captured_ns: int, by_stream: int, skipped: int, damaged: int) -> None:
        if max(frame.width, frame.height) > LARGEST_SIDE_PX:
            raise ValueError(f"got a picture of {frame.width}x{frame.height} pixels")
        # What the stream does not say: the range of all video but JPEG's is limited; grey is converted as it is.
        source_range = int(frame.color_range)
        if source_range == ColorRange.UNSPECIFIED:
            full = frame.format.name.startswith(("yuvj", "gray", "rgb", "bgr", "gbr"))
            source_range = int(ColorRange.JPEG if full else ColorRange.MPEG)
        image = self._reformatter.reformat(
            frame, format="bgr24", src_color_range=source_range, dst_color_range=int(ColorRange.JPEG)
        )
        plane = image.planes[0]
        size = plane.line_size * image.height
        header = Header(
            FRAME, bool(by_stream), damaged, image.width, image.height, plane.line_size, skipped, captured_ns
        )
        self._write(memoryview(header.pack()))
        self._write(memoryview(plane)[:size])

    def _write(self, data: memoryview) -> None:
        data = data.cast("B")
        while data:
            data = data[os.write(self._fd, data) :]
