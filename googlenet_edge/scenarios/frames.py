"""The fixed set of frames that a scenario works on: demo scenes, or images of one's own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from googlenet_edge.errors import InputError

if TYPE_CHECKING:
    from googlenet_edge.types import ImageArray

__all__ = ["DEFAULT_FRAMES", "FrameSet", "demo_frames", "image_frames"]

DEFAULT_FRAMES: Final = 16
"""44 MB at 1280x720: more than a processor's caches hold, so that frames come from memory, as a camera's do."""
MOST_BYTES: Final = 1 << 30

_STRIDE: Final = 11
"""Between two frames taken from the demo's drive: neighbours look alike."""


@dataclass(frozen=True)
class FrameSet:
    """Frames that lie decoded in memory."""

    images: tuple[ImageArray, ...]
    """uint8 (height, width, 3) BGR, any sizes."""
    description: str


def demo_frames(count: int = DEFAULT_FRAMES, *, size_px: tuple[int, int] = (1280, 720), seed: int = 0) -> FrameSet:
    """Draw frames of the demo scene; the same seed and size give the same ones.

    Raises :class:`InputError` for a count that is not above 0 or that would take more than 1 GiB, and
    :class:`UsageError` for a size or seed that the scene does not take.
    """
    from googlenet_edge.demo.scene import MovingCamera

    _check(count, count * size_px[0] * size_px[1] * 3)
    with MovingCamera(seed=seed, size_px=size_px) as camera:
        images = tuple(camera.draw(_STRIDE * number)[0] for number in range(count))
    return FrameSet(images, f"{count} frames of the demo scene, {size_px[0]}x{size_px[1]}, seed {seed}")


def image_frames(path: str, count: int = DEFAULT_FRAMES, *, seed: int = 0) -> FrameSet:
    """Read images: a file, a folder, a folder of folders, or a glob; of more than ``count``, as many drawn by the seed.

    Raises :class:`SourceError` where there are none or one cannot be read, and :class:`InputError` for a count that is
    not above 0, and for more than 1 GiB of pixels.
    """
    from googlenet_edge.capture.images import find_images, find_matches, read_image

    _check(count, 0)
    found, _ = find_images(Path(path)) if Path(path).exists() else find_matches(path)
    paths: Sequence[Path] = [one for one, _ in found]
    if len(paths) > count:
        paths = random.Random(seed).sample(paths, count)
    images: list[ImageArray] = []
    for one in paths:
        images.append(read_image(one))
        _check(count, sum(image.nbytes for image in images))
    of = f"{len(images)} of {len(found)} images" if len(images) < len(found) else f"{len(images)} images"
    sizes = sorted({image.shape[1::-1] for image in images})
    shown = ", ".join(f"{width}x{height}" for width, height in sizes[:3]) + (" and others" if len(sizes) > 3 else "")
    drawn = f", drawn with seed {seed}" if len(images) < len(found) else ""
    return FrameSet(tuple(images), f"{of} of {path}, {shown}{drawn}")


def _check(count: int, size_bytes: int) -> None:
    if count < 1:
        raise InputError(f"frames: got {count}, expected at least 1")
    if size_bytes > MOST_BYTES:
        raise InputError(
            f"frames: got {size_bytes >> 20} MiB of pixels, expected at most {MOST_BYTES >> 20} MiB; use fewer or "
            "smaller ones"
        )
