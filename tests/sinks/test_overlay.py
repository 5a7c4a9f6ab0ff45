from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.sinks.overlay import Annotator, crop_square
from googlenet_edge.types import CropRule, Frame, ImageArray, Prediction, Region

ResultMaker = Callable[..., tuple[Frame, Prediction]]

SIZES = [(160, 120), (640, 480), (1280, 720), (1920, 1080), (3840, 2160)]


def panel(image: ImageArray) -> ImageArray:
    """The part of the image that has the text, by a generous measure."""
    return image[: image.shape[0] // 3]


@pytest.mark.parametrize("size_px", SIZES)
def test_text_is_drawn_at_a_readable_size(make_result: ResultMaker, size_px: tuple[int, int]) -> None:
    frame, prediction = make_result(0, "HHH", size_px=size_px)
    image = panel(Annotator().annotate(frame, prediction))
    # The headline is what is white above the bar.
    rows = np.flatnonzero((image.min(axis=2) > 120).any(axis=1))
    text_rows = rows[: np.argmax(np.diff(rows) > 1) + 1] if (np.diff(rows) > 1).any() else rows
    expected_px = max(9, min(size_px) / 20)
    assert 0.7 * expected_px <= len(text_rows) <= 1.7 * expected_px


@pytest.mark.parametrize("size_px", SIZES)
def test_the_bar_is_as_long_as_the_probability(make_result: ResultMaker, size_px: tuple[int, int]) -> None:
    frame, prediction = make_result(0, size_px=size_px)
    image = panel(Annotator().annotate(frame, prediction))
    filled = (image == (230, 180, 60)).all(axis=2).sum(axis=1).max()
    empty = (image == (90, 90, 90)).all(axis=2).sum(axis=1).max()
    assert filled / (filled + empty) == pytest.approx(0.75, abs=0.01)


def test_the_frame_itself_stays_as_it_was(make_result: ResultMaker) -> None:
    frame, prediction = make_result(0)
    before = frame.image.copy()
    frame.image.flags.writeable = False
    image = Annotator(crop=CropRule()).annotate(frame, prediction)
    assert np.array_equal(frame.image, before)
    assert image.shape == before.shape
    assert not np.array_equal(image, before)


@pytest.mark.parametrize(("truth", "color"), [(0, (90, 200, 60)), (1, (60, 60, 235)), (None, (230, 180, 60))])
def test_the_bar_shows_whether_the_label_is_right(
    make_result: ResultMaker, truth: int | None, color: tuple[int, int, int]
) -> None:
    frame, prediction = make_result(0, size_px=(320, 240), truth=truth)
    image = Annotator(truth_labels=("stop", "yield")).annotate(frame, prediction)
    assert (image == color).all(axis=2).sum() > 100


def test_the_square_that_the_network_sees_is_outlined(make_result: ResultMaker) -> None:
    frame, prediction = make_result(0, size_px=(1280, 720))
    square = crop_square(720, 1280, CropRule())
    assert square == Region(325, 45, 630, 630)
    without = Annotator().annotate(frame, prediction)
    image = Annotator(crop=CropRule()).annotate(frame, prediction)
    below = slice(200, 600)  # clear of the panel
    columns = np.flatnonzero((image[below] != without[below]).any(axis=(0, 2)))
    assert abs(columns.min() - square.x_px) < 15
    assert abs(columns.max() - (square.x_px + square.width_px)) < 15


def test_the_square_lies_within_the_region() -> None:
    assert crop_square(720, 1280, CropRule(), Region(1000, 100, 256, 400)) == Region(1016, 188, 224, 224)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    x=st.integers(0, 500),
    y=st.integers(0, 500),
    side=st.integers(1, 500),
)
def test_the_square_lies_within_the_frame(height: int, width: int, x: int, y: int, side: int) -> None:
    for region in (None, Region(x, y, side, side)):
        square = crop_square(height, width, CropRule(), region)
        assert square.x_px + square.width_px <= width
        assert square.y_px + square.height_px <= height


@pytest.mark.parametrize("size_px", [(1, 1), (3, 200), (200, 3), (31, 17), (161, 121)])
def test_any_size_can_be_drawn_on(make_result: ResultMaker, size_px: tuple[int, int]) -> None:
    frame, prediction = make_result(0, "a very long label " * 20, size_px=size_px, truth=0)
    image = Annotator(crop=CropRule(), truth_labels=("Überholverbot 標識",)).annotate(frame, prediction)
    assert image.shape == (size_px[1], size_px[0], 3)
    assert image.dtype == np.uint8


def test_a_frame_that_is_a_view_can_be_drawn_on(make_result: ResultMaker) -> None:
    frame, prediction = make_result(0, size_px=(640, 480))
    flipped = replace(frame, image=frame.image[:, ::-1])
    assert Annotator().annotate(flipped, prediction).shape == (480, 640, 3)


def test_a_label_too_long_for_the_frame_is_cut_not_drawn_beyond_it(make_result: ResultMaker) -> None:
    annotator = Annotator()
    long = annotator.annotate(*make_result(0, "W" * 300, size_px=(640, 480)))
    margin = long[:24, -10:]
    assert margin.max() <= 60, "the right margin of the headline stays dark"


def test_the_rate_appears_with_the_second_frame(make_result: ResultMaker) -> None:
    annotator = Annotator()
    first = annotator.annotate(*make_result(0, size_px=(640, 480)))
    second = annotator.annotate(*make_result(1, size_px=(640, 480)))
    assert cv2.absdiff(first, second).any()


def test_an_unsure_result_is_shown_plainly(make_result: ResultMaker) -> None:
    sure, unsure = (
        Annotator(truth_labels=("stop",)).annotate(*make_result(0, size_px=(640, 480), truth=0, unsure=unsure))
        for unsure in (False, True)
    )
    right, grey = (90, 200, 60), (150, 150, 150)
    assert (sure == right).all(axis=2).sum() > 100
    assert not (unsure == right).all(axis=2).any(), "neither right nor wrong"
    assert (unsure == grey).all(axis=2).sum() > 100
    headline = slice(0, 40)
    assert (unsure[headline] > 200).sum() > (sure[headline] > 200).sum(), "there is more to read"


def test_the_name_of_a_camera_is_in_the_picture_and_each_has_its_own_rate(make_result: ResultMaker) -> None:
    annotator = Annotator()
    alone = annotator.annotate(*make_result(0, size_px=(640, 480)))
    named = annotator.annotate(*make_result(0, size_px=(640, 480), camera="door"))
    assert cv2.absdiff(alone, named).any()
    other = annotator.annotate(*make_result(3, size_px=(640, 480), camera="yard"))
    first_of_yard = Annotator().annotate(*make_result(3, size_px=(640, 480), camera="yard"))
    assert np.array_equal(other, first_of_yard), "frames of other cameras are not in its rate"
