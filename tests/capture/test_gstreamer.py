"""Real pipelines of videotestsrc, by the system's GStreamer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.gstreamer import GstGrabber
from googlenet_edge.errors import SourceError, SourceLostError, UsageError

Eventually = Callable[[Callable[[], bool]], None]
ENDLESS = "videotestsrc is-live=true ! video/x-raw,width=64,height=48"


@pytest.fixture(autouse=True)
def _gstreamer() -> None:
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip(
            "no gst-launch-1.0 (apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-bad)"
        )
    if subprocess.run(["gst-inspect-1.0", "--exists", "gdppay"], check=False, timeout=60).returncode:
        pytest.skip("GStreamer has no gdppay (apt install gstreamer1.0-plugins-bad)")


@pytest.fixture
def grabber() -> Iterator[GstGrabber]:
    """A pipeline that runs, without the reader thread around it."""
    running = GstGrabber(
        ENDLESS,
        SourceOptions(read_timeout_ms=300),
        description="gst: test",
        stop=threading.Event(),
        clock=time.monotonic_ns,
    )
    yield running
    running.release()


def process_of(grabber: GstGrabber) -> subprocess.Popen[bytes]:
    return grabber._child.process


def take_all(grabber: GstGrabber) -> None:
    while grabber.grab(0) is not None:
        pass


@pytest.mark.parametrize("form", ["BGR", "RGB", "BGRA", "BGRx", "NV12", "I420", "YUY2"])
@pytest.mark.parametrize(
    ("pattern", "bgr"), [("red", (0, 0, 255)), ("green", (0, 255, 0)), ("blue", (255, 0, 0)), ("white", (255,) * 3)]
)
def test_every_pixel_format_arrives_as_bgr(form: str, pattern: str, bgr: tuple[int, ...]) -> None:
    text = f"gst: videotestsrc num-buffers=1 pattern={pattern} ! video/x-raw,format={form},width=64,height=48"
    with open_source(text) as source:
        (frame,) = source
    assert frame.image.shape == (48, 64, 3)
    assert frame.image.dtype == np.uint8
    # Coded video has 8 bits a channel in another colour space: a few levels are lost on the way there and back.
    tolerance = 0 if form in ("BGR", "RGB", "BGRA", "BGRx") else 6
    assert np.abs(frame.image.astype(int) - np.array(bgr)).max() <= tolerance


@pytest.mark.parametrize(("pattern", "level"), [("white", 235), ("black", 16)])
def test_grey_arrives_as_bgr(pattern: str, level: int) -> None:
    # videotestsrc paints grey in video levels, but grey has the full range: the levels stay as they are.
    text = f"gst: videotestsrc num-buffers=1 pattern={pattern} ! video/x-raw,format=GRAY8,width=64,height=48"
    with open_source(text) as source:
        (frame,) = source
    assert frame.image.shape == (48, 64, 3)
    assert np.abs(frame.image.astype(int) - level).max() <= 1


@pytest.mark.parametrize("width", [640, 641, 642, 643, 1])
def test_the_padding_of_rows_is_left_out(width: int) -> None:
    # Shifted by one byte, a red row would be green or blue.
    box = f"video/x-raw,format=BGR,width={width},height=4"
    with open_source(f"gst: videotestsrc num-buffers=1 pattern=red ! {box}") as source:
        (frame,) = source
    assert frame.image.shape == (4, width, 3)
    assert frame.image.flags.c_contiguous
    assert (frame.image == (0, 0, 255)).all()


def test_a_pipeline_of_files_hands_out_every_frame_to_its_end() -> None:
    with open_source("gst: videotestsrc num-buffers=40 ! video/x-raw,width=64,height=48") as source:
        assert not source.live
        sequences = [frame.sequence for frame in source]
    assert sequences == list(range(40))
    assert source.dropped == 0


def test_a_live_pipeline_hands_out_the_newest_frame(eventually: Eventually) -> None:
    with open_source(f"gst: {ENDLESS}") as source:
        assert source.live
        frames = iter(source)
        first = next(frames)
        eventually(lambda: source.dropped >= 3)
        asked_ns = time.monotonic_ns()
        second = next(frames)
        assert second.sequence >= 4
        assert first.captured_ns < second.captured_ns
        assert asked_ns - second.captured_ns < 2e9  # it did not wait in the pipe since the beginning
        assert second.stamp_source == "stream"


def test_a_frame_that_waited_in_the_pipe_is_as_old_as_it_is() -> None:
    # Whoever takes them needs 0.1 s for each: so much the later than the camera made it is each one taken.
    period_ns, work_s = 1_000_000_000 // 30, 0.1
    live = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1"
    with open_source(f"gst: {live}", SourceOptions(every_frame=True)) as source:
        frames = iter(source)
        stamps, ages_ns = [], []
        for _ in range(20):
            frame = next(frames)
            stamps.append(frame.captured_ns)
            ages_ns.append(time.monotonic_ns() - frame.captured_ns)
            time.sleep(work_s)  # the inference
        assert source.dropped == 0
        assert frame.stamp_source == "stream"
        assert source.fps == 30  # type: ignore[attr-defined]
    # One that came through quicker than those before it brings the later ones forward, never back.
    assert max(np.diff(stamps)) <= period_ns + 1000
    assert ages_ns[-1] - ages_ns[0] >= 19 * (work_s * 1e9 - period_ns) * 0.99


def test_files_are_stamped_when_they_are_taken() -> None:
    with open_source("gst: videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48") as source:
        for frame in source:
            assert frame.stamp_source == "host"
            assert time.monotonic_ns() - frame.captured_ns < 10**9


def test_a_slow_pipeline_is_given_the_time_of_its_own_rate() -> None:
    slow = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=2/5"
    options = SourceOptions(read_timeout_ms=100)
    with open_source(f"gst: {slow}", options) as source:
        assert [frame.sequence for frame, _ in zip(source, range(2), strict=False)] == [0, 1]


def test_a_change_of_size_in_mid_stream_is_followed(tmp_path: Path) -> None:
    # Two sizes in one stream: the second file is another picture size, and multifilesrc renegotiates.
    for i, width in enumerate((64, 101)):
        text = f"-q videotestsrc num-buffers=1 ! video/x-raw,width={width},height=48 ! pngenc ! filesink"
        subprocess.run(["gst-launch-1.0", *text.split(), f"location={tmp_path}/{i}.png"], check=True, timeout=60)
    with open_source(f"gst: multifilesrc location={tmp_path}/%d.png caps=image/png,framerate=1/1 ! pngdec") as source:
        shapes = [frame.image.shape for frame in source]
    assert shapes == [(48, 64, 3), (48, 101, 3)]


def test_what_elements_write_to_standard_output_does_not_get_into_the_frames() -> None:
    red = "videotestsrc num-buffers=5 pattern=red ! video/x-raw,format=BGR,width=64,height=48"
    with open_source(f"gst: {red} ! tee name=t t. ! queue ! fdsink fd=1 t. ! queue") as source:
        frames = list(source)
    assert len(frames) == 5
    assert all((frame.image == (0, 0, 255)).all() for frame in frames)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("videotetsrc", r"no element 'videotetsrc': check its spelling"),
        ("videotestsrc ! nvvidconv", r"no element 'nvvidconv': it comes with JetPack"),
        ("videotestsrc ! audioconvert", r"could not link videotestsrc0 to audioconvert0"),
        ("videotestsrc num-buffers=0", r"ended before its first frame"),
        ("filesrc location=/no/such.mp4 ! decodebin", r"Resource not found\. \(No such file .?/no/such\.mp4"),
        ("videotestsrc nonsense=1", r'no property "?nonsense'),
    ],
)
def test_a_pipeline_that_does_not_run_says_why(pipeline: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(f"gst: {pipeline}")


@pytest.mark.parametrize("pipeline", ["", "  ", "! videoconvert", "videotestsrc !", "videotestsrc name='x"])
def test_what_is_no_pipeline_is_a_usage_error(pipeline: str) -> None:
    with pytest.raises(UsageError, match="gst:"):
        open_source(f"gst:{pipeline}")


def test_options_that_the_pipeline_itself_holds_are_refused() -> None:
    with pytest.raises(UsageError, match="size_px does not apply to a GStreamer pipeline"):
        open_source("gst: videotestsrc", SourceOptions(size_px=(64, 48)))


def test_without_the_program_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"gst-launch-1\.0 is not installed; sudo apt install gstreamer1\.0-tools"):
        open_source("gst: videotestsrc")


def test_a_csi_camera_elsewhere_than_on_a_jetson_says_what_is_missing() -> None:
    if not subprocess.run(["gst-inspect-1.0", "--exists", "nvarguscamerasrc"], check=False, timeout=60).returncode:
        pytest.skip("this is a Jetson")
    with pytest.raises(SourceError, match=r"csi:0: .*no element 'nvarguscamerasrc': it comes with JetPack"):
        open_source("csi:0")


def test_no_message_has_the_password_of_an_address() -> None:
    with pytest.raises(SourceError, match=r"\*\*\*@127\.0\.0\.1:9/x") as caught:
        open_source("gst: souphttpsrc location=http://me:S3cret@127.0.0.1:9/x retries=0 ! decodebin")
    assert "S3cret" not in str(caught.value)


def test_a_pipeline_that_delivers_nothing_ends_at_the_open_timeout() -> None:
    silent = "videotestsrc is-live=true ! valve drop=true"
    with pytest.raises(SourceError, match=r"no frame 300 ms after the start.*longer open timeout"):
        open_source(f"gst: {silent}", SourceOptions(open_timeout_ms=300))


def test_a_process_that_dies_in_mid_stream_is_a_lost_source(grabber: GstGrabber) -> None:
    assert grabber.grab(0) is not None
    process_of(grabber).kill()
    with pytest.raises(SourceLostError, match=r"lost after \d+ frames: gst-launch-1\.0 was ended by signal 9"):
        take_all(grabber)


def test_an_error_in_mid_stream_is_told_in_the_words_of_the_pipeline(tmp_path: Path) -> None:
    failing = "videotestsrc ! video/x-raw,width=64,height=48 ! identity error-after=5"
    with (
        open_source(f"gst: {failing}") as source,
        pytest.raises(SourceLostError, match=r"lost after \d frames: .*ailed"),
    ):
        list(source)


def test_a_stream_that_its_server_ends_is_lost_unless_the_pipeline_counts_its_frames(tmp_path: Path) -> None:
    counted = "videotestsrc is-live=true num-buffers=3 ! video/x-raw,width=64,height=48"
    with open_source(f"gst: {counted}", SourceOptions(every_frame=True)) as source:
        assert [frame.sequence for frame in source] == [0, 1, 2]
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(64 * 48 * 3 * 4))
    ends = f"pushfilesrc location={raw} ! rawvideoparse width=64 height=48 format=bgr"
    lost = pytest.raises(SourceLostError, match="lost after 4 frames: the camera or server ended the stream")
    with open_source(f"gst: {ends}", SourceOptions(every_frame=True)) as source, lost:
        list(source)


def test_a_pipeline_that_talks_a_lot_goes_on() -> None:
    talks = "videotestsrc num-buffers=300 ! video/x-raw,width=16,height=16 ! identity silent=false dump=true"
    with open_source(f"gst: {talks}", SourceOptions(read_timeout_ms=20_000)) as source:
        assert sum(1 for _ in source) == 300


def test_a_process_that_hangs_is_lost_and_still_closed_within_a_second(grabber: GstGrabber) -> None:
    os.kill(process_of(grabber).pid, signal.SIGSTOP)
    with pytest.raises(SourceLostError, match=r"no frame for 300 ms.*longer read timeout"):
        take_all(grabber)
    started = time.monotonic()
    grabber.release()
    assert time.monotonic() - started < 1.0
    assert not Path(f"/proc/{process_of(grabber).pid}").exists()


def test_closing_ends_a_wait_for_a_frame_within_a_second() -> None:
    stalls = "videotestsrc is-live=true num-buffers=1000 ! video/x-raw,width=64,height=48,framerate=1/30"
    source = open_source(f"gst: {stalls}", SourceOptions(read_timeout_ms=60_000))
    next(iter(source))
    taken: list[int] = []
    waiting = threading.Thread(target=lambda: taken.extend(frame.sequence for frame in source))
    waiting.start()
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.0
    waiting.join(1.0)
    assert not waiting.is_alive()


def test_a_pipeline_that_waits_for_room_is_stopped_in_good_order() -> None:
    full = GstGrabber(
        "videotestsrc ! video/x-raw,width=1280,height=720",
        SourceOptions(),
        description="gst: test",
        stop=threading.Event(),
        clock=time.monotonic_ns,
    )
    full.release()
    # Killed, it would be -9, and a camera might stay taken.
    assert process_of(full).returncode >= 0


def test_the_process_ends_when_its_parent_is_killed_although_no_frame_comes(eventually: Eventually) -> None:
    """It would have the camera or the port still, when a service starts us again."""
    stalls = "videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=1/100"
    code = """
import os, sys, time
from googlenet_edge.capture import SourceOptions, open_source
source = open_source(sys.argv[1], SourceOptions(open_timeout_ms=60_000, read_timeout_ms=60_000))
print("open", flush=True)
time.sleep(100)
"""

    def pipelines(pid: int) -> list[int]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
                if name.startswith("gst") and int(rest.split()[1]) == pid:
                    found.append(int(stat.parent.name))
        return found

    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", code, f"gst: {stalls}"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | path,
    ) as parent:
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == "open\n"
            (pipeline,) = pipelines(parent.pid)
        finally:
            parent.kill()
    eventually(lambda: not Path(f"/proc/{pipeline}").exists())


def test_opening_and_closing_twenty_times_leaves_nothing_behind() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def children() -> list[str]:
        # Those of all threads, and the dead that nobody waited for.
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
                if name.startswith("gst") and int(rest.split()[1]) == os.getpid():
                    found.append(name)
        return found

    with open_source(f"gst: {ENDLESS}") as source:
        next(iter(source))
        assert children()
    before = descriptors(), threading.active_count()
    for _ in range(20):
        with open_source(f"gst: {ENDLESS}") as source:
            next(iter(source))
    assert (descriptors(), threading.active_count()) == before
    assert not children()
    with pytest.raises(SourceError):
        open_source("gst: nosuchelement")
    time_limit = time.monotonic() + 5
    while threading.active_count() > before[1] and time.monotonic() < time_limit:
        time.sleep(0.01)
    assert descriptors() == before[0]
