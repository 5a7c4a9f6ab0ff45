from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.resample import Draws, resample_run

FRAMES = 4000
P50, P99 = Figure("inference", 50), Figure("inference", 99)


def correlated(rho: float, frames: int = FRAMES) -> npt.NDArray[np.int64]:
    values = np.random.default_rng(5).standard_normal(frames)
    for i in range(1, frames):
        values[i] = rho * values[i - 1] + math.sqrt(1 - rho**2) * values[i]
    return np.rint(10e6 * np.exp(0.1 * values)).astype(np.int64)


def drawn(values: npt.NDArray[np.int64], *figures: Figure) -> tuple[dict[Figure, Draws], dict[Figure, str]]:
    return resample_run(dict.fromkeys(figures, values), 4000, np.random.default_rng(0))


def ranks(draws: Draws, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.searchsorted(np.log(np.sort(values)), draws.log + 1e-12)


def test_independent_frames_give_the_binomial_spread_of_ranks() -> None:
    values = correlated(0)
    got, without = drawn(values, P50, P99, FPS)
    assert not without
    for figure in (P50, P99):
        share = (figure.percent or 0) / 100
        expected = math.sqrt(share * (1 - share) * FRAMES)
        assert ranks(got[figure], values).std() == pytest.approx(expected, rel=0.12)
        assert ranks(got[figure], values).mean() == pytest.approx(share * FRAMES, abs=0.2 * expected)
        assert got[figure].worth > 0.75 * FRAMES
    mean = values.mean()
    assert got[FPS].log.mean() == pytest.approx(math.log(1e9 / mean), abs=1e-3)
    assert got[FPS].log.std() == pytest.approx(values.std() / mean / math.sqrt(FRAMES), rel=0.12)


def test_correlated_frames_are_worth_fewer() -> None:
    # The mean of an AR(1) has (1 + rho) / (1 - rho) = 9 times the variance.
    got, _ = drawn(correlated(0.8), P50, FPS)
    assert FRAMES / 14 < got[FPS].worth < FRAMES / 6
    assert FRAMES / 14 < got[P50].worth < FRAMES / 3


def test_alternating_frames_are_not_worth_more_than_there_are() -> None:
    values = correlated(-0.8)
    got, without = drawn(values, FPS)
    assert not without
    assert got[FPS].worth == FRAMES


def test_the_longest_frame_bounds_nothing() -> None:
    p95 = Figure("inference", 95)
    got, _ = resample_run({p95: correlated(0, 150)}, 20_000, np.random.default_rng(0))
    beyond = np.isposinf(got[p95].log).mean()
    assert 0 < beyond < 0.01, "7 of 150 frames are longer, and by chance there could be none"


def test_equal_latencies_at_a_percentile_do_not_hide_the_mode_below() -> None:
    # 50.5 % take exactly 70 ms and nothing takes longer: the median may as well be 2 ms.
    rng = np.random.default_rng(2)
    values = np.where(np.arange(FRAMES) < 0.505 * FRAMES, 70_000_000, 2_000_000)
    rng.shuffle(values)
    got, _ = drawn(values, P50)
    low = float((got[P50].log < math.log(3e6)).mean())
    assert 0.1 < low < 0.5


def test_the_same_latency_always_is_known_exactly() -> None:
    got, without = drawn(np.full(1000, 5_000_000), P50, P99, FPS)
    assert not without
    for figure in (P50, P99):
        assert np.isin(got[figure].log, [math.log(5e6), np.inf]).all()
        assert np.isfinite(got[figure].log).mean() > 0.99
    assert np.ptp(got[FPS].log) == 0


@pytest.mark.parametrize(
    ("frames", "figures", "reason"), [(39, (P50,), "got 39"), (300, (P99,), "expected at least 662 for p99")]
)
def test_too_few_frames_give_no_draws(frames: int, figures: tuple[Figure, ...], reason: str) -> None:
    got, without = drawn(correlated(0, frames), *figures)
    assert got == {}
    assert reason in without[figures[0]]


def test_a_run_that_wanders_gives_no_draws_for_what_does() -> None:
    random = np.random.default_rng(3)
    wandering = np.rint(10e6 * np.exp(0.01 * random.standard_normal(2000).cumsum())).astype(np.int64)
    other = Figure("emit", 50)
    got, without = resample_run({P50: wandering, other: correlated(0, 2000)}, 400, random)
    assert list(got) == [other]
    assert "wanders" in without[P50]


def test_a_long_run_is_as_exact_and_quick() -> None:
    values = correlated(0.5, 131_072)
    got, _ = resample_run({P50: values, FPS: values}, 1000, np.random.default_rng(0))
    assert got[FPS].log.std() == pytest.approx(values.std() / values.mean() * math.sqrt(3 / 131_072), rel=0.15)
