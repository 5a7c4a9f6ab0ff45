"""Thresholds against brute force, and against values that are known."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.calibrate import HistogramCollector

from googlenet_edge.errors import InputError
from googlenet_edge.quantization.histogram import BINS, RangeHistogram
from googlenet_edge.quantization.threshold import (
    METHODS,
    clipped_share,
    entropy,
    mean_squared_error,
    percentile,
    thresholds,
)

Floats = npt.NDArray[np.float32]


def histogram_of(values: npt.ArrayLike) -> RangeHistogram:
    histogram = RangeHistogram()
    histogram.add(np.asarray(values, np.float32))
    return histogram


def laplace(count: int = 200_000, seed: int = 0) -> Floats:
    return np.asarray(np.abs(np.random.default_rng(seed).laplace(size=count)), np.float32)


def gauss(count: int = 200_000, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def relu_mixture(count: int = 200_000, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.standard_normal(count), 0) * rng.choice([0.1, 1.0, 5.0], count)
    return np.asarray(values, np.float32)


# -- the histogram


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60),
    st.integers(1, 5),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=60)
def test_neither_order_nor_splitting_changes_a_histogram(values: list[float], pieces: int, random: object) -> None:
    whole = histogram_of(values)
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = [RangeHistogram() for _ in range(pieces)]
    for index, value in enumerate(shuffled):
        parts[index % pieces].add(np.array([value], np.float32))
    joined = RangeHistogram()
    for part in parts:
        joined.merge(part)
    assert (joined.exponent, joined.zeros, joined.amax) == (whole.exponent, whole.zeros, whole.amax)
    assert np.array_equal(joined.counts, whole.counts)
    assert whole.total == len(values)


def test_a_histogram_agrees_with_numpy() -> None:
    values = laplace()
    histogram = histogram_of(values)
    top = math.ldexp(1.0, histogram.exponent)
    expected, _ = np.histogram(values, BINS, (0, top))
    assert np.array_equal(histogram.counts, expected)
    assert top / 2 <= histogram.amax < top
    assert histogram.used_bins() > BINS / 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="expected finite"):
        histogram_of([1.0, bad])


# -- entropy


def published_entropy(histogram: RangeHistogram) -> float:
    """The loop of the publication, bin by bin."""
    bins = histogram.counts[: histogram.used_bins()].astype(np.float64)
    best, best_i = math.inf, len(bins)
    for i in range(128, len(bins) + 1):
        p = bins[:i].copy()
        p[-1] += bins[i:].sum()
        edges = np.arange(129) * i // 128
        filled = np.add.reduceat(bins[:i] > 0, edges[:-1], dtype=np.float64)
        mean = np.add.reduceat(bins[:i], edges[:-1]) / np.maximum(filled, 1)
        q = np.where(bins[:i] > 0, np.repeat(mean, np.diff(edges)), 0.0)
        if q.sum() == 0 or np.any((p > 0) & (q == 0)):
            continue
        p, q = p / p.sum(), q / q.sum()
        used = p > 0
        divergence = float(np.sum(p[used] * np.log(p[used] / q[used])))
        if divergence < best - 1e-12:
            best, best_i = divergence, i
    return min(histogram.amax, (best_i + 0.5) * histogram.bin_width)


def onnxruntime_entropy(values: Floats, bins: int) -> float:
    """What ONNX Runtime's calibrator makes of the same values."""
    collector = HistogramCollector("entropy", True, bins, 128, 99.99, "same")
    collector.collect({"t": [values]})
    return float(collector.compute_collection_result()["t"][1])


@pytest.mark.parametrize(
    "values", [laplace(20_000), gauss(20_000), relu_mixture(20_000)], ids=["laplace", "gauss", "relu"]
)
def test_entropy_is_that_of_the_published_loop(values: Floats) -> None:
    histogram = histogram_of(values)
    assert entropy(histogram) == pytest.approx(published_entropy(histogram), abs=1.01 * histogram.bin_width)


def test_one_outlier_does_not_set_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    """With 128 bins for 128 levels the only candidate is the largest value; with 2048 or more, the outlier is cut."""
    values = np.append(laplace(), np.float32(60))
    assert onnxruntime_entropy(values, bins=128) == 60
    reference = onnxruntime_entropy(values, bins=2048)
    capsys.readouterr()  # it prints
    assert reference == pytest.approx(11.7, abs=0.05)
    found = thresholds(histogram_of(values))
    assert found["max"] == 60
    # Beyond 10 there are nine values: where the bins end decides about them (with 4096, ONNX Runtime says 11.3).
    assert found["entropy"] == pytest.approx(reference, rel=0.15)
    assert found["mse"] == pytest.approx(brute_force_mse(values, np.linspace(5, 60, 200))[0], rel=0.03)  # about 29
    assert found["percentile-99.99"] < 12


# -- mean squared error


def brute_force_mse(values: Floats, candidates: npt.NDArray[np.float64]) -> tuple[float, float]:
    errors = []
    for threshold in candidates:
        scale = threshold / 127
        restored = np.clip(np.rint(values.astype(np.float64) / scale), -127, 127) * scale
        errors.append(float(np.mean((values - restored) ** 2)))
    best = int(np.argmin(errors))
    return float(candidates[best]), errors[best]


@pytest.mark.parametrize(
    "values", [laplace(30_000), gauss(30_000), relu_mixture(30_000)], ids=["laplace", "gauss", "relu"]
)
def test_mse_is_as_good_as_brute_force(values: Floats) -> None:
    histogram = histogram_of(values)
    found = mean_squared_error(histogram)
    _, least = brute_force_mse(values, np.linspace(histogram.amax / 100, histogram.amax, 1500))
    _, reached = brute_force_mse(values, np.array([found]))
    # The histogram knows each value to half a bin only.
    assert reached <= 1.01 * least


def test_mse_of_a_gaussian_is_the_known_optimum() -> None:
    """About 3.9 standard deviations for 8 bits (Banner et al. 2019, arXiv:1810.05723: 3.92)."""
    assert mean_squared_error(histogram_of(gauss(2_000_000))) == pytest.approx(3.92, abs=0.15)


# -- percentiles and the rest


def test_percentiles_are_those_of_the_sorted_values() -> None:
    values = relu_mixture()
    histogram = histogram_of(values)
    for percent in (99.9, 99.99):
        assert percentile(histogram, percent) == pytest.approx(np.percentile(values, percent), rel=0.01)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=400))
@settings(deadline=None, max_examples=80)
def test_every_threshold_is_a_usable_scale(values: list[float]) -> None:
    histogram = histogram_of(values)
    found = thresholds(histogram)
    assert list(found) == list(METHODS)
    for method, threshold in found.items():
        if histogram.dead:
            assert threshold == 0
        else:
            assert 0 < threshold <= histogram.amax, method
        assert 0 <= clipped_share(histogram, threshold) <= 1


def test_a_dead_tensor_has_no_range() -> None:
    assert set(thresholds(histogram_of(np.zeros(100))).values()) == {0.0}
    assert set(thresholds(RangeHistogram()).values()) == {0.0}


def test_a_constant_and_a_nearly_dead_tensor() -> None:
    constant = thresholds(histogram_of(np.full(1000, 3.0)))
    assert all(0 < threshold <= 3.0 for threshold in constant.values())
    assert constant["mse"] == pytest.approx(3.0, rel=0.01)
    values = np.zeros(100_000, np.float32)
    values[7] = 2.0
    nearly_dead = thresholds(histogram_of(values))
    assert all(0 < threshold <= 2.0 for threshold in nearly_dead.values())


def test_clipped_share_counts_what_lies_beyond() -> None:
    histogram = histogram_of(np.arange(1, 1001) / 1000)
    assert clipped_share(histogram, 0.9) == pytest.approx(0.1, abs=0.002)
    assert clipped_share(histogram, 1.0) == 0
