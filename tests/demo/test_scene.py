"""The moving camera: an endless source with the right answers."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from googlenet_edge.demo.dataset import LABELS
from googlenet_edge.demo.scene import FRAMES_PER_SIGN, MovingCamera, open_demo_source
from googlenet_edge.errors import UsageError


def test_frames_are_numbered_stamped_and_labelled() -> None:
    ticks = itertools.count(1_000)
    with MovingCamera(size_px=(160, 120), clock=lambda: next(ticks)) as camera:
        frames = list(itertools.islice(camera, FRAMES_PER_SIGN + 2))
    assert [frame.sequence for frame in frames] == list(range(FRAMES_PER_SIGN + 2))
    assert all(a.captured_ns < b.captured_ns for a, b in itertools.pairwise(frames))
    assert all(frame.image.shape == (120, 160, 3) and frame.image.dtype == np.uint8 for frame in frames)
    truths = [frame.truth for frame in frames]
    assert len(set(truths[:FRAMES_PER_SIGN])) == 1
    assert truths[FRAMES_PER_SIGN] != truths[0]
    assert camera.labels == LABELS


def test_all_classes_come_by_before_one_comes_again() -> None:
    camera = MovingCamera(size_px=(32, 32))
    assert {camera.draw(sign * FRAMES_PER_SIGN)[1] for sign in range(len(LABELS))} == set(range(len(LABELS)))


def test_the_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    a, b, c = (MovingCamera(seed=seed, size_px=(160, 90)) for seed in (4, 4, 5))
    for number in (0, 7, FRAMES_PER_SIGN, 3 * FRAMES_PER_SIGN + 1):
        assert np.array_equal(a.draw(number)[0], b.draw(number)[0])
        assert not np.array_equal(a.draw(number)[0], c.draw(number)[0])


def test_the_sign_comes_nearer() -> None:
    camera = MovingCamera(size_px=(160, 90))
    first, near, last = (camera.draw(number)[0].astype(int) for number in (0, 1, FRAMES_PER_SIGN - 1))
    assert np.abs(first - near).mean() < np.abs(first - last).mean()


def test_a_rate_makes_it_live_and_spaces_the_frames() -> None:
    started_ns = time.monotonic_ns()
    with MovingCamera(size_px=(32, 32), fps=200) as camera:
        assert camera.live
        stamps = [frame.captured_ns for frame in itertools.islice(camera, 6)]
    # Frame 5 is due 25 ms after the start; a loaded machine only makes it later.
    assert stamps[5] - started_ns >= 25e6


def test_close_ends_a_waiting_iterator() -> None:
    camera = MovingCamera(size_px=(32, 32), fps=0.01)
    frames: list[int] = []
    reader = threading.Thread(target=lambda: frames.extend(frame.sequence for frame in camera))
    reader.start()
    camera.close()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert frames in ([], [0])


def test_options_in_the_uri() -> None:
    camera = open_demo_source("demo:?seed=3&size=64x48&fps=25")
    assert (camera.seed, camera.size_px, camera.fps) == (3, (64, 48), 25.0)
    assert open_demo_source("demo:", size_px=(96, 64)).size_px == (96, 64)


@pytest.mark.parametrize(
    "uri",
    [
        "demo:?speed=3",
        "demo:?seed=x",
        "demo:?size=64",
        "demo:?size=1x1",
        "demo:?fps=0",
        "demo:?fps=nan",
        "demo:?seed=-1",
        "demos:",
    ],
)
def test_bad_options_say_what_was_expected(uri: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        open_demo_source(uri)
