from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.types import ImageArray
from tests.streams.numbered import NotNumberedError, Number, Schedule, luma
from tests.streams.reading import read_number

NUMBERS = st.builds(Number, st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))


def picture(number: Number, width: int, height: int) -> ImageArray:
    grey = np.frombuffer(luma(number, width, height), np.uint8).reshape(height, width)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


@settings(max_examples=50, deadline=None)
@given(NUMBERS, st.integers(100, 700), st.integers(60, 500))
def test_a_number_is_read_back_at_any_size(number: Number, width: int, height: int) -> None:
    assert read_number(picture(number, width, height)) == number


@settings(max_examples=30, deadline=None)
@given(NUMBERS, st.sampled_from([30, 60, 95]), st.sampled_from([(160, 120), (322, 242), (640, 360)]))
def test_a_number_survives_jpeg_and_another_size(number: Number, quality: int, size: tuple[int, int]) -> None:
    data = cv2.imencode(".jpg", picture(number, *size), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    assert read_number(decoded) == number
    assert read_number(np.asarray(cv2.resize(decoded, (512, 300)), np.uint8)) == number


@settings(max_examples=50, deadline=None)
@given(NUMBERS, st.integers(0, 15), st.integers(0, 8))
def test_a_wrong_block_is_noticed(number: Number, column: int, row: int) -> None:
    damaged = picture(number, 320, 180)
    damaged[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20] ^= 0xFF
    with pytest.raises(NotNumberedError):
        read_number(damaged)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_has_no_number(level: int) -> None:
    with pytest.raises(NotNumberedError):
        read_number(np.full((180, 320, 3), level, np.uint8))


def test_a_half_grey_picture_has_no_number() -> None:
    """What is left of a JPEG that was cut off."""
    cut = picture(Number(1, 2, 3), 320, 180)
    cut[90:] = 128
    with pytest.raises(NotNumberedError):
        read_number(cut)


def test_pictures_are_due_by_the_clock_and_late_ones_are_left_out() -> None:
    epoch_ns = time.monotonic_ns() - 5_000_000_000
    schedule = Schedule(epoch_ns, fps=1000)
    first = schedule.wait()
    assert first > 5000
    assert time.monotonic_ns() >= epoch_ns + first * 1_000_000
    assert schedule.wait() >= first + 1
    schedule.next -= 1000  # a second overdue
    assert schedule.wait() > first
