"""How often the verdicts are right, in fewer trials than tools/check_compare_statistics.py makes.

Where at least 930 of 1,000 are, fewer than 86 of 100 come about once in 1,000 times; where 900 are, fewer than 80.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.latency.comparison import resample
from googlenet_edge.latency.comparison.memory import Memory
from tools.check_compare_statistics import CASES, P50, SHIFT, simulate

TRIALS = 100
RESAMPLES = 500


@pytest.mark.parametrize("name", ["independent", "ar0.8", "bursts", "5 runs"])
def test_equal_distributions_show_no_difference(name: str) -> None:
    assert simulate(CASES[name], TRIALS, resamples=RESAMPLES).none_shown >= 86


@pytest.mark.parametrize("name", ["ar0.8", "bimodal 3%", "5 runs"])
def test_five_percent_are_found(name: str) -> None:
    slower = simulate(CASES[name], TRIALS, shift=SHIFT, resamples=RESAMPLES, seed=1).slower
    assert slower[P50] >= 80


def test_frames_that_are_alike_are_not_taken_for_independent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    # The check of these checks: without its memory of neighbours, the comparison is wrong most of the time.
    def forgetful(series: npt.NDArray[np.float64]) -> Memory:
        return Memory(np.ones(series.shape[1]), np.zeros(series.shape[1]))

    monkeypatch.setattr(resample, "measure_memory", forgetful)
    monkeypatch.setattr(resample, "_MOST_BLOCKS", 10**6)
    assert simulate(CASES["ar0.8 short"], 30, resamples=RESAMPLES).none_shown < 24
