from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from googlenet_edge.capture.reader.jpegs import JpegSplitter
from tests.streams.numbered import Number, luma

PICTURES = 200


@pytest.mark.parametrize("seed", range(5))
def test_garbage_in_a_picture_costs_that_picture_alone_and_delays_none(seed: int) -> None:
    """Bytes that look like a marker announce a length, and that may span all of the next pictures."""
    rng = random.Random(seed)
    splitter = JpegSplitter()
    damaged = 0
    for number in range(PICTURES):
        grey = np.frombuffer(luma(Number(1, number, 1), 320, 180), np.uint8).reshape(180, 320)
        picture = cv2.imencode(".jpg", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))[1].tobytes()
        whole = number % 4 != 0
        if not whole:
            damaged += 1
            middle = len(picture) // 2
            picture = picture[:middle] + rng.randbytes(300) + picture[middle + 300 :]
        part = b"--picture\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n" + rng.randbytes(200) + b"\r\n"
        found = [data for data, _ in splitter.feed(part, number)]
        assert (picture in found) or not whole, number
    assert splitter.damaged <= 3 * damaged
