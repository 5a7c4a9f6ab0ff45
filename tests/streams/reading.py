"""Reads the numbers of :mod:`tests.streams.numbered` back from pictures as OpenCV has them."""

from __future__ import annotations

import cv2
import numpy as np

from googlenet_edge.types import ImageArray
from tests.streams.numbered import BLACK, COLUMNS, ROWS, WHITE, NotNumberedError, Number, from_bytes

_PER_BLOCK = 4  # samples on a side, of which the middle ones count


def read_number(image: ImageArray) -> Number:
    """Read a picture: uint8 (height, width, 3) BGR or (height, width), of any size from about 100x60.

    Raises :class:`NotNumberedError` where it carries no number or is damaged.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    samples = cv2.resize(grey, (COLUMNS * _PER_BLOCK, ROWS * _PER_BLOCK), interpolation=cv2.INTER_AREA)
    blocks = samples.reshape(ROWS, _PER_BLOCK, COLUMNS, _PER_BLOCK)[:, 1:-1, :, 1:-1].mean(axis=(1, 3))
    if blocks.max() - blocks.min() < (WHITE - BLACK) / 2:
        raise NotNumberedError(f"no black and white blocks: {blocks.min():.0f} to {blocks.max():.0f}")
    middle = (blocks.max() + blocks.min()) / 2
    return from_bytes(np.packbits(blocks > middle).tobytes())
