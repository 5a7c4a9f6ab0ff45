from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.capture.reader.jpegs import JpegSplitter

_RNG = np.random.default_rng(5)


def _jpeg(width: int, *options: int) -> bytes:
    image = _RNG.integers(0, 255, (32, width, 3), np.uint8)
    return cv2.imencode(".jpg", image, list(options))[1].tobytes()


PLAIN = _jpeg(48)
THUMBNAIL = _jpeg(16)
WITH_THUMBNAIL = PLAIN[:2] + b"\xff\xe1" + (len(THUMBNAIL) + 2).to_bytes(2, "big") + THUMBNAIL + PLAIN[2:]
PICTURES = (
    PLAIN,
    _jpeg(64, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    _jpeg(40, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    WITH_THUMBNAIL,
)
NOISE = (b"", b"\r\n--frame\r\nContent-Length: 5\r\n\r\n", b"\xff", b"\xff\xd8", bytes(range(256)), b"\xff\xff\xd9")


def feed_in_pieces(stream: bytes, cuts: list[int]) -> tuple[list[bytes], int]:
    splitter, found, at = JpegSplitter(), [], 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        found += [picture for picture, _ in splitter.feed(stream[at:cut], 0)]
        at = cut
    return found, splitter.damaged


@settings(deadline=None, max_examples=150)
@given(
    items=st.lists(st.tuples(st.sampled_from(NOISE), st.sampled_from(PICTURES)), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=12),
)
def test_pictures_are_found_whole_whatever_is_between_them_and_however_they_come(
    items: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(noise + picture for noise, picture in items)
    found, damaged = feed_in_pieces(stream, cuts)
    assert found == [picture for _, picture in items]
    assert damaged == sum(noise == b"\xff\xd8" for noise, _ in items)  # which looks like a start


def test_they_come_out_byte_by_byte_too_each_with_its_own_last_byte() -> None:
    splitter = JpegSplitter()
    for i, picture in enumerate(PICTURES):
        for k in range(len(picture)):
            found = splitter.feed(picture[k : k + 1], 1000 * i + k)
            assert bool(found) == (k == len(picture) - 1)
        # The time of its third byte: the first two do not yet make a picture.
        assert found == [(picture, 1000 * i + 2)]


@pytest.mark.parametrize("length", range(3, len(PLAIN), 97))
def test_a_picture_that_breaks_off_is_left_out_and_the_next_but_one_is_found(length: int) -> None:
    found, damaged = feed_in_pieces(PLAIN[:length] + b"\r\n--frame\r\n\r\n" + PICTURES[1] + PICTURES[2], [])
    assert PLAIN not in found
    assert PICTURES[2] in found
    assert set(found) <= {PICTURES[1], PICTURES[2]}
    assert damaged >= 1


def test_a_picture_that_breaks_off_in_its_data_costs_no_other() -> None:
    found, damaged = feed_in_pieces(PLAIN[:-200] + b"\r\n--frame\r\n\r\n" + PICTURES[1], [])
    assert (found, damaged) == ([PICTURES[1]], 1)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_what_is_no_picture_gives_none_and_takes_no_memory(chunks: list[bytes]) -> None:
    splitter = JpegSplitter()
    for chunk in chunks:
        for picture, _ in splitter.feed(chunk, 0):
            assert picture.startswith(b"\xff\xd8")
    big = JpegSplitter()
    for _ in range(50):
        assert big.feed(b"x" * 100_000, 0) == []
    assert len(big._data) < 10


def test_a_picture_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet_edge.capture.reader.jpegs.LARGEST_JPEG_BYTES", 100_000)
    splitter = JpegSplitter()
    assert splitter.feed(PLAIN[:-2], 0) == []
    for _ in range(20):
        assert splitter.feed(b"\x00" * 10_000, 0) == []
    assert splitter.damaged == 1
    assert [picture for picture, _ in splitter.feed(PICTURES[1], 0)] == [PICTURES[1]]
