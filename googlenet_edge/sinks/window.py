"""Annotated frames in a window, one for each camera."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading

import cv2

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.sink import Sink, printable
from googlenet_edge.types import Frame, Prediction

__all__ = ["WindowSink"]

_PROBE = "import cv2; cv2.namedWindow('probe'); cv2.waitKey(1); cv2.destroyAllWindows()"
_PROBE_TIMEOUT_S = 20.0
_STOP_KEYS = (ord("q"), ord("Q"), 27)


class WindowSink(Sink):
    """Shows annotated frames; q, Esc or closing the last window sets ``stop``, which ends the run.

    In a run of several cameras each has a window of its own, with its name in the title. OpenCV's windows belong to the
    main thread: use it from there.
    """

    def __init__(self, annotator: Annotator, stop: threading.Event, *, title: str = "googlenet-edge") -> None:
        """Raises :class:`OutputError` where there is no display or this OpenCV has no windows."""
        _require_display()
        self._annotator = annotator
        self._stop = stop
        self._title = title
        self._shown: dict[str | None, str] = {}
        self._hidden: set[str | None] = set()

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Show one frame and look at the keyboard. Raises :class:`OutputError`."""
        camera = frame.camera
        if camera in self._hidden:
            return
        try:
            title = self._shown.get(camera)
            if title is None:
                title = self._title if camera is None else f"{self._title}: {printable(camera)}"
                # Frames may be larger than the screen: a window that can be resized fits.
                cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                self._shown[camera] = title
                height, width = frame.image.shape[:2]
                cv2.resizeWindow(title, min(width, 1280), max(1, min(width, 1280) * height // width))
            elif not _is_visible(title):
                self._hidden.add(camera)
                if self._hidden.issuperset(self._shown):
                    self._stop.set()
                return
            cv2.imshow(title, self._annotator.annotate(frame, prediction))
            if cv2.waitKey(1) & 0xFF in _STOP_KEYS:
                self._stop.set()
        except cv2.error as error:
            raise OutputError(
                f"window: OpenCV cannot show the frame: {error.err or error}; use --video FILE instead"
            ) from error

    def close(self) -> None:
        """Close the windows."""
        for camera, title in self._shown.items():
            if camera not in self._hidden:
                with contextlib.suppress(cv2.error):
                    cv2.destroyWindow(title)
        self._shown.clear()


def _is_visible(title: str) -> bool:
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # Qt's answer when the user has closed the last window
        return False


def _require_display() -> None:
    """Open a window in another process first: without a display, OpenCV's Qt ends the process that asks for one."""
    remedy = (
        "run it at a screen (over SSH: `ssh -X`) with an OpenCV that has windows "
        "(opencv-python, not opencv-python-headless), or use --video FILE instead"
    )
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(f"window: cannot open one: {error}; {remedy}") from error
    if probe.returncode != 0:
        lines = [printable(line) for line in probe.stderr.splitlines() if line.strip()]
        # Qt says the cause in its first line; a Python traceback, in its last.
        reason = next((line for line in lines if line.startswith("qt.")), lines[-1] if lines else "no reason given")
        raise OutputError(f"window: cannot open one: {reason}; {remedy}")
