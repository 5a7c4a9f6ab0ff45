"""Frames of a V4L2 camera: pixels, time stamps, order."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.camera import CameraGrabber
from googlenet_edge.errors import SourceLostError
from googlenet_edge.types import Frame
from tests.capture.v4l2.soft_camera import (
    BARS,
    Damage,
    MakeCamera,
    SoftCamera,
    bars_of,
    number_of,
    wait_until,
    write_jpegs,
)

QUICK = SourceOptions(read_timeout_ms=400)
# linux/videodev2.h: V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, _COPY, and _TSTAMP_SRC_SOE.
MONOTONIC, COPIED, START_OF_EXPOSURE = 0x2000, 0x4000, 0x10000


def grabber(camera: SoftCamera, options: SourceOptions = QUICK) -> CameraGrabber:
    return CameraGrabber(camera.path, options, stop=threading.Event(), clock=time.monotonic_ns)


def grab(camera: SoftCamera, count: int, options: SourceOptions = QUICK) -> list[Frame]:
    opened = grabber(camera, options)
    try:
        frames: list[Frame] = []
        while len(frames) < count:
            frame = opened.grab(frames[-1].sequence + 1 if frames else 0)
            assert frame is not None
            frames.append(frame)
        return frames
    finally:
        opened.release()


@pytest.mark.parametrize("padding", [0, 32])
@pytest.mark.parametrize(
    "fourcc", ["YUYV", "UYVY", "YVYU", "NV12", "NV21", "YU12", "YV12", "BGR3", "RGB3", "XR24", "GREY"]
)
def test_colours_are_right_in_every_format_with_and_without_padding(
    soft_camera: MakeCamera, fourcc: str, padding: int
) -> None:
    camera = soft_camera(f"{fourcc} 160x120 60", padding=padding)
    for frame in grab(camera, 2):
        assert frame.image.shape == (120, 160, 3)
        assert frame.image.dtype == np.uint8
        colors = [(29,) * 3, (150,) * 3, (76,) * 3] if fourcc == "GREY" else list(BARS)
        for upper in (True, False):
            bars = bars_of(frame.image, upper=upper)
            assert np.allclose(bars[:3], colors, atol=3)
            assert max(bars[3]) - min(bars[3]) <= 2


@pytest.mark.parametrize("fourcc", ["YUYV", "UYVY", "NV12", "YU12"])
def test_full_range_is_not_stretched(soft_camera: MakeCamera, fourcc: str) -> None:
    camera = soft_camera(f"{fourcc} 160x120 60", quantization=1)  # V4L2_QUANTIZATION_FULL_RANGE
    (frame,) = grab(camera, 1)
    assert np.allclose(bars_of(frame.image), [*BARS, (0, 0, 0)], atol=4)


def test_jpeg_pictures_come_as_opencv_decodes_them(soft_camera: MakeCamera, tmp_path: Path) -> None:
    pictures = write_jpegs(tmp_path, (160, 120))
    camera = soft_camera("MJPG 160x120 60", pictures=tmp_path)
    for frame in grab(camera, 3):
        data = np.frombuffer(pictures[number_of(frame.image)], np.uint8)
        assert np.array_equal(frame.image, np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)))


def test_frames_keep_their_pixels_when_the_driver_fills_the_buffer_again(soft_camera: MakeCamera) -> None:
    for fourcc in ("BGR3", "YUYV", "GREY"):
        frames = grab(soft_camera(f"{fourcc} 64x48 100"), 8, SourceOptions(buffers=2, every_frame=True))
        numbers = [number_of(frame.image) for frame in frames]
        assert numbers == sorted(set(numbers)), fourcc


@pytest.mark.parametrize("kind", [Damage.CUT_SHORT, Damage.MIDDLE_GONE, Damage.EMPTY, Damage.MARKED, Damage.IO_ERROR])
def test_a_damaged_picture_is_left_out_and_counted(
    soft_camera: MakeCamera, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Damage
) -> None:
    # With restart markers, what is missing in the middle can be told too.
    pictures = write_jpegs(tmp_path, (320, 240), parameters=[cv2.IMWRITE_JPEG_RST_INTERVAL, 4])
    camera = soft_camera("MJPG 320x240 60", pictures=tmp_path)
    camera.damage_next(3, kind)
    frames = grab(camera, 3, SourceOptions(every_frame=True))
    whole = [np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) for data in pictures]
    assert all(np.array_equal(frame.image, whole[number_of(frame.image)]) for frame in frames)
    assert f"{camera.path}: left out 3 damaged pictures" in caplog.text


def test_errors_of_single_frames_cost_no_buffer(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 100")
    opened = grabber(camera, SourceOptions(buffers=3))
    try:
        for number in range(12):
            assert opened.grab(number)
            camera.damage_next(2, Damage.IO_ERROR if number % 2 else Damage.EMPTY)
            starved = camera["starved"]
            wait_until(partial(lambda starved: camera["starved"] > starved, starved))  # several wait, damaged ones too
    finally:
        opened.release()


def test_a_raw_picture_that_is_cut_short_is_left_out(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    camera.damage_next(2, Damage.CUT_SHORT)
    assert number_of(grab(camera, 1)[0].image) >= 2


def test_a_jpeg_picture_without_its_end_marker_is_whole(soft_camera: MakeCamera, tmp_path: Path) -> None:
    write_jpegs(tmp_path, (160, 120))
    camera = soft_camera("MJPG 160x120 60", pictures=tmp_path)
    camera.damage_next(100, Damage.NO_END)
    assert [number_of(frame.image) for frame in grab(camera, 2, SourceOptions(every_frame=True))] == [0, 1]


def test_a_camera_with_nothing_but_damaged_pictures_is_lost(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    camera.damage_next(10_000, Damage.MARKED)
    with pytest.raises(SourceLostError, match=r"only damaged pictures for 400 ms \(\d+\).*after 0 frames"):
        grab(camera, 1)


@pytest.mark.parametrize("source", [0, START_OF_EXPOSURE])
def test_monotonic_stamps_of_the_driver_are_the_capture_time(soft_camera: MakeCamera, source: int) -> None:
    camera = soft_camera("YUYV 64x48 50", stamp_flags=MONOTONIC | source)
    opened_ns = time.monotonic_ns()
    frames = grab(camera, 6, SourceOptions(every_frame=True))
    assert {frame.stamp_source for frame in frames} == {"device"}
    # 50 frames/s by the driver's clock, however late this process looks.
    steps_ns = np.diff([frame.captured_ns for frame in frames])
    assert (np.abs(np.round(steps_ns / 20e6) * 20e6 - steps_ns) < 2000).all()
    assert opened_ns <= frames[0].captured_ns <= time.monotonic_ns()


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"stamp_flags": 0}, False),  # V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN
        ({"stamp_flags": COPIED}, False),
        ({"stamp_flags": MONOTONIC, "stamp_shift_us": 60_000_000}, True),
        ({"stamp_flags": MONOTONIC, "stamp_shift_us": -60_000_000}, True),
    ],
)
def test_other_stamps_are_replaced_by_the_hosts(
    soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture, settings: dict[str, int], warned: bool
) -> None:
    before_ns = time.monotonic_ns()
    frames = grab(soft_camera("YUYV 64x48 60", **settings), 3)
    assert {frame.stamp_source for frame in frames} == {"host"}
    assert all(before_ns <= frame.captured_ns <= time.monotonic_ns() for frame in frames)
    assert ("time stamp was implausible for 3 frames" in caplog.text) == warned


def test_a_frame_that_waited_long_keeps_its_age(soft_camera: MakeCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.camera.OLDEST_STAMP_NS", 50_000_000)
    camera = soft_camera("YUYV 64x48 50")
    opened = grabber(camera, SourceOptions(every_frame=True))
    try:
        assert opened.grab(0)
        before, read_ns = camera["starved"], time.monotonic_ns()
        wait_until(lambda: camera["starved"] >= before + 5)  # all its buffers are full, and were so for 100 ms
        frame = opened.grab(1)
    finally:
        opened.release()
    assert frame is not None
    assert frame.stamp_source == "device"
    assert frame.captured_ns < time.monotonic_ns() - 90_000_000
    assert frame.captured_ns < read_ns + 40_000_000


def test_time_goes_forward_behind_a_stamp_that_was_replaced(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 50")
    camera["bad_stamps"] = 1
    opened = grabber(camera, SourceOptions(every_frame=True))
    try:
        wait_until(lambda: camera["starved"] >= 1)  # so the first is read later than the second was made
        frames = [frame for number in range(12) if (frame := opened.grab(number))]
    finally:
        opened.release()
    assert (np.diff([frame.captured_ns for frame in frames]) > 0).all()
    assert frames[0].stamp_source == "host"
    assert frames[-1].stamp_source == "device"


def test_the_newest_of_the_frames_that_wait_is_handed_out_and_the_others_counted(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 100")
    opened = grabber(camera)
    try:
        first = opened.grab(0)
        assert first is not None
        wait_until(lambda: camera["starved"] >= 1)  # all buffers are full by now
        camera["frozen"] = 1
        second = opened.grab(first.sequence + 1)
        assert second is not None
        assert second.sequence - first.sequence == number_of(second.image) - number_of(first.image)
        assert second.sequence - first.sequence >= 3
    finally:
        opened.release()


def test_with_every_frame_all_that_wait_are_handed_out_and_the_drivers_drops_reported(
    soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    camera = soft_camera("YUYV 64x48 100")
    opened = grabber(camera, SourceOptions(every_frame=True))
    try:
        first = opened.grab(0)
        assert first is not None
        wait_until(lambda: camera["starved"] >= 3)
        starved = camera["starved"]
        numbers = [number_of(frame.image) for i in range(1, 6) if (frame := opened.grab(i))]
    finally:
        opened.release()
    start = number_of(first.image)
    assert numbers[:4] == [start + 1, start + 2, start + 3, start + 4]
    assert numbers[4] > start + 5 + 2
    assert "the driver dropped" in caplog.text
    assert starved >= 3


def test_frames_lost_on_the_cable_are_told_by_the_drivers_count(
    soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    camera = soft_camera("YUYV 64x48 20")
    opened = grabber(camera)
    try:
        assert opened.grab(0)
        camera["lose"] = 5
        wait_until(lambda: camera["lose"] == 0)
        assert opened.grab(1)
    finally:
        opened.release()
    assert f"{camera.path}: the driver dropped 5 frames" in caplog.text


def test_a_driver_that_counts_nothing_drops_nothing(soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture) -> None:
    grab(soft_camera("YUYV 64x48 60", counts=0), 3)
    assert "dropped" not in caplog.text


def test_through_a_source_the_dropped_frames_are_the_gaps_in_the_numbers(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 100")
    with open_source(camera.path) as source:
        frames = []
        for frame in source:
            frames.append(frame)
            if len(frames) == 6:
                break
            made = camera["frames"]
            wait_until(partial(lambda made: camera["frames"] >= made + 4, made))
        dropped = source.dropped
    numbers = np.unwrap([number_of(frame.image) for frame in frames], period=1024)
    sequences = [frame.sequence for frame in frames]
    assert np.array_equal(np.diff(numbers), np.diff(sequences))
    assert dropped >= sequences[-1] - 5
    assert source.live


def test_opencv_reads_the_software_driver_as_it_would_a_camera(soft_camera: MakeCamera, tmp_path: Path) -> None:
    write_jpegs(tmp_path, (320, 240))
    camera = soft_camera("YUYV 160x120 30", "MJPG 320x240 30", pictures=tmp_path)
    capture = cv2.VideoCapture(camera.path, cv2.CAP_V4L2)
    try:
        assert capture.isOpened()
        ok, image = capture.read()
        assert ok
        bars = bars_of(np.asarray(image, np.uint8))
        assert np.allclose(bars[:3], BARS, atol=4)
    finally:
        capture.release()


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "googlenet_edge")
