"""A camera of the software V4L2 driver: its settings, its node, and the page that it shares with the driver."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path

import cv2
import numpy as np

from googlenet_edge.types import ImageArray

MakeCamera = Callable[..., "SoftCamera"]

FIELDS = (
    *("unplugged", "frozen", "lose", "damage", "damage_kind", "bad_stamps"),
    *("frames", "starved", "open_files", "stream_ons", "buffers", "fourcc", "width", "height", "interval_us"),
    "streaming",
)
BARS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
"""Blue, green and red, in BGR; the fourth bar is grey, and tells the frame's number (:func:`number_of`)."""


class Damage(IntEnum):
    CUT_SHORT = 1
    MIDDLE_GONE = 2
    EMPTY = 3
    MARKED = 4
    IO_ERROR = 5
    NO_END = 6


class SoftCamera:
    """A camera at ``path``; ``modes`` are lines such as ``"MJPG 640x480 30 15"``: format, size, frames per second."""

    def __init__(self, folder: Path, number: int, modes: Sequence[str], settings: dict[str, object]) -> None:
        name = f"video{number}"
        for sub in ("conf", "control"):
            (folder / sub).mkdir(exist_ok=True)
        lines = [f"mode {mode}" for mode in modes] + [f"{key} {value}" for key, value in settings.items()]
        (folder / "conf" / name).write_text("".join(f"{line}\n" for line in lines))
        control = folder / "control" / name
        control.write_bytes(bytes(4096))
        with control.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 4096)
        self._node = folder / name
        self.path = str(self._node)
        self.plug()

    def plug(self) -> None:
        self._node.unlink(missing_ok=True)
        self["unplugged"] = 0
        self._node.symlink_to("/dev/null")

    def unplug(self) -> None:
        self["unplugged"] = 1
        self._node.unlink()

    def __getitem__(self, field: str) -> int:
        return int(struct.unpack_from("=I", self._page, 4 * FIELDS.index(field))[0])

    def __setitem__(self, field: str, value: int) -> None:
        struct.pack_into("=I", self._page, 4 * FIELDS.index(field), value)

    @property
    def format(self) -> str:
        """What is set, as a mode is written."""
        fourcc = self["fourcc"].to_bytes(4, "little").decode()
        return f"{fourcc} {self['width']}x{self['height']} {round(1e6 / self['interval_us'])}"

    def damage_next(self, count: int, kind: Damage) -> None:
        self["damage_kind"] = kind
        self["damage"] = count


def write_jpegs(folder: Path, size_px: tuple[int, int], count: int = 8, parameters: Sequence[int] = ()) -> list[bytes]:
    """Write the JPEG pictures of a camera: the driver's bars, with a grey of 8 times the number, and some grain."""
    width, height = size_px
    grain = np.random.default_rng(1).integers(-6, 7, (height, width, 1))
    pictures = []
    for number in range(count):
        image = np.empty((height, width, 3), np.uint8)
        for rows, grey, step in ((slice(0, height // 2), 8 * number, 1), (slice(height // 2, height), 0, -1)):
            for place, color in enumerate((*BARS, (grey,) * 3)[::step]):
                image[rows, place * width // 4 : (place + 1) * width // 4] = color
        image = np.clip(image.astype(int) + grain, 0, 255).astype(np.uint8)
        pictures.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95, *parameters])[1].tobytes())
        (folder / f"{width}x{height}-{number}.jpg").write_bytes(pictures[-1])
    return pictures


def bars_of(image: ImageArray, *, upper: bool = True) -> list[list[int]]:
    """The colours in the middle of the four bars, from blue to grey."""
    height, width = image.shape[:2]
    row = image[height // 4 if upper else height * 3 // 4]
    colors = [row[(2 * bar + 1) * width // 8].astype(int).tolist() for bar in range(4)]
    return colors if upper else colors[::-1]


def number_of(image: ImageArray) -> int:
    """The number of the frame, as the grey bars tell it, modulo 1024."""
    height, width = image.shape[:2]
    low = image[height // 8 : height * 3 // 8, width * 13 // 16 : width * 15 // 16]
    high = image[height * 5 // 8 : height * 7 // 8, width // 16 : width * 3 // 16]
    return round(float(low.mean()) / 8) + 32 * round(float(high.mean()) / 8)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the names are enough, and the folder is one more either way


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    limit = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < limit, "not within the limit"
        time.sleep(0.002)
