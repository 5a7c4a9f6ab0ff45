"""What the measured loops read: a 720p file like camera footage, and JPEG pictures with a number in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from googlenet_edge.demo.scene import MovingCamera
from googlenet_edge.types import ImageArray

__all__ = ["CLIP", "NUMBERS", "SIZE_PX", "make_clip", "numbered_jpegs", "read_number"]

SIZE_PX = (1280, 720)
CLIP = "H.264 (libx264, veryfast, CRF 23), 1280x720, 30 frames/s, the demo's drive past road signs with camera noise"
NUMBERS = 256
_BITS = 8
_CELL_PX = 32
_VIEWS = 32
_NOISE_LEVELS = 4.0


def make_clip(folder: Path, frames: int) -> Path:
    """Return an MP4 file of so many frames in the folder, made if it is not there yet (about 20 ms a frame)."""
    import av

    path = folder / f"clip-{frames}.mp4"
    if path.exists():
        return path
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        with av.open(str(temporary), "w") as container:
            stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23"})
            stream.width, stream.height = SIZE_PX
            stream.pix_fmt = "yuv420p"
            for image in islice(_footage(), frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            container.mux(stream.encode(None))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def numbered_jpegs() -> list[bytes]:
    """Return pictures 1280x720 as JPEG files, the n-th with the number n in its corner, for :func:`read_number`."""
    jpegs = []
    views = list(islice(_footage(), _VIEWS))
    for number in range(NUMBERS):
        image = views[number % _VIEWS]
        for place, bit in enumerate(_bits(number)):
            image[:_CELL_PX, place * _CELL_PX : (place + 1) * _CELL_PX] = 255 * bit
        jpegs.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    return jpegs


def read_number(image: ImageArray) -> int:
    """Return the number in a picture's corner. Raises :class:`ValueError` where there is none."""
    strip = image[:_CELL_PX, : 2 * _BITS * _CELL_PX].reshape(_CELL_PX, 2 * _BITS, -1)
    cells = (strip[8:-8].mean(axis=(0, 2)) > 127).tolist()
    number = sum(1 << place for place, bit in enumerate(cells[:_BITS]) if bit)
    if cells != _bits(number):
        raise ValueError(f"a picture {image.shape} has no number in its corner, expected one of the numbered pictures")
    return number


def _bits(number: int) -> list[bool]:
    """The number's bits, then their opposites: a picture without a number does not look like one with."""
    bits = [bool(number >> place & 1) for place in range(_BITS)]
    return [*bits, *(not bit for bit in bits)]


def _footage() -> Iterator[ImageArray]:
    """What a camera in a car sees; its noise is what makes the decoder work as on real footage."""
    rng = np.random.default_rng(0)
    width_px, height_px = SIZE_PX
    grain = rng.normal(scale=_NOISE_LEVELS, size=(2 * height_px, 2 * width_px)).astype(np.int16)
    with MovingCamera(size_px=SIZE_PX) as camera:
        for frame in camera:
            top, left = int(rng.integers(height_px)), int(rng.integers(width_px))
            noisy = frame.image + grain[top : top + height_px, left : left + width_px, np.newaxis]
            yield np.clip(noisy, 0, 255).astype(np.uint8)
