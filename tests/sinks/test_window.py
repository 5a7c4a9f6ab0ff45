from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from googlenet_edge.errors import OutputError
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.window import WindowSink


@pytest.mark.parametrize("display", [None, ":4711"])
def test_without_a_display_there_is_one_clear_message(display: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display is not None:
        monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(OutputError, match="use --video FILE instead") as caught:
        WindowSink(Annotator(), threading.Event())
    assert "\n" not in str(caught.value)


@pytest.fixture
def display() -> Iterator[str]:
    """A screen that nobody sees."""
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("Xvfb is not installed (Debian: xvfb)")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [server, "-displayfd", str(writing), "-nolisten", "tcp", "-screen", "0", "800x600x24"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as file:
            number = file.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start here")
        yield f":{number}"
    finally:
        process.terminate()
        process.wait(30)


def test_each_camera_has_a_window_and_closing_the_last_one_ends_the_run(display: str) -> None:
    code = """
import threading
import cv2
import numpy as np
from googlenet_edge.sinks.overlay import Annotator
from googlenet_edge.sinks.window import WindowSink
from googlenet_edge.types import Frame, FrameTrace, Prediction

stop = threading.Event()
sink = WindowSink(Annotator(), stop, title="test")

def show(camera, i):
    frame = Frame(np.full((48, 64, 3), 128, np.uint8), i, i, camera=camera)
    sink.emit(frame, Prediction(("a",), (0,), (0.5,), FrameTrace(i, i, i, i, i)))

for i in range(3):
    show("door", i)
    show("yard", i)
print([cv2.getWindowProperty(f"test: {name}", cv2.WND_PROP_VISIBLE) for name in ("door", "yard")])
for camera in ("door", "yard"):
    cv2.destroyWindow(f"test: {camera}")
    cv2.waitKey(50)
    show(camera, 3)
    show("door", 4)
    print(camera, stop.is_set())
sink.lost("door")
sink.close()
sink.close()
"""
    environment = {**os.environ, "DISPLAY": display}
    environment.pop("WAYLAND_DISPLAY", None)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[1.0, 1.0]", "door False", "yard True"]
