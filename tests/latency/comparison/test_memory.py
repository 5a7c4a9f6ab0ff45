from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.memory import LEAST_FRAMES, measure_memory

FRAMES = 10_000


def autoregressive(rho: float, series: int = 40) -> npt.NDArray[np.float64]:
    values = np.random.default_rng(1).standard_normal((FRAMES, series))
    for i in range(1, FRAMES):
        values[i] = rho * values[i - 1] + np.sqrt(1 - rho**2) * values[i]
    return values


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_the_block_length_is_that_of_theory_for_a_known_correlation(rho: float) -> None:
    # AR(1): sum of |lag| x covariance over sum of covariance = 2 rho / (1 - rho^2).
    shortfall = 2 * rho / (1 - rho**2)
    memory = measure_memory(autoregressive(rho))
    assert np.median(memory.shortfall_frames) == pytest.approx(shortfall, rel=0.15)
    assert np.median(memory.block_frames) == pytest.approx((1.5 * shortfall**2 * FRAMES) ** (1 / 3), rel=0.15)


def test_independent_frames_need_no_blocks() -> None:
    memory = measure_memory(autoregressive(0))
    assert np.median(memory.block_frames) < 6
    assert abs(np.median(memory.shortfall_frames)) < 0.1


def test_a_drift_is_remembered_for_as_long_as_can_be_told() -> None:
    drift = np.linspace(0, 1, FRAMES)[:, None]
    assert measure_memory(drift).block_frames[0] > FRAMES / 50


def test_constant_and_alternating_series_need_no_long_blocks() -> None:
    alternating = np.where(np.arange(400) % 2, 1.0, -1.0)
    memory = measure_memory(np.stack([np.zeros(400), alternating], axis=1))
    assert memory.block_frames.tolist() == [1, 1]
    assert memory.shortfall_frames.tolist() == [0, 0]


@pytest.mark.parametrize("frames", [LEAST_FRAMES, 50, 101])
def test_short_series_are_measured(frames: int) -> None:
    values = np.random.default_rng(0).standard_normal((frames, 3)).cumsum(axis=0)
    memory = measure_memory(values)
    assert np.isfinite(memory.block_frames).all()
    assert (memory.block_frames <= frames / 3).all()


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(InputError, match=f"got 3 frames, expected at least {LEAST_FRAMES}"):
        measure_memory(np.zeros((3, 1)))
