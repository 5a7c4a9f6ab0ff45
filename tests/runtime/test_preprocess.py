from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from googlenet_edge.errors import InputError
from googlenet_edge.runtime.preprocess import _plan, preprocess
from googlenet_edge.types import CropRule, ImageArray, Interpolation, Region

RULE = CropRule()
MakeFrame = Callable[[int, int], ImageArray]


def reference(image: ImageArray, rule: CropRule = RULE) -> ImageArray:
    """torchvision's Resize (antialiased bilinear, long side rounded down) and CenterCrop, done by PIL."""
    size = (image.shape[1], image.shape[0])
    width, height = (rule.resize_px * n // min(size) for n in size)
    left, top = round((width - rule.crop_px) / 2), round((height - rule.crop_px) / 2)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + rule.crop_px, top + rule.crop_px)))


def mean_difference(got: ImageArray, expected: ImageArray) -> float:
    return float(np.abs(got.astype(np.int16) - expected).mean())


@pytest.mark.parametrize(
    ("width", "height", "limit"),
    [
        (1280, 720, 1.1), (720, 1280, 1.1), (1920, 1080, 0.6), (3000, 2160, 0.6), (640, 480, 0.6), (480, 640, 0.6),
        (800, 600, 1.2), (1921, 1081, 0.6), (1000, 333, 1.2), (341, 256, 0.01), (257, 300, 1.2),
        (320, 240, 0.6), (200, 150, 0.6), (100, 100, 0.6), (64, 63, 0.6), (33, 77, 0.6),
    ],
)  # fmt: skip
def test_true_to_pil(natural_frame: MakeFrame, width: int, height: int, limit: float) -> None:
    frame = natural_frame(width, height)
    got = preprocess(frame, RULE)
    assert got.dtype == np.uint8
    assert got.shape == (224, 224, 3)
    assert got.flags.c_contiguous
    assert mean_difference(got, reference(frame)) < limit


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (10, 10), (10, 400), (400, 10), (1, 40), (40, 1)])
def test_tiny_and_extreme_frames(natural_frame: MakeFrame, width: int, height: int) -> None:
    frame = natural_frame(width, height)
    got = preprocess(frame, RULE).astype(np.int16)
    assert np.abs(got - reference(frame)).max() <= 1


@pytest.mark.parametrize("size", [20, 32, 50, 64, 80, 128])
def test_enlarged_frames_are_right_up_to_the_edge_of_the_crop(size: int) -> None:
    # The outermost pixels of the crop need pixels of the frame from outside of it.
    frame = np.random.default_rng(size).integers(0, 256, (size, size, 3), dtype=np.uint8)
    difference = np.abs(preprocess(frame, RULE).astype(np.int16) - reference(frame))
    edges = difference[:2], difference[-2:], difference[:, :2], difference[:, -2:]
    assert max(edge.mean() for edge in edges) < 2


def test_noise_is_averaged_like_pil_does() -> None:
    # Plain bilinear interpolation would pass four times the variance on (aliasing).
    frame = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    got, expected = preprocess(frame, RULE), reference(frame)
    assert 0.9 < got.std() / expected.std() < 1.35
    assert preprocess(frame, CropRule(interpolation="linear")).std() / expected.std() > 2


@settings(deadline=None, max_examples=40)
@given(short=st.integers(1, 600), ratio=st.floats(1, 4), upright=st.booleans())
def test_the_crop_is_where_pil_puts_it(short: int, ratio: float, upright: bool) -> None:
    width, height = (short, round(short * ratio)) if upright else (round(short * ratio), short)
    # On a ramp, a pixel's value tells where it was: half a pixel of the result is the most that rounding may cost.
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    frame = np.stack([x, y, np.zeros_like(x)], axis=2).round().astype(np.uint8)
    got, expected = (a.astype(np.float64).mean(axis=(0, 1)) for a in (preprocess(frame, RULE), reference(frame)))
    step = 255 / 256  # what one pixel of the result is worth, or less
    assert np.abs(got - expected).max() <= 0.5 * step + 0.5


@settings(deadline=None, max_examples=100)
@given(width=st.integers(1, 6000), height=st.integers(1, 6000))
def test_any_size_gives_a_crop(width: int, height: int) -> None:
    # A view of one pixel: no memory is needed for the frame.
    frame = np.broadcast_to(np.array([7, 8, 9], np.uint8), (height, width, 3))
    if width * height < 1_000_000:
        assert (preprocess(frame, RULE) == (7, 8, 9)).all()
    plan = _plan(width, height, RULE)
    for axis, size in ((plan.x, width), (plan.y, height)):
        assert 0 <= axis.start < axis.start + axis.count <= size
        assert 0 <= axis.skip_px <= axis.size_px - RULE.crop_px
        assert axis.count % 2**plan.halvings == 0


@pytest.mark.parametrize("interpolation", ["halve-linear", "area", "linear"])
def test_a_plain_frame_stays_plain(interpolation: Interpolation) -> None:
    for width, height in ((1280, 720), (640, 480), (50, 40), (2000, 2000)):
        frame = np.full((height, width, 3), (10, 100, 200), dtype=np.uint8)
        got = preprocess(frame, CropRule(interpolation=interpolation))
        assert (got == (10, 100, 200)).all(), (width, height)


@pytest.mark.parametrize("rule", [CropRule(224, 224), CropRule(342, 299), CropRule(32, 1), CropRule(1, 1)])
def test_other_rules(natural_frame: MakeFrame, rule: CropRule) -> None:
    for width, height in ((640, 480), (333, 1000), (7, 5)):
        frame = natural_frame(width, height)
        got = preprocess(frame, rule)
        assert got.shape == (rule.crop_px, rule.crop_px, 3)
        if rule.crop_px > 1:
            assert mean_difference(got, reference(frame, rule)) < 1.5


def test_a_frame_of_the_right_size_is_only_cropped(natural_frame: MakeFrame) -> None:
    frame = natural_frame(256, 256)
    np.testing.assert_array_equal(preprocess(frame, RULE), frame[16:240, 16:240])


def test_a_region_is_treated_as_the_frame(natural_frame: MakeFrame) -> None:
    frame = natural_frame(1280, 720)
    got = preprocess(frame, RULE, region=Region(100, 50, 640, 480))
    np.testing.assert_array_equal(got, preprocess(frame[50:530, 100:740].copy(), RULE))
    np.testing.assert_array_equal(preprocess(frame, RULE, region=Region(0, 0, 1280, 720)), preprocess(frame, RULE))


@pytest.mark.parametrize("region", [Region(1, 0, 1280, 720), Region(0, 1, 10, 720), Region(5000, 0, 1, 1)])
def test_a_region_outside_the_frame(natural_frame: MakeFrame, region: Region) -> None:
    with pytest.raises(InputError, match=r"region: got columns .* inside the frame of 1280x720 pixels"):
        preprocess(natural_frame(1280, 720), RULE, region=region)


def test_grey_and_bgra_are_converted(natural_frame: MakeFrame) -> None:
    bgr = natural_frame(640, 480)
    grey: ImageArray = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    threefold = preprocess(np.repeat(grey[..., None], 3, axis=2), RULE)
    np.testing.assert_array_equal(preprocess(grey, RULE), threefold)
    np.testing.assert_array_equal(preprocess(grey[..., None], RULE), threefold)
    bgra = np.dstack([bgr, np.random.default_rng(0).integers(0, 256, bgr.shape[:2], dtype=np.uint8)])
    np.testing.assert_array_equal(preprocess(bgra, RULE), preprocess(bgr, RULE))


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-1],
        lambda a: a[..., ::-1],
        lambda a: a[::2, ::3],
        lambda a: a.transpose(1, 0, 2),
        np.asfortranarray,
        lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
        lambda a: a[..., 0],
        lambda a: a[..., 0].T,
        lambda a: a[::-1, ::-1, 1],
        lambda a: np.dstack([a, a[..., :1]])[..., 1:],
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.broadcast_to(a[:, :1, :1], a.shape),
        lambda a: np.lib.stride_tricks.as_strided(a, a.shape, writeable=False),
    ],
)
def test_any_memory_layout(natural_frame: MakeFrame, view: Callable[[ImageArray], ImageArray]) -> None:
    frame = natural_frame(640, 480)
    before = frame.copy()
    seen = view(frame)
    np.testing.assert_array_equal(preprocess(seen, RULE), preprocess(seen.copy(order="C"), RULE))
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (256, 256), (100, 80)])
def test_out_takes_the_result(natural_frame: MakeFrame, size: tuple[int, int]) -> None:
    frame, batch = natural_frame(*size), np.zeros((3, 224, 224, 3), np.uint8)
    result = preprocess(frame, RULE, out=batch[1])
    assert np.shares_memory(result, batch)
    np.testing.assert_array_equal(batch[1], preprocess(frame, RULE))
    assert not batch[0].any()
    assert not batch[2].any()


@pytest.mark.parametrize("size", [(256, 256), (224, 224), (640, 480)])
def test_the_result_is_not_a_view_of_the_frame(natural_frame: MakeFrame, size: tuple[int, int]) -> None:
    frame = natural_frame(*size)
    assert not np.shares_memory(preprocess(frame, CropRule(size[1], 224)), frame)


@pytest.mark.parametrize("out", [np.zeros((224, 224, 3), np.float32), np.zeros((3, 224, 224), np.uint8), None, [1]])
def test_an_out_that_does_not_fit(natural_frame: MakeFrame, out: Any) -> None:
    frame = natural_frame(300, 300)
    if out is None:
        out = np.zeros((224, 224, 3), np.uint8)
        out.flags.writeable = False
    with pytest.raises(InputError, match=r"out: got .*, expected a writable uint8 array \(224, 224, 3\)"):
        preprocess(frame, RULE, out=out)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (None, r"frame: got builtins.NoneType, expected uint8 \(height, width, 3\) BGR, .* as a numpy array; pass"),
        ([[1, 2], [3, 4]], "got builtins.list"),
        ("frame.jpg", "got builtins.str"),
        (Image.new("RGB", (8, 8)), r"got PIL.Image.Image, .*\[\.\.\., ::-1\]"),
        (np.zeros((4, 4, 3), np.float32), r"got float32 \(4, 4, 3\), .*scale it to 0-255"),
        (np.zeros((4, 4, 3), np.uint16), r"got uint16 \(4, 4, 3\)"),
        (np.zeros((4, 4, 3), np.int8), r"got int8 \(4, 4, 3\)"),
        (np.zeros((4, 4), bool), r"got bool \(4, 4\)"),
        (np.zeros((4, 4, 3), object), r"got object \(4, 4, 3\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got uint8 \(1, 4, 4, 3\), .*classify_batch takes a list"),
        (np.zeros((3, 40, 40), np.uint8), r"got uint8 \(3, 40, 40\)"),
        (np.zeros((4, 4, 2), np.uint8), r"got uint8 \(4, 4, 2\)"),
        (np.zeros((4, 4, 0), np.uint8), r"got uint8 \(4, 4, 0\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \(0, 4, 3\), .* of at least one pixel; the frame is empty"),
        (np.zeros((0, 0), np.uint8), r"got uint8 \(0, 0\), .* empty"),
        (np.zeros((), np.uint8), r"got uint8 \(\)"),
        (np.zeros(5, np.uint8), r"got uint8 \(5,\)"),
    ],
)
def test_what_is_no_frame(image: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        preprocess(image, RULE)  # type: ignore[arg-type]
