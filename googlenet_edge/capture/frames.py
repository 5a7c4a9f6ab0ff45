"""What all readers that go through OpenCV share."""

from __future__ import annotations

import math
import time
from typing import Any

import cv2
import numpy as np

from googlenet_edge.errors import SourceError
from googlenet_edge.types import Clock, ImageArray

__all__ = ["announced_frames", "decode_next", "has_backend", "to_bgr"]

DAMAGED_FRAMES = 10
"""After so many frames in a row that cannot be decoded, there is no further frame."""


def to_bgr(image: Any, description: str) -> ImageArray:
    """Return what OpenCV decoded, grey, BGR or BGRA, as uint8 (height, width, 3) BGR. Raises :class:`SourceError`."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.size:
        if image.ndim == 3 and image.shape[2] == 3:
            return image
        if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
        if image.ndim == 3 and image.shape[2] == 4:
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR), np.uint8)
    got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    raise SourceError(
        f"{description}: got frames of {got}, expected uint8 (height, width, 3) BGR; set the camera to a colour format"
    )


def decode_next(capture: cv2.VideoCapture, clock: Clock, *, patience_s: float = math.inf) -> tuple[Any, int] | None:
    """Return the next image and when it was received, or None where there is no further one.

    OpenCV answers a damaged frame exactly as it answers the end, but goes on behind it when it is asked again. So it is
    asked a few times, unless it took ``patience_s`` to deliver none.
    """
    started = time.monotonic()
    for _ in range(DAMAGED_FRAMES):
        if capture.grab():
            stamp_ns = clock()
            ok, image = capture.retrieve()
            if ok:
                return image, stamp_ns
        elif time.monotonic() - started >= patience_s:
            return None
    return None


def announced_frames(capture: cv2.VideoCapture) -> int | None:
    """Return how many frames the container says it has, or None where it does not say (streams)."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and 1 <= count <= 1e9 else None


def has_backend(backend: int) -> bool:
    """Return whether this OpenCV was built with, or finds a plugin for, this ``cv2.CAP_*``."""
    try:
        return backend in cv2.videoio_registry.getBackends() and cv2.videoio_registry.hasBackend(backend)
    except cv2.error:
        return False
