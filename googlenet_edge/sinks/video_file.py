"""A video file of one camera: written by OpenCV, kept in step with the camera's time, proved before it is kept."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from googlenet_edge.atomic import check_writable
from googlenet_edge.errors import OutputError, UsageError
from googlenet_edge.sinks.video_leftovers import hold, settle_leftovers, temporary_path
from googlenet_edge.types import ImageArray

__all__ = ["VideoFile", "VideoOptions", "codec_of"]

_CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_MAX_REPEAT_S = 5.0
_MAX_REPEAT_AFTER_LOSS_S = 1.0
"""Less than for other gaps: the frames that repeat the last one are encoded at once, while new ones wait."""
_CHECK_SPACE_FRAMES = 30


@dataclass(frozen=True)
class VideoOptions:
    """How a video is written."""

    fps: float = 30.0
    """Frames per second at which the file plays."""
    real_time: bool = False
    """For live sources: keep the file's time in step with the frames' capture times by repeating the last frame over
    gaps (up to five seconds each, one second where the camera was lost) and leaving out frames that come faster than
    ``fps``. Otherwise each frame is written once.
    """
    min_free_bytes: int = 16 * 2**20
    """Stop while this much space is left on the disk, so that the file's index can still be written."""

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 1000:
            raise UsageError(f"video: got fps={self.fps}, expected a number above 0, at most 1000")
        if self.min_free_bytes < 0:
            raise UsageError(f"video: got min_free_bytes={self.min_free_bytes}, expected 0 or more")


def codec_of(path: Path) -> str:
    """Return the four-letter code for the file's type. Raises :class:`UsageError` for a type that cannot be written."""
    codec = _CODECS.get(path.suffix.lower())
    if codec is None:
        raise UsageError(f"video {path}: got file type {path.suffix!r}, expected one of {', '.join(_CODECS)}")
    return codec


class VideoFile:
    """Writes images to a video under a temporary name, which becomes ``path`` when the file is finished and proved."""

    def __init__(self, path: Path, options: VideoOptions) -> None:
        """Raises :class:`UsageError` for an unknown file type, :class:`OutputError` where no file can be written."""
        self._codec = codec_of(path)
        # OpenCV gives no reason for a path that it cannot write to; the system does.
        check_writable(path, what="video")
        self._first_path = Path(os.path.realpath(path))  # a link stays one, and what it leads to is replaced
        self._options = options
        self._kept = False
        settle_leftovers(self._first_path)
        self._begin(self._first_path)

    def _begin(self, path: Path) -> None:
        self._path = path
        self._temporary = temporary_path(path)
        self._handle: int | None = None
        self._writer: cv2.VideoWriter | None = None
        self._size_px = (0, 0)
        self._first_ns = 0
        self._written = 0
        self._check_at = 0
        self._last_image: ImageArray | None = None
        self._after_loss = False

    def check_space(self) -> None:
        """Raise :class:`OutputError` where the disk is nearly full; to be called before each :meth:`write`."""
        if self._written >= self._check_at:  # no multiple: one write may be of several frames
            self._check_space()
            self._check_at = self._written + _CHECK_SPACE_FRAMES

    def write(self, image: ImageArray, captured_ns: int) -> None:
        """Write one image, uint8 (height, width, 3), BGR, as often as it is due. Raises :class:`OutputError`."""
        if self._writer is None:
            self._open(image)
            self._first_ns = captured_ns
        image = _fit(image, self._size_px)
        copies = self._copies(captured_ns)
        self._after_loss = False
        if copies > 1 and self._last_image is not None:
            for _ in range(copies - 1):
                self._write(self._last_image)
        if copies:
            self._write(image)
            self._last_image = image if self._options.real_time else None

    def lost(self) -> None:
        """Be told that the camera was lost: the file does not wait long for it."""
        self._after_loss = True

    def next_part(self) -> None:
        """Finish the file and go on in a new one beside it, ``NAME.part2.mp4`` and so on.

        Where nothing was kept, the new one takes its name. Raises :class:`OutputError`, and goes on nevertheless.
        """
        try:
            self.finish()
        finally:
            self._begin(self._next_path())

    def finish(self) -> None:
        """Finish the file, prove that it can be read and give it its name; without a frame there is none.

        A second call does nothing. Raises :class:`OutputError`.
        """
        if self._writer is None:
            return
        try:
            writer, self._writer = self._writer, None
            writer.release()
            if self._written:
                self._verify()
                self._temporary.replace(self._path)
                self._kept = True
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"video: cannot write {self._path}: {error.strerror}") from error
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _next_path(self) -> Path:
        if not self._kept:
            return self._first_path
        stem, suffix = self._first_path.stem, self._first_path.suffix
        parts = (self._first_path.with_name(f"{stem}.part{number}{suffix}") for number in itertools.count(2))
        return next(path for path in parts if not path.exists())  # parts of an earlier run are left alone

    def _open(self, image: ImageArray) -> None:
        height, width = image.shape[:2]
        self._size_px = (width + width % 2, height + height % 2)
        code = cv2.VideoWriter.fourcc(*self._codec)
        try:
            self._handle = hold(self._temporary)
        except OSError as error:
            raise OutputError(f"video: cannot write {self._path}: {error.strerror}") from error
        # FFmpeg by name: where OpenCV has none, another backend would take the call and write something else.
        writer = cv2.VideoWriter(os.fspath(self._temporary), cv2.CAP_FFMPEG, code, self._options.fps, self._size_px)
        if not writer.isOpened() and self._path.suffix.lower() == ".avi":
            writer = cv2.VideoWriter(
                os.fspath(self._temporary), cv2.CAP_OPENCV_MJPEG, code, self._options.fps, self._size_px
            )
        if not writer.isOpened():
            self._let_go()
            raise OutputError(
                f"video: OpenCV {cv2.__version__} cannot encode {self._path} "
                f"({self._size_px[0]}x{self._size_px[1]} at {self._options.fps:g} frames/s, codec {self._codec}); "
                "use a name that ends in .avi, or an OpenCV with FFmpeg (`googlenet-edge doctor` shows it)"
            )
        self._writer = writer

    def _copies(self, captured_ns: int) -> int:
        """Return how often the file needs a frame now to stay in step with the clock."""
        if not self._options.real_time:
            return 1
        slot = round((captured_ns - self._first_ns) / 1e9 * self._options.fps)
        missing = slot - self._written + 1
        longest = max(1, int((_MAX_REPEAT_AFTER_LOSS_S if self._after_loss else _MAX_REPEAT_S) * self._options.fps))
        if missing > longest:
            # A gap longer than that is shortened: from here on the file's time is behind by the rest.
            self._first_ns += round((missing - longest) / self._options.fps * 1e9)
        return min(max(missing, 0), longest)

    def _write(self, image: ImageArray) -> None:
        if self._writer is None:
            raise OutputError(f"video: {self._path} is closed")
        try:
            self._writer.write(image)
        except cv2.error as error:
            raise OutputError(f"video: OpenCV cannot write to {self._path}: {error.err or error}") from error
        self._written += 1

    def _check_space(self) -> None:
        try:
            free_bytes = shutil.disk_usage(self._temporary.parent).free
        except OSError as error:
            raise OutputError(f"video: cannot write {self._path}: {error.strerror}") from error
        if free_bytes < self._options.min_free_bytes:
            raise OutputError(
                f"video: the disk of {self._path} has {free_bytes / 2**20:.0f} MiB left, expected at least "
                f"{self._options.min_free_bytes / 2**20:.0f}; the video ends here: free some space or write elsewhere"
            )

    def _verify(self) -> None:
        """OpenCV's writer reports no error, not even a full disk, so look at what it wrote."""
        capture = cv2.VideoCapture(os.fspath(self._temporary), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            capture = cv2.VideoCapture(os.fspath(self._temporary), cv2.CAP_ANY)
        try:
            frames = round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        finally:
            capture.release()
        # Matroska keeps a duration instead of a count, so the count is rounded from it.
        if abs(frames - self._written) > max(1, self._written // 100):
            raise OutputError(
                f"video: {self._path} has {frames} frames after writing {self._written}; it was not kept: "
                "the disk may be full, or this OpenCV cannot write the format (try a name that ends in .avi)"
            )


def _fit(image: ImageArray, size_px: tuple[int, int]) -> ImageArray:
    """Return the image at this (width, height): padded by a pixel where it is odd, scaled with black bars otherwise."""
    height, width = image.shape[:2]
    if (width, height) == size_px:
        return image
    canvas = np.zeros((size_px[1], size_px[0], 3), dtype=np.uint8)
    if (width + width % 2, height + height % 2) == size_px:
        padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        canvas[:] = padded
        return canvas
    scale = min(size_px[0] / width, size_px[1] / height)
    fitted_px = (max(1, round(width * scale)), max(1, round(height * scale)))
    x_px, y_px = (size_px[0] - fitted_px[0]) // 2, (size_px[1] - fitted_px[1]) // 2
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[y_px : y_px + fitted_px[1], x_px : x_px + fitted_px[0]] = cv2.resize(
        image, fitted_px, interpolation=interpolation
    )
    return canvas
