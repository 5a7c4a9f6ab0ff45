"""The two halves of the calibration images: one sets the thresholds that are tried, on the other they are judged.

They are judged on images as they are and with their contrast raised. What a camera sees varies more than any
calibration set, and of a threshold that is too low, nothing shows on images like those that it comes from: by them
alone, thresholds were chosen that cost 10 dB and more on the demo's selection set; the raised contrast gives them away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.types import ImageArray

__all__ = ["Halves"]

_FEWEST = 8
"""With fewer images, thresholds are judged on the images that they come from: half of so few says nothing at all."""

_CONTRAST = 1.6
"""What the contrast is raised by, around middle grey, to judge."""


@dataclass(frozen=True)
class Halves:
    """Calibration images, every second one in either half."""

    images: CalibrationImages

    @property
    def apart(self) -> bool:
        """Whether there are enough images to hold half of them out."""
        return len(self.images) >= _FEWEST

    @property
    def everything(self) -> range:
        """Indices of all images."""
        return range(len(self.images))

    @property
    def seen(self) -> range:
        """Indices of the images that set the thresholds that are tried."""
        return range(0, len(self.images), 2) if self.apart else self.everything

    @property
    def held_out(self) -> range:
        """Indices of the images that they are judged on."""
        return range(1, len(self.images), 2) if self.apart else self.everything

    def spread(self, indices: Sequence[int], count: int) -> ImageArray:
        """Return up to ``count`` crops, evenly spread over the indices: uint8 (N, H, W, 3)."""
        chosen = np.unique(np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int))
        return np.concatenate([self.images.read(indices[int(index)]) for index in chosen])

    def judging(self, count: int) -> ImageArray:
        """Return up to ``count`` crops of those held out, and the same with more contrast: uint8 (N, H, W, 3)."""
        crops = self.spread(self.held_out, count)
        levels = np.clip((np.arange(256) - 127.5) * _CONTRAST + 127.5, 0, 255).round().astype(np.uint8)
        return np.concatenate([crops, levels[crops]])
