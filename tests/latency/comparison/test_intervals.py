from __future__ import annotations

import math

import numpy as np
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import Figure
from googlenet_edge.latency.comparison.intervals import log_ratio, run_level_draws, simultaneous_intervals

COUNT = 20_000
FIGURES = [Figure("inference", percent) for percent in (50, 90, 95, 99)]


def half_width(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


def test_one_figure_alone_has_the_plain_interval() -> None:
    draws = np.random.default_rng(0).standard_normal(COUNT)
    (interval,) = simultaneous_intervals({FIGURES[0]: draws}, 0.95).values()
    assert interval == pytest.approx((-1.96, 1.96), abs=0.05)


def test_figures_that_move_together_count_once_and_independent_ones_each() -> None:
    random = np.random.default_rng(0)
    one = random.standard_normal(COUNT)
    together = simultaneous_intervals({figure: k * one for k, figure in enumerate(FIGURES, 1)}, 0.95)
    for k, figure in enumerate(FIGURES, 1):
        assert half_width(together[figure]) == pytest.approx(1.96 * k, rel=0.03)
    apart = simultaneous_intervals({figure: random.standard_normal(COUNT) for figure in FIGURES}, 0.95)
    for figure in FIGURES:
        # Sidak: 0.95^(1/4) each, which is 2.49 standard deviations.
        assert half_width(apart[figure]) == pytest.approx(2.49, rel=0.05)


def test_all_intervals_at_once_hold_as_many_joint_draws_as_they_say() -> None:
    random = np.random.default_rng(1)
    shared = random.standard_normal(COUNT)
    draws = {f: np.exp(shared + 0.7 * random.standard_normal(COUNT)) for f in FIGURES}
    intervals = simultaneous_intervals(draws, 0.9)
    inside = np.all([(draws[f] >= intervals[f][0]) & (draws[f] <= intervals[f][1]) for f in FIGURES], axis=0)
    assert 0.9 <= inside.mean() < 0.91
    beyond = [np.mean(draws[f] < intervals[f][0]) for f in FIGURES] + [
        np.mean(draws[f] > intervals[f][1]) for f in FIGURES
    ]
    assert np.ptp(beyond) < 1e-9, "balanced: as many beyond each end of each"


def test_a_ratio_that_may_be_anything_has_no_end() -> None:
    endless = np.where(np.arange(COUNT) % 10 == 0, np.inf, 1.0)
    ratio = log_ratio(endless, endless)
    assert np.isnan(ratio).sum() == COUNT / 10
    (interval,) = simultaneous_intervals({FIGURES[0]: ratio}, 0.95).values()
    assert interval == (-math.inf, math.inf)


def test_too_few_draws_are_refused() -> None:
    draws = {f: np.random.default_rng(i).standard_normal(100) for i, f in enumerate(FIGURES)}
    with pytest.raises(InputError, match="got 100 resamples for 4 figures"):
        simultaneous_intervals(draws, 0.99)
    assert simultaneous_intervals({}, 0.95) == {}


def test_draws_from_runs_are_those_of_welch() -> None:
    # Equal variances of three runs each: 4 degrees of freedom, t(0.975) = 2.776; standard error sqrt(2 x 0.01^2 / 3).
    draws = run_level_draws([1.0, 1.01, 1.02], [1.1, 1.11, 1.12], 200_000, np.random.default_rng(0))
    assert np.median(draws) == pytest.approx(0.1, abs=1e-4)
    expected = 2.776 * math.sqrt(2 * 0.01**2 / 3)
    assert np.quantile(draws, [0.025, 0.975]) - 0.1 == pytest.approx([-expected, expected], rel=0.03)
    # One side that never varies: the other's two degrees of freedom, t(0.975) = 4.303.
    draws = run_level_draws([1.0, 1.0, 1.0], [1.1, 1.11, 1.12], 200_000, np.random.default_rng(0))
    assert np.quantile(draws, 0.975) - 0.11 == pytest.approx(4.303 * 0.01 / math.sqrt(3), rel=0.04)


def test_runs_that_never_vary_and_too_few_of_them() -> None:
    assert np.ptp(run_level_draws([1.0, 1.0], [2.0, 2.0], 100, np.random.default_rng(0))) == 0
    with pytest.raises(InputError, match="got 1 and 3"):
        run_level_draws([1.0], [1.0, 2.0, 3.0], 100, np.random.default_rng(0))
