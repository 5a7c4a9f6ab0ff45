from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.capture.v4l2_pictures import PictureLayout, decode_jpeg, decode_picture

SCENE = np.asarray(
    cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8), (9, 9), 3), np.uint8
)
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]


def encoded(image: npt.NDArray[np.uint8] = SCENE, parameters: list[int] | None = None) -> bytes:
    return cv2.imencode(".jpg", image, parameters or [])[1].tobytes()


def decoded(data: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.mark.parametrize("parameters", [[], RESTARTS])
@given(share=st.floats(0, 0.98))
@settings(max_examples=40, deadline=None)
def test_a_picture_that_is_cut_short_is_never_filled_up(parameters: list[int], share: float) -> None:
    data = encoded(parameters=parameters)
    cut = data[: int(share * len(data))]
    assert decode_jpeg(cut) is None
    assert decode_jpeg(cut + b"\xff\xd9") is None
    assert decode_jpeg(cut + bytes(100)) is None


def test_a_picture_that_is_cut_between_a_byte_of_255_and_its_zero_is_not_filled_up() -> None:
    data = encoded()
    stuffed = [i + 1 for i in range(len(data) // 4, len(data) - 400) if data[i : i + 2] == b"\xff\x00"]
    assert len(stuffed) > 10
    for end in stuffed[:: len(stuffed) // 10]:
        assert decode_jpeg(data[:end]) is None
        assert decode_jpeg(data[:end] + b"\xff\xd9") is None


@pytest.mark.parametrize("lost", [1, 8, 16, 40])
def test_restart_intervals_that_are_missing_are_noticed(lost: int) -> None:
    data = encoded(parameters=RESTARTS)
    ends = [i for i in range(len(data) - 1) if data[i] == 0xFF and 0xD0 <= data[i + 1] <= 0xD7]
    assert decode_jpeg(data[: ends[3]] + data[ends[3 + lost] :]) is None


@pytest.mark.parametrize("padding", [b"", bytes(7), b"\xff\xff", b"\xff\xd8garbage behind the end"])
def test_what_stands_behind_a_picture_does_not_matter(padding: bytes) -> None:
    data = encoded()
    image = decode_jpeg(data + padding)
    assert image is not None
    assert np.array_equal(image, decoded(data))


def test_a_picture_may_lack_its_end_marker() -> None:
    for parameters in ([], RESTARTS):
        data = encoded(parameters=parameters)
        image = decode_jpeg(data[:-2])
        assert image is not None
        assert np.array_equal(image, decoded(data))


@pytest.mark.parametrize("channels", [3, 1])
def test_a_picture_that_is_grey_is_no_damaged_one(channels: int) -> None:
    image = decode_jpeg(encoded(np.full((240, 320, channels), 128, np.uint8)))
    assert image is not None
    assert image.shape == (240, 320, 3)
    assert (image == 128).all()


def test_huffman_tables_may_be_left_out_as_motion_jpeg_does() -> None:
    data = encoded(parameters=[cv2.IMWRITE_JPEG_OPTIMIZE, 0])
    expected, position, parts = decoded(data), 2, [data[:2]]
    while data[position + 1] != 0xDA:
        length = 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] != 0xC4:
            parts.append(data[position : position + length])
        position += length
    without = b"".join([*parts, data[position:]])
    assert len(without) < len(data)
    image = decode_jpeg(without)
    assert image is not None
    assert np.array_equal(image, expected)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_garbage_is_no_picture(data: bytes) -> None:
    assert decode_jpeg(data) is None
    assert decode_jpeg(b"\xff\xd8" + data) is None


@pytest.mark.parametrize(
    ("fourcc", "size_bytes"),
    [
        ("YUYV", 64 * 48 * 2),
        ("NV12", 64 * 48 * 3 // 2),
        ("YU12", 64 * 48 * 3 // 2),
        ("BGR3", 64 * 48 * 3),
        ("GREY", 3072),
    ],
)
def test_a_buffer_that_is_a_byte_short_is_damaged(fourcc: str, size_bytes: int) -> None:
    row_bytes = PictureLayout(fourcc, 64, 48, 0).row_bytes
    layout = PictureLayout(fourcc, 64, 48, row_bytes)
    assert layout.size_bytes == size_bytes
    image = decode_picture(memoryview(bytes(size_bytes)), layout)
    assert image is not None
    assert image.shape == (48, 64, 3)
    assert decode_picture(memoryview(bytes(size_bytes - 1)), layout) is None


def test_the_last_row_needs_no_padding() -> None:
    layout = PictureLayout("YUYV", 64, 48, 160)
    assert decode_picture(memoryview(bytes(160 * 47 + 128)), layout) is not None


@pytest.mark.parametrize(
    ("fourcc", "size_px", "whole"),
    [("YUYV", (63, 48), False), ("YUYV", (64, 47), True), ("NV12", (64, 47), False), ("GREY", (63, 47), True)],
)
def test_shared_chroma_needs_even_sides(fourcc: str, size_px: tuple[int, int], whole: bool) -> None:
    assert PictureLayout(fourcc, *size_px, 4 * size_px[0]).is_whole == whole
