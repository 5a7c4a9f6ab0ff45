"""Annotated frames as video files, one for each camera."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from googlenet_edge.atomic import check_writable
from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.sinks.video_file import VideoFile, VideoOptions, codec_of
from googlenet_edge.types import Frame, Prediction

__all__ = ["VideoOptions", "VideoSink", "camera_path"]

_DEFAULT_OPTIONS = VideoOptions()


class VideoSink(Sink):
    """Writes annotated frames to ``.mp4``, ``.mkv`` or ``.avi``; it is encoded on the loop's own thread.

    In a run of several cameras each has a file of its own, see :func:`camera_path`. The size is that of the first
    frame, made even, as codecs want it; a frame of another size is fitted into it with black bars. The file appears
    under its name when it is closed and proved readable; before that it has a temporary name in the same folder, so
    that a run that is killed leaves no half file under ``path``. Without a frame, no file.
    """

    def __init__(
        self,
        path: Path,
        annotator: Annotator,
        options: VideoOptions | Mapping[str | None, VideoOptions] = _DEFAULT_OPTIONS,
    ) -> None:
        """``options`` are for all files, or by the cameras' names.

        Raises :class:`UsageError` for an unknown file type, :class:`OutputError` where no file can be written.
        """
        codec_of(path)
        check_writable(path, what="video")
        self._path, self._annotator, self._options = path, annotator, options
        self._files: dict[str | None, VideoFile] = {}
        self._failed: set[str | None] = set()
        self._closed = False

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Annotate and write one frame. Raises :class:`OutputError`."""
        if self._closed:
            raise OutputError(f"video: {self._path} is closed")
        camera = frame.camera
        self._failed.add(camera)  # until it is written
        file = self._files.get(camera)
        if file is None:
            options = self._options if isinstance(self._options, VideoOptions) else self._options[camera]
            file = self._files[camera] = VideoFile(camera_path(self._path, camera), options)
        file.check_space()
        file.write(self._annotator.annotate(frame, prediction), frame.captured_ns)
        self._failed.discard(camera)

    def lost(self, camera: str | None) -> None:
        """Be told that a camera was lost: its video does not stand still for as long as that lasts."""
        if camera in self._files:
            self._files[camera].lost()

    def reopen(self) -> None:
        """Finish the files that could not be written to and go on in new ones, ``NAME.part2.mp4`` and so on, so that
        what was recorded until then is safe. Raises :class:`OutputError`.
        """
        self._each([self._files[camera].next_part for camera in self._failed if camera in self._files])

    def close(self) -> None:
        """Finish the files, prove that they can be read and give them their names. Raises :class:`OutputError`."""
        self._closed = True
        self._each([file.finish for file in self._files.values()])

    def _each(self, steps: list[Callable[[], None]]) -> None:
        """Do all of it, and raise the first error afterwards: one file that fails must not cost the others."""
        errors = []
        for step in steps:
            try:
                step()
            except OutputError as error:
                errors.append(error)
        if errors:
            raise errors[0]


def camera_path(path: Path, camera: str | None) -> Path:
    """Return the file of one camera: ``out.mp4`` and camera ``door`` make ``out-door.mp4``; None makes ``path`` itself.

    What is no ASCII letter, digit, ``-``, ``_``, ``.`` or ``~`` in the name becomes ``%`` and its bytes in hexadecimal,
    so that no name leads to another folder and no two names to one file.
    """
    return path if camera is None else path.with_name(f"{path.stem}-{quote(camera, safe='')}{path.suffix}")
