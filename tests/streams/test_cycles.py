"""Sources that are opened and closed 200 times leave no thread, process, descriptor or memory behind."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.stream import StreamConfig, run_stream
from tests.streams.servers import StreamServer
from tests.streams.watch import Watcher, held, let_go, memory_bytes, show

CYCLES = 200
STEP = 40
"""Cycles before the first figures, and between them: what is loaded once is loaded by then."""
MOST_GROWTH = 12_000_000
"""Bytes that the process may have grown by over the 160 cycles after the first figures: 75 kB each, a ninth of a frame
of 640x360. What it grows by at all is what the allocator rounds up.
"""
AT_ONCE = 4
"""Most of a cycle is waiting for another process."""
PATIENT = SourceOptions(open_timeout_ms=30_000, read_timeout_ms=30_000)
Serve = Callable[..., StreamServer]


def cycle_all(
    cycle: Callable[[int], None], what: str, *, besides: tuple[int, ...] = (), cycles: int = CYCLES, at_once: int = 1
) -> None:
    """Run the cycles, so many at once, and look at what is held whenever none is under way."""
    cycle(0)
    before = held(besides=besides)
    started = time.monotonic()
    memory = 0
    for begin in range(0, cycles, STEP):
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(cycle, range(begin, begin + STEP)))
        assert let_go(before, besides=besides) == "", f"after {begin + STEP} cycles"
        if not memory:
            memory = memory_bytes(besides=besides)
    grown = memory_bytes(besides=besides) - memory
    show(f"{what}: {cycles} cycles in {time.monotonic() - started:.1f} s; grown by {grown / 1e3:.0f} kB since {STEP}")
    assert grown < MOST_GROWTH


def open_and_close(uri: str, options: SourceOptions, number: int) -> None:
    """Open, read a frame or (each fourth time) none, close."""
    with open_source(uri, options) as source:
        if number % 4:
            assert next(iter(source)).image.shape[2] == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mjpeg", "rtsp"])
def test_network_streams_leave_nothing(kind: str, serve: Serve) -> None:
    server = serve(kind, fps=60, size=(640, 360))

    def cycle(number: int) -> None:
        open_and_close(server.uri, PATIENT, number)

    cycle_all(cycle, kind, besides=server.pids, at_once=AT_ONCE)


def test_pipelines_leave_nothing() -> None:
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("no gst-launch-1.0 (apt install gstreamer1.0-tools gstreamer1.0-plugins-base)")
    pipeline = "gst: videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=60/1"
    cycle_all(lambda number: open_and_close(pipeline, PATIENT, number), "gst", at_once=AT_ONCE)


def test_paced_files_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (640, 360))
    for level in range(10):
        writer.write(np.full((360, 640, 3), 20 * level, np.uint8))
    writer.release()
    options = SourceOptions(fps=1000, loop=True)
    cycle_all(lambda number: open_and_close(str(path), options, number), "paced file")


def test_runs_over_one_classifier_leave_nothing(serve: Serve, tiny_bundle: Path) -> None:
    """The whole loop, of one camera, whose source stays open."""
    server = serve("mjpeg", fps=100, size=(320, 180))
    config = StreamConfig(warmup_frames=0, max_frames=2)
    with Classifier(tiny_bundle, threads=1) as classifier, open_source(server.uri, PATIENT) as source:

        def cycle(_number: int) -> None:
            assert run_stream(source, classifier, [Watcher()], config).frames == 2

        cycle_all(cycle, "runs", besides=server.pids)


def test_a_source_that_does_not_open_leaves_nothing(serve: Serve) -> None:
    server = serve("mjpeg")
    server.kill()

    def cycle(_number: int) -> None:
        with pytest.raises(OSError, match="refused"):
            open_source(server.uri, PATIENT)

    cycle_all(cycle, "refused", cycles=STEP, at_once=AT_ONCE)
