from __future__ import annotations

import io

import pytest

from googlenet_edge.capture.gst_frames import HEADER_BYTES, FrameReader
from googlenet_edge.capture.gst_text import csi_pipeline, hide_secrets, is_endless, split_pipeline
from googlenet_edge.capture.options import DEFAULT_OPTIONS, SourceOptions
from googlenet_edge.errors import SourceError, UsageError


def test_the_pipeline_of_a_csi_camera() -> None:
    assert csi_pipeline("csi:1?width=1920&height=1080&fps=60&flip=2", DEFAULT_OPTIONS) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1920,height=1080,format=NV12,framerate=60/1 ! "
        "nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
    )


def test_a_csi_camera_takes_size_and_rate_from_the_options_too() -> None:
    text = csi_pipeline("csi:", SourceOptions(size_px=(640, 480), fps=29.97))
    assert "sensor-id=0 " in text
    assert "width=640,height=480," in text
    assert "framerate=2997/100 " in text
    assert "width=1280,height=720,format=NV12,framerate=30/1 " in csi_pipeline("csi:0", DEFAULT_OPTIONS)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("csi:a", "the sensor: got 'a'"),
        ("csi:99", "the sensor: got '99', expected a whole number, 0 to 15"),
        ("csi:0?width=1280", "only one of width and height"),
        ("csi:0?width=0&height=720", "width: got '0'"),
        ("csi:0?width=1280&height=720 ! filesink", "height: got"),
        ("csi:0?fps=0", "fps: got '0'"),
        ("csi:0?fps=1e9", "fps: got '1e9'"),
        ("csi:0?flip=8", "flip: got '8', expected a whole number, 0 to 7"),
        ("csi:0?flip=", "flip: got ''"),
        ("csi:0?rate=30", "'rate' is unknown; expected width, height, fps"),
        ("csi:0?fps=30&fps=60", "'fps' is given twice"),
    ],
)
def test_a_csi_address_is_checked(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        csi_pipeline(uri, DEFAULT_OPTIONS)


def test_a_size_or_rate_is_given_once() -> None:
    with pytest.raises(UsageError, match="the fps is also given as an option"):
        csi_pipeline("csi:0?fps=60", SourceOptions(fps=30))
    with pytest.raises(UsageError, match="the size is also given as an option"):
        csi_pipeline("csi:0?width=64&height=48", SourceOptions(size_px=(64, 48)))


def test_a_pipeline_is_split_as_a_shell_does() -> None:
    assert split_pipeline("""a text="two words" ! 'video/x-raw(memory:NVMM), width=8'""") == (
        "a",
        "text=two words",
        "!",
        "video/x-raw(memory:NVMM), width=8",
    )


@pytest.mark.parametrize(
    "text",
    [
        "rtspsrc location=rtsp://me:S3cret@host/x latency=0 ! decodebin",
        "rtspsrc location='rtsp://me:S3cret@host/x' ! decodebin",
        "rtspsrc user-pw=S3cret ! decodebin",
        "rtspsrc user-pw = S3cret ! decodebin",
        "rtspsrc user-pw='open S3cret door' ! decodebin",
        "souphttpsrc location=http://host/x?token=S3cret ! decodebin",
        "Couldn't open rtsp://me:S3cret@host/x ! decodebin",
    ],
)
def test_passwords_are_hidden_and_the_rest_is_not(text: str) -> None:
    shown = hide_secrets(text)
    assert "S3cret" not in shown
    assert "***" in shown
    assert shown.endswith(" ! decodebin")


@pytest.mark.parametrize(
    ("text", "endless"),
    [
        ("v4l2src ! videoconvert", True),
        ("rtspsrc location=rtsp://host/x ! decodebin", True),
        ("videotestsrc is-live=true", True),
        ("videotestsrc num-buffers=3", False),
        ("filesrc location=a.mp4 ! decodebin", False),
        ("uridecodebin uri=file:///a.mp4", False),
        ("uridecodebin uri=https://host/a", True),
    ],
)
def test_only_files_and_test_pictures_wait(text: str, endless: bool) -> None:
    assert is_endless(split_pipeline(text)) is endless


def packet(kind: int, body: bytes, *, length: int | None = None, pts_ns: int = 0) -> bytes:
    size = len(body) if length is None else length
    header = b"\1\0\1\0" + kind.to_bytes(2, "big") + size.to_bytes(4, "big") + pts_ns.to_bytes(8, "big")
    return header.ljust(HEADER_BYTES, b"\0") + body


def reader(stream: bytes, *, fresh: bool = True) -> FrameReader:
    source = io.BytesIO(stream)
    waiting = iter([False] * 100 if fresh else [True] * 100)
    return FrameReader(lambda memory: _fill(source, memory), waiting.__next__, description="gst: test", clock=lambda: 7)


def _fill(source: io.BytesIO, memory: memoryview) -> None:
    assert source.readinto(memory) == len(memory)


def caps(width: int, height: int, form: str = "BGR", rest: str = "") -> bytes:
    text = f"video/x-raw, format=(string){form}, width=(int){width}, height=(int){height}{rest}\0"
    return packet(2, text.encode())


def test_frames_are_read_with_the_size_before_them() -> None:
    row = bytes([1, 2, 3, 0])
    frame = reader(caps(1, 2) + packet(64, b"an event") + packet(1, row + row, pts_ns=5)).next_frame()
    assert frame.image.tolist() == [[[1, 2, 3]], [[1, 2, 3]]]
    assert (frame.arrived_ns, frame.pts_ns, frame.held_up) == (7, 5, False)


def test_a_frame_without_a_stamp_has_none_and_one_that_was_there_already_was_held_up() -> None:
    stream = caps(1, 1) + packet(1, bytes(4), pts_ns=2**64 - 1)
    frame = reader(stream, fresh=False).next_frame()
    assert (frame.pts_ns, frame.held_up) == (None, True)


@pytest.mark.parametrize(
    ("rest", "fps"),
    [
        (", framerate=(fraction)30000/1001", 29.97),
        (", framerate=(fraction)1/30", 1 / 30),
        (", framerate=(fraction)0/1, max-framerate=(fraction)30/1", None),
        ("", None),
    ],
)
def test_the_rate_is_the_one_that_the_stream_says(rest: str, fps: float | None) -> None:
    frames = reader(caps(1, 1, rest=rest) + packet(1, bytes(4)))
    frames.next_frame()
    assert frames.fps == (None if fps is None else pytest.approx(fps, rel=1e-4))


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"GST_ARGUS: Creating output stream".ljust(HEADER_BYTES), "not in GStreamer's data protocol"),
        (packet(1, b"abcd"), "a frame came before its size"),
        (caps(1, 2) + packet(1, b"abcd"), "got 4 bytes for 1x2, expected 8"),
        (caps(1, 2, "BGRx"), "expected raw BGR video"),
        (caps(99999, 2), "got 99999x2 pixels"),
        (packet(2, b"audio/x-raw"), "expected raw BGR video"),
        (packet(2, b"", length=2**31), "got a message of 2,147,483,648 bytes"),
    ],
)
def test_what_is_no_stream_of_frames_is_one_clear_error(stream: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        reader(stream).next_frame()
