"""The largest value to expect: against the distribution it is meant for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.quantization.maxima import RETURN_IMAGES, ImageMaxima


def maxima_of(values: npt.NDArray[np.floating]) -> ImageMaxima:
    maxima = ImageMaxima()
    for row in values.astype(np.float32):
        maxima.add(row)
    return maxima


def test_the_level_is_that_of_gumbels_distribution() -> None:
    random = np.random.default_rng(1)
    found = maxima_of(random.gumbel(20, 2, (20_000, 3)))
    found.largest[:] = 0  # which is above it, after so many images
    exact = 20 - 2 * np.log(-np.log1p(-1 / RETURN_IMAGES))
    assert found.expected() == pytest.approx([exact] * 3, rel=0.01)


def test_few_images_are_extrapolated_and_what_was_seen_is_a_floor() -> None:
    random = np.random.default_rng(2)
    images = random.exponential(1, (4000, 5000)).max(axis=1, keepdims=True)
    few = maxima_of(images[:32]).expected()[0]
    assert images[:32].max() < few
    # One image in 300 exceeds it, give or take what 32 images can tell.
    assert 0.1 / RETURN_IMAGES < (images > few).mean() < 10 / RETURN_IMAGES
    outlier = np.append(np.full(500, 1.0), 50.0)[:, None]
    assert maxima_of(outlier).expected()[0] == 50


def test_no_spread_no_extrapolation() -> None:
    assert maxima_of(np.array([[3.0, 0.0]])).expected().tolist() == [3.0, 0.0]
    assert maxima_of(np.full((9, 1), 2.5)).expected()[0] == pytest.approx(2.5)
    assert ImageMaxima().expected().size == 0


@given(
    st.lists(st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=2), min_size=1, max_size=12), st.integers(0, 12)
)
def test_merging_is_as_good_as_adding(rows: list[list[float]], cut: int) -> None:
    values = np.array(rows, np.float32)
    together, first = maxima_of(values), maxima_of(values[:cut])
    first.merge(maxima_of(values[cut:]))
    assert first.count == together.count
    assert first.largest.tolist() == together.largest.tolist()
    assert first.expected() == pytest.approx(together.expected(), rel=1e-3, abs=1e-6)
