"""Normalizations by name and as written on the command line or in a file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.errors import CheckpointError, UsageError
from googlenet_edge.model.normalization import (
    NORMALIZATIONS,
    normalization_from_json,
    normalization_to_json,
    parse_normalization,
)
from googlenet_edge.types import Normalization

three = st.tuples(*[st.floats(0, 1)] * 3)
positive = st.tuples(*[st.floats(1e-6, 2)] * 3)
normalizations = st.builds(Normalization, three, positive, st.sampled_from(["rgb", "bgr"]))


@settings(deadline=None, max_examples=50)
@given(normalizations)
def test_json_and_text_keep_every_digit(normalization: Normalization) -> None:
    assert normalization_from_json(normalization_to_json(normalization)) == normalization
    mean, std = (",".join(map(repr, values)) for values in (normalization.mean, normalization.std))
    assert parse_normalization(f"mean={mean};std={std};order={normalization.color_order}") == normalization


@pytest.mark.parametrize("name", list(NORMALIZATIONS))
def test_names(name: str) -> None:
    assert parse_normalization(f" {name} ") == NORMALIZATIONS[name]


def test_imagenet_then_transform_input_is_inception() -> None:
    # torchvision's transform_input maps x to x * std / 0.5 + (mean - 0.5) / 0.5, with ImageNet's mean and std.
    imagenet, inception = NORMALIZATIONS["imagenet"], NORMALIZATIONS["inception"]
    for channel in range(3):
        mean, std = imagenet.mean[channel], imagenet.std[channel]
        for pixel in (0.0, 0.25, 1.0):
            both = (pixel - mean) / std * (std / 0.5) + (mean - 0.5) / 0.5
            assert both == pytest.approx((pixel - inception.mean[channel]) / inception.std[channel], abs=1e-12)


def test_one_number_stands_for_three_and_rgb_is_the_default() -> None:
    assert parse_normalization("mean=0.5; std=0.25;") == Normalization((0.5,) * 3, (0.25,) * 3, "rgb")
    assert parse_normalization("order=BGR;std=1;mean=0,0,1").color_order == "bgr"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imagnet", "expected one of inception, imagenet, caffe, unit, or for example 'mean="),
        ("", "without a mean or a std"),
        ("mean=0.5", "without a mean or a std"),
        ("mean=0.5;std=0.5;scale=1", "at 'scale=1'"),
        ("mean=0.5;mean=0.5;std=1", "at 'mean=0.5'"),
        ("mean=0.5,0.5;std=1", "expected one finite number or three"),
        ("mean=a;std=1", "expected one finite number or three"),
        ("mean=nan;std=1", "expected one finite number or three"),
        ("mean=123.7,116.3,103.5;std=1", "divide figures of the 0 to 255 scale by 255"),
        ("mean=0;std=58.4", "divide figures of the 0 to 255 scale by 255"),
        ("mean=0;std=0", "numbers above 0"),
        ("mean=0;std=1;order=grb", "got order='grb', expected 'rgb' or 'bgr'"),
    ],
)
def test_wrong_text(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_normalization(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"mean": 1, "std": 1}',
        '{"mean": [1, 2], "std": [1, 2]}',
        "[" * 10_000,
        '{"mean": ["x", 1, 1]}',
    ],
)
def test_wrong_json(text: str) -> None:
    with pytest.raises(CheckpointError, match=r"expected \{\"mean\""):
        normalization_from_json(text)
