"""A V4L2 camera that is unplugged, freezes or is closed: in time, with a message, and nothing left behind."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pytest

from googlenet_edge.capture import SourceOptions, open_source
from googlenet_edge.capture.camera import CameraGrabber
from googlenet_edge.capture.reconnect import Reconnect
from googlenet_edge.errors import SourceError, SourceLostError
from tests.capture.v4l2.soft_camera import MakeCamera, open_files, wait_until

BACK_SOON = Reconnect(attempts=None, first_delay_s=0.05, longest_delay_s=0.1)


def test_a_camera_that_is_unplugged_is_lost_at_once(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    with open_source(camera.path) as source:
        frames = iter(source)
        next(frames)
        started = time.monotonic()
        camera.unplug()
        with pytest.raises(SourceLostError, match=f"^{camera.path}: the camera was unplugged"):
            for _ in frames:
                pass
        assert time.monotonic() - started < 2


def test_a_frozen_camera_is_lost_after_the_read_timeout(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    grabber = CameraGrabber(
        camera.path, SourceOptions(read_timeout_ms=300), stop=threading.Event(), clock=time.monotonic_ns
    )
    try:
        assert grabber.grab(0)
        made = camera["frames"]
        wait_until(lambda: camera["frames"] >= made + 2)
        camera["frozen"] = 1
        assert grabber.grab(1)  # one at least was filled before
        started = time.monotonic()
        with pytest.raises(SourceLostError, match="stopped delivering: no frame for 300 ms"):
            grabber.grab(2)
        assert 0.3 <= time.monotonic() - started < 2
    finally:
        grabber.release()


def test_a_slow_camera_is_given_the_time_of_its_own_rate(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 2")
    grabber = CameraGrabber(
        camera.path, SourceOptions(read_timeout_ms=100), stop=threading.Event(), clock=time.monotonic_ns
    )
    try:
        assert grabber.grab(0)
        assert grabber.grab(1)
    finally:
        grabber.release()


def test_a_slow_source_is_not_given_up_although_nobody_named_its_rate(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 2/3")
    with open_source(camera.path, SourceOptions(read_timeout_ms=100)) as source:
        frames = iter(source)
        assert [next(frames).sequence for _ in range(2)] == [0, 1]
        assert source.fps == pytest.approx(2 / 3)  # type: ignore[attr-defined]
        assert source.outages.lost == 0


def test_what_is_lost_has_in_the_log_the_name_that_its_user_gave_it(
    soft_camera: MakeCamera, caplog: pytest.LogCaptureFixture
) -> None:
    camera = soft_camera("YUYV 64x48 60")
    options = SourceOptions(reconnect=BACK_SOON, name="door", buffers=3, size_px=(80, 60))
    with caplog.at_level("INFO"), open_source(camera.path, options) as source:
        assert source.description == camera.path
        frames = iter(source)
        next(frames)
        camera.unplug()
        wait_until(lambda: not source.connected)
        camera.plug()
        for _ in range(3):
            next(frames)
    messages = [record.getMessage() for record in caplog.records]
    assert messages
    assert all(message.startswith(f"door: {camera.path}: ") for message in messages), messages
    begins = [message.removeprefix(f"door: {camera.path}: ").split()[0] for message in messages]
    assert begins[:2] == ["asked", "lost:"]
    assert "back" in begins


def test_the_stop_event_ends_a_wait_for_a_frame_that_never_comes(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    camera["frozen"] = 1
    stop = threading.Event()
    grabber = CameraGrabber(camera.path, SourceOptions(), stop=stop, clock=time.monotonic_ns)
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    started = time.monotonic()
    assert grabber.grab(0) is None
    assert time.monotonic() - started < 1  # 0.1 s, and 0.1 s until it looks
    started = time.monotonic()
    grabber.release()
    assert time.monotonic() - started < 0.6
    timer.join()


def test_it_comes_back_when_it_is_plugged_in_again(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    with open_source(camera.path, SourceOptions(reconnect=BACK_SOON)) as source:
        frames = iter(source)
        before = next(frames).sequence
        camera.unplug()
        wait_until(lambda: not source.connected)
        camera.plug()
        after = [next(frames).sequence for _ in range(5)]
        assert before < after[0] < after[1] < after[4]
        assert source.connected
        assert (source.outages.lost, source.outages.reconnected) == (1, 1)
        assert source.outages.attempts >= 1


def test_a_camera_may_be_plugged_in_later(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60")
    camera.unplug()
    with open_source(camera.path, SourceOptions(reconnect=BACK_SOON)) as source:
        assert not source.connected
        camera.plug()
        assert next(iter(source)).image.shape == (48, 64, 3)


def test_200_times_opened_and_closed_nothing_is_left(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 100")

    def cycle() -> None:
        with open_source(camera.path) as source:
            assert next(iter(source)).image.size

    cycle()
    gc.collect()
    files, maps, threads = open_files(), mapped(), threading.active_count()
    for _ in range(200):
        cycle()
    assert (open_files(), mapped(), threading.active_count()) == (files, maps, threads)
    assert camera["stream_ons"] >= 201
    assert camera["streaming"] == camera["open_files"] == 0


def test_a_failure_while_opening_leaves_nothing(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 60", stream_errno=28)
    for _ in range(3):
        files, maps = open_files(), mapped()
        with pytest.raises(SourceError):
            open_source(camera.path)
        assert (open_files(), mapped()) == (files, maps)


def test_losing_and_closing_leaves_nothing(soft_camera: MakeCamera) -> None:
    camera = soft_camera("YUYV 64x48 100")
    gc.collect()
    files, maps = open_files(), mapped()
    for _ in range(5):
        with open_source(camera.path) as source:
            next(iter(source))
            camera.unplug()
            with pytest.raises(SourceLostError):
                list(source)
        camera.plug()
    gc.collect()
    assert (open_files(), mapped()) == (files, maps)


def mapped() -> int:
    """Frame buffers that are mapped into this process."""
    return Path("/proc/self/maps").read_text().count("softv4l2 (deleted)")
