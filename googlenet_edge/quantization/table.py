"""The calibration table: how large every tensor gets, by every method, and exactly for which graph and which images.

A table that fits another graph or other images gives wrong answers without an error. So it carries the hashes of both,
:meth:`CalibrationTable.check` refuses it for anything else, and :meth:`CalibrationTable.require` refuses it where a
tensor is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from googlenet_edge.errors import CalibrationError, InputError
from googlenet_edge.quantization.image_summary import ImageSummary
from googlenet_edge.quantization.threshold import METHODS, Method
from googlenet_edge.types import Interpolation

__all__ = ["SCHEMA_VERSION", "CalibrationSettings", "CalibrationTable", "CompactHistogram", "TensorRange"]

SCHEMA_VERSION: Final = 2
"""Raised by one whenever a field appears, goes or changes its meaning; only this very version is read."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_REMEDY = "calibrate again: googlenet-edge calibrate BUNDLE --images SOURCE"


class CalibrationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What besides graph and images decides about the result."""

    resize_px: int
    crop_px: int
    interpolation: Interpolation
    bins: int
    """Of the histograms that the thresholds were found on."""


class CompactHistogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Counts of ``|x|`` in few bins, for pictures; the thresholds were found on many more."""

    bin_width: float
    counts: tuple[int, ...]
    """From 0 on; exact zeros are not in here. Ends with the bin of the largest value."""
    zeros: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bin_width) and self.bin_width > 0) or min((self.zeros, *self.counts)) < 0:
            raise InputError(f"histogram: got bin width {self.bin_width}, expected it above 0 and no negative counts")


class TensorRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one tensor's values were like."""

    tensor: str
    amax: float
    """Largest ``|x|``, exact."""
    dead: bool
    """Never large enough to need a scale: every threshold is 0, and whoever makes a scale of it has to choose one."""
    thresholds: Mapping[Method, float]
    """By method; the scale is threshold / 127."""
    clipped_share: Mapping[Method, float]
    """Share of the values, 0 to 1, beyond the threshold of each method."""
    channel_mean: tuple[float, ...]
    """E[x] of each channel."""
    channel_amax: tuple[float, ...]
    """Largest ``|x|`` of each channel; 0 for a dead one."""
    channel_expected: tuple[float, ...]
    """What one image in 300 exceeds in each channel, extrapolated; at least ``channel_amax`` (see ``maxima.py``)."""
    histogram: CompactHistogram

    def __post_init__(self) -> None:
        where = f"tensor {self.tensor!r}"
        if not self.tensor:
            raise InputError("tensor: got an empty name")
        if not (math.isfinite(self.amax) and self.amax >= 0):
            raise InputError(f"{where}: got amax {self.amax}, expected a finite number of 0 or more")
        for what, found in (("thresholds", self.thresholds), ("clipped_share", self.clipped_share)):
            if set(found) != set(METHODS):
                raise InputError(f"{where}: got {what} for {sorted(found)}, expected {sorted(METHODS)}")
        for method, threshold in self.thresholds.items():
            highest = math.inf if method == "expected-max" else self.amax
            if not (0 <= threshold <= highest and math.isfinite(threshold)) or (threshold == 0) != self.dead:
                raise InputError(
                    f"{where}: got threshold {threshold} by {method}, expected above 0 and up to amax {self.amax}, "
                    "or 0 for a dead tensor"
                )
        if not all(0 <= share <= 1 for share in self.clipped_share.values()):
            raise InputError(f"{where}: got clipped shares {dict(self.clipped_share)}, expected 0 to 1")
        if not len(self.channel_mean) == len(self.channel_amax) == len(self.channel_expected):
            raise InputError(
                f"{where}: got {len(self.channel_mean)} means and {len(self.channel_amax)} maxima of channels, and "
                f"{len(self.channel_expected)} that are expected"
            )
        # Channels have the shortest form of their float32, which may be a little above the exact one.
        highest = self.amax * (1 + 1e-6)
        if not all(map(math.isfinite, self.channel_mean)) or not all(0 <= v <= highest for v in self.channel_amax):
            raise InputError(f"{where}: got a channel's mean or maximum that is not finite, or beyond amax {self.amax}")
        if not all(
            v <= expected < math.inf for v, expected in zip(self.channel_amax, self.channel_expected, strict=True)
        ):
            raise InputError(f"{where}: got a channel that is expected to stay below its maximum, or not finite")

    @property
    def dead_channels(self) -> tuple[int, ...]:
        """Indices of the channels that were 0 for every image."""
        return tuple(index for index, amax in enumerate(self.channel_amax) if amax == 0)


class CalibrationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every tensor's range by every method, for one graph and one set of images."""

    schema_version: int
    created: str
    """UTC, for example ``2025-01-31T12:00:00Z``."""
    model_sha256: str
    """Of the float32 ONNX file."""
    images_sha256: str
    """Over the bytes of all crops in their order."""
    image_count: int
    settings: CalibrationSettings
    images: ImageSummary
    tools: Mapping[str, str]
    """Name and version of everything that had a part in it."""
    tensors: tuple[TensorRange, ...]

    def __post_init__(self) -> None:
        for what, value in (("model_sha256", self.model_sha256), ("images_sha256", self.images_sha256)):
            if not _SHA256.fullmatch(value):
                raise InputError(f"{what}: got {value!r}, expected 64 lower-case hexadecimal digits")
        if not _CREATED.fullmatch(self.created):
            raise InputError(f"created: got {self.created!r}, expected UTC as 2025-01-31T12:00:00Z")
        if self.image_count < 1:
            raise InputError(f"image_count: got {self.image_count}, expected 1 or more")
        names = self.names
        if not names or len(set(names)) != len(names):
            twice = next((name for name in names if names.count(name) > 1), None)
            raise InputError(f"tensors: got {f'{twice!r} twice' if twice else 'none'}, expected each tensor once")

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors, in the order in which the graph makes them."""
        return tuple(entry.tensor for entry in self.tensors)

    def __contains__(self, tensor: object) -> bool:
        return tensor in self.names

    def __getitem__(self, tensor: str) -> TensorRange:
        """Return one tensor's range. Raises :class:`CalibrationError` if it is not in the table."""
        for entry in self.tensors:
            if entry.tensor == tensor:
                return entry
        raise CalibrationError(f"calibration table: tensor {tensor!r} is missing; {_REMEDY}")

    def threshold(self, tensor: str, method: Method) -> float:
        """Return the value above which INT8 saturates, 0 for a dead tensor; the scale is threshold / 127."""
        return self[tensor].thresholds[method]

    def check(
        self,
        *,
        model_sha256: str | None = None,
        images_sha256: str | None = None,
        settings: CalibrationSettings | None = None,
    ) -> None:
        """Raise :class:`CalibrationError` unless the table is of this graph, these images and these settings.

        What is None is not compared: one who only quantizes has no images at hand.
        """
        for what, got, expected in (
            ("graph", self.model_sha256, model_sha256),
            ("images", self.images_sha256, images_sha256),
        ):
            if expected is not None and got != expected:
                other = "another graph" if what == "graph" else "other images"
                raise CalibrationError(
                    f"calibration table: it was made for {other}: got {what} sha256 {got}, expected {expected}; "
                    f"{_REMEDY}"
                )
        if settings is not None and self.settings != settings:
            ours, theirs = msgspec.to_builtins(self.settings), msgspec.to_builtins(settings)
            name = next(name for name in ours if ours[name] != theirs[name])
            raise CalibrationError(
                f"calibration table: it was made with {name} {ours[name]!r}, expected {theirs[name]!r}; {_REMEDY}"
            )

    def require(self, tensors: Iterable[str]) -> None:
        """Raise :class:`CalibrationError` unless every one of these tensors is in the table; it names those missing."""
        known = set(self.names)
        missing = [tensor for tensor in dict.fromkeys(tensors) if tensor not in known]
        if missing:
            named = ", ".join(map(repr, missing[:4])) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
            raise CalibrationError(
                f"calibration table: {named} missing, which this graph needs a scale for; the table has {len(known)} "
                f"tensors; {_REMEDY}"
            )
