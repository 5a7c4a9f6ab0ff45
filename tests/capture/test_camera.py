from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.camera import CameraGrabber, camera_path, find_cameras, parse_capability
from googlenet_edge.errors import SourceError, SourceLostError, UsageError

MakeVideo = Callable[..., Path]


@pytest.mark.parametrize("uri", ["77", "/dev/video77"])
def test_a_missing_camera_is_named_beside_those_there_are(uri: str) -> None:
    with pytest.raises(SourceError, match=r"/dev/video77: there is no such camera; (cameras found: |no cameras were)"):
        open_source(uri)


def test_what_is_no_camera_is_said_to_be_none() -> None:
    with pytest.raises(SourceError, match="/dev/null: not a camera device"):
        open_source("/dev/null")


def test_index_and_path_name_the_same_device() -> None:
    assert camera_path("0") == camera_path("/dev/video0") == "/dev/video0"
    assert camera_path("/dev/v4l/by-id/usb-cam") == "/dev/v4l/by-id/usb-cam"


def test_a_camera_cannot_loop() -> None:
    with pytest.raises(UsageError, match="loop does not apply to a camera"):
        open_source("0", SourceOptions(loop=True))


def test_finds_no_camera_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "video0").write_text("no device")
    (tmp_path / "video1").symlink_to("/dev/null")
    assert find_cameras(tmp_path, tmp_path) == ()


def test_reads_what_a_node_says_of_itself() -> None:
    def answer(all_caps: int, device_caps: int) -> bytes:
        return struct.pack("=16s32s32sIII12x", b"uvcvideo", b"HD Webcam", b"usb-1", 6, all_caps, device_caps)

    capture = parse_capability("/dev/video0", answer(0x84A00001, 0x04200001))
    assert (capture.name, capture.driver, capture.captures) == ("HD Webcam", "uvcvideo", True)
    assert str(capture) == "/dev/video0 (HD Webcam)"
    metadata = parse_capability("/dev/video1", answer(0x84A00001, 0x04A00000))
    assert not metadata.captures
    assert parse_capability("/dev/video2", answer(0x00001000, 0)).captures  # multi-planar, an old driver


def test_a_camera_that_stops_delivering_is_lost(make_video: MakeVideo, tmp_path: Path) -> None:
    # The one fake: OpenCV reads a file in place of a device. Its end is what a camera that is pulled out looks like.
    clip = make_video(frames=3)
    node = tmp_path / "video0"
    node.touch()

    def open_capture(_path: str, _options: SourceOptions) -> cv2.VideoCapture:
        return cv2.VideoCapture(str(clip))

    stamps = iter(range(10))
    grabber = CameraGrabber(str(node), SourceOptions(), clock=lambda: next(stamps), open_capture=open_capture)
    frames = [grabber.grab(i) for i in range(3)]
    assert [(f.sequence, f.captured_ns) for f in frames if f] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(SourceLostError, match=r"video0: the camera stopped delivering.*after 3 frames"):
        grabber.grab(3)
    node.unlink()
    with pytest.raises(SourceLostError, match="was unplugged"):
        grabber.grab(3)
    grabber.release()


@pytest.mark.camera
@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera at /dev/video0")
def test_reads_a_real_camera() -> None:
    with open_source("0") as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    assert source.live
    assert all(f.image.ndim == 3 and f.image.dtype == np.uint8 for f in frames)
    stamps = [f.captured_ns for f in frames]
    assert stamps == sorted(stamps)
