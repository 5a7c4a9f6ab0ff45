"""What needs no camera; tests/capture/v4l2 has a software driver for the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.camera import camera_path
from googlenet_edge.capture.v4l2_find import find_cameras
from googlenet_edge.errors import SourceError, UsageError


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


# ---- a real one

needs_camera = pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no camera at /dev/video0")


@pytest.mark.camera
@needs_camera
def test_reads_a_real_camera() -> None:
    with open_source("0") as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    assert source.live
    assert all(f.image.ndim == 3 and f.image.dtype == np.uint8 for f in frames)
    stamps = [f.captured_ns for f in frames]
    assert stamps == sorted(stamps)


@pytest.mark.camera
@needs_camera
def test_a_real_camera_closes_and_opens_again() -> None:
    for _ in range(5):
        with open_source("0", SourceOptions(buffers=3)) as source:
            assert next(iter(source)).image.size


@pytest.mark.camera
@needs_camera
@pytest.mark.parametrize("fourcc", ["MJPG", "YUYV"])
def test_a_real_camera_shows_the_same_scene_in_each_format(fourcc: str) -> None:
    """Wrong strides or colours show as another mean colour; the exposure needs some frames to settle."""
    means = []
    for options in (SourceOptions(size_px=(640, 480)), SourceOptions(size_px=(640, 480), fourcc=fourcc)):
        with open_source("0", options) as source:
            frames = [frame for frame, _ in zip(source, range(30), strict=False)]
        means.append(frames[-1].image.mean(axis=(0, 1)))
    assert np.abs(means[0] - means[1]).max() < 20
