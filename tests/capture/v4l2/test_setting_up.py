"""What a V4L2 camera is asked for, what it gives, and why some cannot be opened."""

from __future__ import annotations

import errno
import logging
import re
import threading
import time
from pathlib import Path

import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.camera import CameraGrabber
from googlenet_edge.capture.v4l2_find import find_cameras
from googlenet_edge.errors import SourceError
from tests.capture.v4l2.soft_camera import MakeCamera, SoftCamera

# linux/videodev2.h: V4L2_CAP_VIDEO_CAPTURE, _VIDEO_CAPTURE_MPLANE, _READWRITE, _STREAMING, _META_CAPTURE.
CAPTURE, MULTI_PLANAR, READ, STREAMING, METADATA = 0x1, 0x1000, 0x01000000, 0x04000000, 0x00800000
WEBCAM = (
    *("MJPG 640x480 30 15", "MJPG 1280x720 30 15", "MJPG 320x240 60 30"),
    *("YUYV 640x480 30 15", "YUYV 1280x720 10 5", "YUYV 320x240 30 15"),
)
"""A usual one for USB 2: JPEG, or the rate falls with the size."""


def opened(camera: SoftCamera, options: SourceOptions) -> str:
    """What a camera is set to by these options."""
    CameraGrabber(camera.path, options, stop=threading.Event(), clock=time.monotonic_ns).release()
    return camera.format


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SourceOptions(), "YUYV 640x480 30"),  # the camera's own size; no decoding where the rate is there anyway
        (SourceOptions(size_px=(1280, 720)), "MJPG 1280x720 30"),
        (SourceOptions(size_px=(1280, 720), fps=10), "YUYV 1280x720 10"),
        (SourceOptions(size_px=(1280, 720), fps=15), "MJPG 1280x720 15"),
        (SourceOptions(size_px=(320, 240), fps=60), "MJPG 320x240 60"),
        (SourceOptions(size_px=(1280, 720), fourcc="YUYV"), "YUYV 1280x720 10"),
        (SourceOptions(fourcc="MJPG"), "MJPG 640x480 30"),
        (SourceOptions(fourcc="JPEG"), "MJPG 640x480 30"),
    ],
)
def test_the_format_is_the_one_that_gives_the_rate(
    soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture, options: SourceOptions, expected: str
) -> None:
    assert opened(soft_camera(*WEBCAM), options) == expected
    fourcc, size, rate = expected.split()
    assert f"delivers {size} {fourcc} at {rate} frames/s, 4 buffers" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("options", "expected", "warning"),
    [
        (SourceOptions(size_px=(1000, 700)), "MJPG 1280x720 30", "asked for 1000x700; delivers 1280x720 MJPG at 30"),
        (SourceOptions(fps=120), "YUYV 640x480 30", "asked for 120 frames/s; delivers 640x480 YUYV at 30"),
        (SourceOptions(fourcc="NV12"), "YUYV 640x480 30", "asked for NV12, which it does not offer (it has MJPG, YUYV"),
        (SourceOptions(buffers=16), "YUYV 640x480 30", "asked for 16 buffers; delivers .*, 5 buffers"),
    ],
)
def test_what_the_camera_does_not_have_is_said(
    soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture, options: SourceOptions, expected: str, warning: str
) -> None:
    camera = soft_camera(*WEBCAM, max_buffers=5)
    assert opened(camera, options) == expected
    pattern = warning if ".*" in warning else re.escape(warning)
    assert any(record.levelno == logging.WARNING and re.search(pattern, record.message) for record in caplog.records)


@pytest.mark.parametrize("count", [None, 2, 8])
def test_the_number_of_buffers_is_set(soft_camera: MakeCamera, count: int | None) -> None:
    camera = soft_camera("YUYV 64x48 60")
    with open_source(camera.path, SourceOptions(buffers=count)) as source:
        assert next(iter(source)).image.size
        assert camera["buffers"] == (count or 4)


@pytest.mark.parametrize("options", [SourceOptions(), SourceOptions(size_px=(321, 200)), SourceOptions(fps=15)])
def test_a_range_of_sizes_and_rates_is_understood(soft_camera: MakeCamera, options: SourceOptions) -> None:
    camera = soft_camera("NV12 64-640x48-480/16 60 5")
    size = "320x192" if options.size_px else "64x48"
    assert opened(camera, options) == f"NV12 {size} {options.fps or 30}"


@pytest.mark.parametrize("settings", [{"lists_formats": 0}, {"lists_sizes": 0}, {"has_rates": 0}])
def test_a_driver_that_tells_little_keeps_its_own_format(soft_camera: MakeCamera, settings: dict[str, int]) -> None:
    camera = soft_camera("NV12 640x480 30", "YUYV 640x480 30", **settings)
    with open_source(camera.path) as source:
        assert next(iter(source)).image.shape == (480, 640, 3)
    assert camera.format.startswith("YUYV" if "has_rates" in settings else "NV12")


def test_formats_that_cannot_be_read_are_named(soft_camera: MakeCamera) -> None:
    camera = soft_camera("H264 640x480 30", "HEVC 640x480 30")
    with pytest.raises(
        SourceError, match=r"offers only H264, HEVC, expected one of YUYV.*'gst: v4l2src device=/dev/shm"
    ):
        open_source(camera.path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"open_errno": errno.EACCES}, "no permission to open it; add your user .* video"),
        ({"open_errno": errno.EBUSY}, "another program is using it .*fuser -v /dev/shm"),
        ({"format_errno": errno.EBUSY}, "another program is using it"),
        ({"format_errno": errno.EINVAL}, "a virtual one that nothing feeds"),
        ({"stream_errno": errno.ENOSPC}, "the USB bus has no bandwidth left"),
        ({"stream_errno": errno.EIO}, "cannot be opened: Input/output error"),
        ({"max_buffers": 0}, "no memory for a frame buffer"),
        ({"device_caps": METADATA}, "delivers no video .*perhaps a metadata node"),
        ({"device_caps": MULTI_PLANAR | STREAMING}, "several memory planes.*'gst: v4l2src device="),
        ({"device_caps": CAPTURE | READ}, "or by read.. alone.*'gst: v4l2src device="),
        ({"driver": "tegra-video", "card": "vi-output, imx219"}, "a CSI camera .*open it as csi:0"),
    ],
)
def test_why_a_camera_cannot_be_opened_is_said(
    soft_camera: MakeCamera, settings: dict[str, object], message: str
) -> None:
    camera = soft_camera("YUYV 640x480 30", **settings)
    with pytest.raises(SourceError, match=f"^{camera.path}: .*{message}"):
        open_source(camera.path)


def test_a_camera_that_is_read_already_is_busy_and_goes_on(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    with open_source(camera.path) as source:
        frames = iter(source)
        first = next(frames)
        with pytest.raises(SourceError, match="another program is using it"):
            open_source(camera.path)
        assert next(frames).sequence > first.sequence


def test_two_cameras_at_once(soft_camera: MakeCamera) -> None:
    cameras = [soft_camera("YUYV 64x48 60"), soft_camera("NV12 320x240 30", number=91)]
    with open_source(cameras[0].path) as first, open_source(cameras[1].path) as second:
        assert (next(iter(first)).image.shape, next(iter(second)).image.shape) == ((48, 64, 3), (240, 320, 3))


def test_a_camera_is_found_by_its_name(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    by_id = Path(camera.path).parent / "by-id"
    by_id.mkdir(exist_ok=True)
    link = by_id / "usb-Soft_Camera-video-index0"
    link.unlink(missing_ok=True)
    link.symlink_to("../video90")
    with open_source(str(link)) as source:
        assert source.description == str(link)
        assert next(iter(source)).image.shape == (48, 64, 3)


def test_cameras_are_listed_without_metadata_nodes(soft_camera: MakeCamera) -> None:
    soft_camera("YUYV 64x48 60", number=100)
    soft_camera("YUYV 64x48 60", number=91, device_caps=METADATA)
    soft_camera("YUYV 64x48 60", number=92, open_errno=errno.EACCES)
    camera = soft_camera("YUYV 64x48 60", number=99, card="HD Webcam")
    found = find_cameras(Path(camera.path).parent)
    assert [(Path(device.path).name, device.name) for device in found] == [
        ("video92", "no permission to open it"),
        ("video99", "HD Webcam"),
        ("video100", "Soft Camera"),
    ]
    assert str(found[1]) == f"{camera.path} (HD Webcam)"


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "googlenet_edge")
