"""What the calibration images are like, and what is wrong with them.

Calibration trusts its images blindly: a network that was calibrated on too few of them, on one scene seen five hundred
times or on grey ones clips what it meets later, and no error says so. So each crop is looked at while it goes by, and
what is odd about the set becomes a warning that says what it costs.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from googlenet_edge.types import ImageArray

__all__ = ["ImageSummary", "ImageWarning", "SetObserver", "UnreadableImage", "difference_hash"]

Hash: TypeAlias = npt.NDArray[np.uint8]

FEWEST_IMAGES: Final = 100
"""Below this, thresholds depend on which images happened to be taken."""

NEAR_DISTANCE: Final = 6
"""Bits of 64 in which two images must differ not to be near-duplicates; the same as tools/collect_calibration.py."""

_ALIKE_SHARE = 0.5
_GREY_SHARE = 0.95
_BLANK_SHARE = 0.25
_GREY_LEVELS = 1.0
_BLANK_DEVIATION = 3.0
_NAMED = 3
_STEP_PX = 4

WarningCode: TypeAlias = Literal["too-few", "alike", "grey", "blank", "unreadable", "ended-early"]


class ImageWarning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something about the images that makes the thresholds worse than they could be."""

    code: WarningCode
    message: str
    """What it is, what it costs and what to do."""


class UnreadableImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image that was left out because it could not be read."""

    name: str
    reason: str


class ImageSummary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known about a set of calibration images."""

    source: str
    """Where they came from, without passwords."""
    asked: int
    """So many were asked for."""
    near_duplicates: int
    """Images that look like an earlier one and were kept all the same."""
    duplicates_dropped: int
    """Images that look like an earlier one and were left out, because that was asked for."""
    grey: int
    """Images without colour."""
    blank: int
    """Images of nearly one colour all over."""
    unreadable: tuple[UnreadableImage, ...] = ()
    warnings: tuple[ImageWarning, ...] = ()


def difference_hash(image: ImageArray) -> Hash:
    """Return the 64-bit difference hash (dHash), uint8 (8,), of a uint8 (height, width, 3) BGR image.

    Each bit says whether a pixel of the image, shrunk to 9x8 grey pixels, is darker than the one to its right.
    """
    small = np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA))
    return np.packbits(small[:, 1:] > small[:, :-1])


_BITS_SET: Final = np.array([value.bit_count() for value in range(256)], np.uint8)


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


class SetObserver:
    """Looks at the crops one by one and says at the end what is wrong with the set."""

    def __init__(self) -> None:
        self.count = 0
        self.grey = 0
        self.blank = 0
        self.near_duplicates = 0
        self._hashes = np.zeros((256, 8), np.uint8)

    def is_near_duplicate(self, crop: ImageArray) -> bool:
        """Tell whether a uint8 (height, width, 3) BGR crop looks like one that was added before."""
        different = self._hashes[: self.count] ^ difference_hash(crop)
        distances = _BITS_SET[different].sum(axis=1, dtype=np.int64)
        return bool((distances < NEAR_DISTANCE).any())

    def add(self, crop: ImageArray, *, near_duplicate: bool) -> None:
        """Count a uint8 (height, width, 3) BGR crop."""
        if self.count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[self.count] = difference_hash(crop)
        self.count += 1
        self.near_duplicates += near_duplicate
        pixels = crop[::_STEP_PX, ::_STEP_PX].astype(np.float32)
        self.grey += float(np.ptp(pixels, axis=2).mean()) < _GREY_LEVELS
        self.blank += float(pixels.std(axis=(0, 1)).max()) < _BLANK_DEVIATION

    def warnings(self, *, unreadable: tuple[UnreadableImage, ...], ended_early: str | None) -> tuple[ImageWarning, ...]:
        """Return what is wrong with the images so far; the worst comes first."""
        found = []
        count = self.count
        if count < FEWEST_IMAGES:
            found.append(
                ImageWarning(
                    "too-few",
                    f"only {_images(count)}, expected {FEWEST_IMAGES} or more (300 to 1000 are enough): the largest "
                    "activations are rare, so INT8 will clip some that these images never showed; give more images, "
                    "for example with tools/collect_calibration.py",
                )
            )
        if count > 1 and self.near_duplicates > _ALIKE_SHARE * count:
            found.append(
                ImageWarning(
                    "alike",
                    f"{self.near_duplicates} of {count} images look like an earlier one: they count as little more "
                    f"than {count - self.near_duplicates} images, and INT8 will clip whatever other scenes bring; "
                    "give images of other places, times and distances (--drop-duplicates leaves these out)",
                )
            )
        if self.grey >= _GREY_SHARE * count:
            found.append(
                ImageWarning(
                    "grey",
                    f"{self.grey} of {count} images are grey: activations that answer to colour were never seen large, "
                    "so a colour camera's frames will be clipped; calibrate with the camera that will be used (no "
                    "matter if that one is grey too)",
                )
            )
        if self.blank > _BLANK_SHARE * count:
            found.append(
                ImageWarning(
                    "blank",
                    f"{self.blank} of {count} images are of one colour all over: they excite hardly any activation, so "
                    "ranges come out too small and INT8 will clip real scenes; check the camera, its exposure and its "
                    "lens cap",
                )
            )
        if unreadable:
            names = ", ".join(repr(image.name) for image in unreadable[:_NAMED])
            more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
            found.append(
                ImageWarning(
                    "unreadable",
                    f"{_images(len(unreadable))} could not be read and left out ({names}{more}): whatever only they "
                    "show is missing from the ranges; copy them again, or delete them",
                )
            )
        if ended_early is not None:
            found.append(
                ImageWarning(
                    "ended-early",
                    f"the source broke off after {_images(count)} ({ended_early}): the rest of it is not in",
                )
            )
        return tuple(found)
