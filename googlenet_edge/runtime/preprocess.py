"""The one definition of how a frame becomes the network's input: crop first, then resize.

The reference is what training does: PIL's antialiased bilinear ``Resize(resize_px)`` of the short side, then
``CenterCrop(crop_px)``. PIL's filter is a triangle as wide as the scale asks for, over every pixel of the frame. Ours
costs a fortieth of it:

1. Cut out of the frame what the centre crop keeps, a little more where that lets both ends fall on whole pixels.
2. Halve it with 2x2 means, which OpenCV does at the speed of memory, until less than a factor of 2.3 is left.
3. Bilinear interpolation for the rest.

What keeps this true to PIL is the blur. That of a filter is its variance, and variances add up: with scale s, k
halvings and r = s / 2**k left, PIL's triangle has r**2 / 6 (in pixels of the halved crop); the 2x2 means have
(1 - 4**-k) / 12 and bilinear interpolation has 1/6 on the average. Where more than 1/4 is missing, a [1 2 1] / 4
smoothing before step 3 adds 1/2; where less is, a weaker one after it, on fewer pixels, adds just that.

Mean absolute difference from PIL in grey levels, and milliseconds on one thread of an x86-64 machine, for synthetic
frames with the spectrum of a photograph and the noise of a camera (``python tools/bench_preprocess.py`` repeats it):

===========================  ============  ============  ============
method                       1280x720      1920x1080     640x480
===========================  ============  ============  ============
bilinear                     2.93  0.13    3.28  0.13    2.26  0.12
area                         0.78  1.8     0.66  3.7     0.79  0.92
ours without the smoothing   1.01  0.21    1.45  0.36    2.26  0.12
ours                         0.94  0.25    0.33  0.50    0.34  0.21
PIL                          0     9.3     0     14      0     2.0
===========================  ============  ============  ============
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from googlenet_edge.errors import InputError, MissingPackageError
from googlenet_edge.types import ImageArray

try:
    import cv2
except ImportError as error:
    raise MissingPackageError("cv2", extra="cpu") from error

if TYPE_CHECKING:
    from googlenet_edge.types import CropRule, Region

__all__ = ["as_bgr", "check_frame", "preprocess"]

# Halve while at least this factor is left: just above 2, [1 2 1] / 4 supplies what is missing almost to the digit.
_HALVE_FROM: Final = 2.3
# How many more pixels of the resized image than the crop may be computed to begin and end on whole pixels of the frame.
_REACH_PX: Final = 8


@dataclass(frozen=True)
class _Axis:
    """One axis: ``count`` pixels of the frame from ``start`` on become ``size_px``; the crop begins at ``skip_px``."""

    start: int
    count: int
    size_px: int
    skip_px: int


@dataclass(frozen=True)
class _Plan:
    """All that depends only on the frame's size and the rule."""

    x: _Axis
    y: _Axis
    halvings: int
    smooth_before: bool
    smooth_after: float
    """Variance, in pixels of the result, of the smoothing after the interpolation; 0 for none."""


def preprocess(
    image: ImageArray, rule: CropRule, *, region: Region | None = None, out: ImageArray | None = None
) -> ImageArray:
    """Crop a frame to its centre square and bring that to the network's size.

    Args:
        image: uint8 BGR (height, width, 3) as OpenCV delivers it, any size from 1x1; grey (height, width) or
            (height, width, 1) and BGRA (height, width, 4) are converted. Never altered.
        rule: Sizes and interpolation; ``"halve-linear"`` is described above, ``"area"`` and ``"linear"`` are OpenCV's.
        region: Use only this part of the frame, as if it were the frame.
        out: Where to put the result: uint8 (crop, crop, 3), for example one row of a batch.

    Returns:
        uint8 (crop, crop, 3) BGR, range 0-255: ``out`` if it was given, else a new contiguous array.

    Raises:
        InputError: The image, the region or ``out`` is not as described.
    """
    image = check_frame(image)
    if region is not None:
        image = _cut(image, region)
    if out is not None:
        _check_out(out, rule.crop_px)
    plan = _plan(image.shape[1], image.shape[0], rule)
    x, y = plan.x, plan.y
    pixels: Any = as_bgr(image[y.start : y.start + y.count, x.start : x.start + x.count])
    for _ in range(plan.halvings):
        pixels = cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)
    if plan.smooth_before:
        pixels = cv2.GaussianBlur(pixels, (3, 3), 0)
    # OpenCV's INTER_AREA is nearest neighbour for enlarging, which nobody wants.
    shrinks = pixels.shape[0] > y.size_px and pixels.shape[1] > x.size_px
    method = cv2.INTER_AREA if rule.interpolation == "area" and shrinks else cv2.INTER_LINEAR
    pixels = cv2.resize(pixels, (x.size_px, y.size_px), interpolation=method)
    pixels = pixels[y.skip_px : y.skip_px + rule.crop_px, x.skip_px : x.skip_px + rule.crop_px]
    if plan.smooth_after:
        side = plan.smooth_after / 2
        kernel = np.array([side, 1 - 2 * side, side], dtype=np.float32)
        pixels = cv2.sepFilter2D(pixels, -1, kernel, kernel)
    if out is None:
        return np.ascontiguousarray(pixels)
    out[...] = pixels
    return out


def check_frame(image: object) -> ImageArray:
    """Return the frame if it is one that :func:`preprocess` takes; raise :class:`InputError` if not."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size:
        return image  # before the words for anything else are put together, which takes longer than this check
    expected = "expected uint8 (height, width, 3) BGR, (height, width, 4) BGRA or (height, width) grey"
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"frame: got {type(image).__module__}.{type(image).__qualname__}, {expected} as a numpy array; "
            "pass the frame as OpenCV delivers it (of a PIL image: numpy.asarray(image.convert('RGB'))[..., ::-1])"
        )
    got = f"frame: got {image.dtype} {image.shape}, {expected}"
    if image.dtype != np.uint8:
        raise InputError(f"{got}; scale it to 0-255 and convert it with .astype(numpy.uint8)")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        many = " (several frames: Classifier.classify_batch takes a list of them)" if image.ndim == 4 else ""
        raise InputError(f"{got}; pass one frame as OpenCV delivers it{many}")
    if image.size == 0:
        raise InputError(f"{got} of at least one pixel; the frame is empty: did the source fail to read it?")
    return image


def as_bgr(image: ImageArray) -> ImageArray:
    """Return a checked frame as BGR (height, width, 3), in memory as OpenCV takes it; copied only if need be."""
    if image.ndim == 3 and image.strides[1:] != (image.shape[2], 1):
        image = np.ascontiguousarray(image)
    if image.strides[0] < 0 or (image.ndim == 2 and image.strides[1] != 1):
        image = np.ascontiguousarray(image)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 3:
        return image
    converted: Any = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR)
    return converted  # type: ignore[no-any-return]


def _check_out(out: object, crop_px: int) -> None:
    got = type(out).__name__
    if isinstance(out, np.ndarray):
        if out.shape == (crop_px, crop_px, 3) and out.dtype == np.uint8 and out.flags.writeable:
            return
        got = f"{'' if out.flags.writeable else 'read-only '}{out.dtype} {out.shape}"
    raise InputError(f"out: got {got}, expected a writable uint8 array ({crop_px}, {crop_px}, 3)")


def _cut(image: ImageArray, region: Region) -> ImageArray:
    height_px, width_px = image.shape[:2]
    right, bottom = region.x_px + region.width_px, region.y_px + region.height_px
    if right > width_px or bottom > height_px:
        raise InputError(
            f"region: got columns {region.x_px} to {right} and rows {region.y_px} to {bottom}, "
            f"expected them inside the frame of {width_px}x{height_px} pixels"
        )
    return image[region.y_px : bottom, region.x_px : right]


@lru_cache(maxsize=64)
def _plan(width_px: int, height_px: int, rule: CropRule) -> _Plan:
    """Work out, once for each frame size, what :func:`preprocess` does."""
    short_px = min(width_px, height_px)
    scale = short_px / rule.resize_px
    halvings = max(0, math.floor(math.log2(scale / _HALVE_FROM)) + 1) if rule.interpolation == "halve-linear" else 0
    rest = scale / 2**halvings
    missing = rest**2 / 6 - 1 / 6 - (1 - 4.0**-halvings) / 12 if rule.interpolation == "halve-linear" else 0.0
    before = missing > 0.25
    # Resized as torchvision's Resize does it: the long side is rounded down.
    x, y = (
        _axis(size_px, rule.resize_px * size_px // short_px, rule.crop_px, 2**halvings)
        for size_px in (width_px, height_px)
    )
    return _Plan(x, y, halvings, before, missing / rest**2 if missing > 0.05 and not before else 0.0)


def _axis(size_px: int, resized_px: int, crop_px: int, multiple: int) -> _Axis:
    """Find whole pixels of the frame that become the crop and, at its two ends, up to a few more pixels.

    The crop's own ends seldom fall on whole pixels: cut there, and the result is off by up to half a pixel of the
    frame. A few pixels further out there is nearly always an end that does.
    """
    scale = size_px / resized_px
    left = round((resized_px - crop_px) / 2)
    right = left + crop_px
    reach = _REACH_PX if scale >= 1 else 2 * _REACH_PX + math.ceil(1 / scale)  # enlarging is cheap
    # Enlarging, the outermost pixels of the crop are interpolated from pixels of the frame that lie outside of it.
    margin = max(0.0, 0.5 - scale / 2)
    # Each candidate is (how far it misses, in pixels of the result, with a small price on size; pixels more; the end).
    starts = []
    for more in range(min(reach, left) + 1):
        place = (left - more) * scale
        whole = round(place)
        if whole == 0 or whole <= left * scale - margin:
            starts.append((abs(place - whole) / scale + more / 1000, more, whole))
    _, skip, start = min(starts)
    stops = []
    for more in range(min(reach, resized_px - right) + 1):
        place = (right + more) * scale
        count = max(1, round((place - start) / multiple)) * multiple
        if start + count > size_px:
            count -= multiple
        stop = start + count
        if count > 0 and (margin == 0 or stop == size_px or stop >= right * scale + margin):
            stops.append((abs(place - stop) / scale + more / 1000, more, stop))
    _, more, stop = min(stops)
    return _Axis(start, stop - start, skip + crop_px + more, skip)
