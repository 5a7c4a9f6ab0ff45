"""Which normalization a network was trained with: names for the common ones, and how they are written down.

A state dict does not say how its training images were normalised, and a wrong guess costs accuracy without an error. So
our own checkpoints carry a :class:`~googlenet_edge.types.Normalization`, and the command line takes one by name or as
``mean=...;std=...;order=...``.
"""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import TYPE_CHECKING

from googlenet_edge.errors import CheckpointError, InputError, UsageError
from googlenet_edge.types import Normalization

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NORMALIZATIONS", "normalization_from_json", "normalization_to_json", "parse_normalization"]

NORMALIZATIONS: Mapping[str, Normalization] = MappingProxyType(
    {
        # To -1..1. This is also what torchvision's GoogLeNet sees: its transforms normalise with ImageNet's figures and
        # `transform_input=True` inside the model turns that into (x - 0.5) / 0.5.
        "inception": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        # torchvision's transforms alone: networks trained with `transform_input=False`.
        "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        # BVLC's Caffe models: BGR on the 0 to 255 scale, less the mean of ImageNet.
        "caffe": Normalization((104 / 255, 117 / 255, 123 / 255), (1 / 255, 1 / 255, 1 / 255), "bgr"),
        # Pixels as they are, on the 0 to 1 scale: Keras' Rescaling(1/255), torchvision's ToTensor alone.
        "unit": Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    }
)
"""Normalizations by name, for the command line and for checkpoints that do not say."""

_SYNTAX = "mean=0.485,0.456,0.406;std=0.229,0.224,0.225;order=rgb"


def parse_normalization(text: str) -> Normalization:
    """Return the normalization named ``text``, or the one written as ``mean=R,G,B;std=R,G,B;order=rgb``.

    The numbers are on the 0 to 1 scale and in the order of ``order`` (``rgb``, the default, or ``bgr``); one number
    stands for all three. Raises :class:`UsageError` for anything else.
    """
    if text.strip() in NORMALIZATIONS:
        return NORMALIZATIONS[text.strip()]
    expected = f"expected one of {', '.join(NORMALIZATIONS)}, or for example '{_SYNTAX}'"
    fields: dict[str, str] = {}
    for part in text.split(";"):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or key not in ("mean", "std", "order") or key in fields:
            raise UsageError(f"normalization: got {text!r} (at {part.strip()!r}), {expected}")
        fields[key] = value
    if "mean" not in fields or "std" not in fields:
        raise UsageError(f"normalization: got {text!r} without a mean or a std, {expected}")
    mean, std = _three_numbers(fields["mean"], text), _three_numbers(fields["std"], text)
    if not all(0 <= value <= 1 for value in mean) or not all(value <= 2 for value in std):
        raise UsageError(
            f"normalization: got mean={fields['mean']}, std={fields['std']}, expected numbers on the 0 to 1 scale; "
            "divide figures of the 0 to 255 scale by 255"
        )
    order = fields.get("order", "rgb").lower()
    if order not in ("rgb", "bgr"):
        raise UsageError(f"normalization: got order={order!r}, expected 'rgb' or 'bgr'")
    try:
        return Normalization(mean, std, "bgr" if order == "bgr" else "rgb")
    except InputError as error:
        raise UsageError(str(error)) from error


def normalization_to_json(normalization: Normalization) -> str:
    """Return the normalization as the JSON object ``{"mean": [...], "std": [...], "color_order": "rgb"}``."""
    fields = {"mean": normalization.mean, "std": normalization.std, "color_order": normalization.color_order}
    return json.dumps(fields)


def normalization_from_json(text: str) -> Normalization:
    """Return the normalization written by :func:`normalization_to_json`. Raises :class:`CheckpointError`."""
    expected = 'expected {"mean": [three numbers], "std": [three numbers], "color_order": "rgb" or "bgr"}'
    try:
        fields = json.loads(text)
        mean, std = (tuple(float(value) for value in fields[key]) for key in ("mean", "std"))
        return Normalization(mean, std, fields.get("color_order", "rgb"))  # type: ignore[arg-type]  # it checks itself
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"normalization in the file's metadata: got {text[:200]!r}, {expected}") from error


def _three_numbers(text: str, whole: str) -> tuple[float, float, float]:
    try:
        numbers = [float(value) for value in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(math.isfinite(value) for value in numbers):
        raise UsageError(
            f"normalization: got {text!r} in {whole!r}, expected one finite number or three, as in 0.5,0.5,0.5"
        )
    return numbers[0], numbers[1], numbers[2]
