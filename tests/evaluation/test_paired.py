"""The interval of a paired difference: the published values, what it must do at the ends, and its real coverage."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.evaluation.paired import PairedCounts

COUNTS = st.tuples(*[st.integers(0, 400)] * 4).filter(any)

# Newcombe (1998), Statistics in Medicine 17, 2635-2650, table III, method 10: (both, only the first, only the second,
# neither), and the limits for the first less the second.
PUBLISHED = [
    ((36, 12, 2, 0), (0.0569, 0.3404)),
    ((20, 12, 2, 16), (0.0562, 0.3292)),
    ((18, 12, 2, 18), (0.0562, 0.3290)),
    ((36, 14, 0, 0), (0.1528, 0.4167)),
    ((35, 14, 0, 1), (0.1461, 0.4175)),
    ((18, 14, 0, 18), (0.1441, 0.3963)),
    ((2, 97, 1, 0), (0.8721, 0.9854)),
    ((1, 97, 1, 1), (0.8736, 0.9850)),
    ((0, 30, 0, 0), (0.8395, 1.0)),
    ((54, 0, 0, 0), (-0.0664, 0.0664)),
    ((30, 0, 0, 24), (-0.0358, 0.0358)),
]


@pytest.mark.parametrize(("cells", "limits"), PUBLISHED)
def test_the_published_limits(cells: tuple[int, int, int, int], limits: tuple[float, float]) -> None:
    both, first, second, neither = cells
    low, high = PairedCounts(both, only_reference=second, only_candidate=first, neither=neither).interval_points
    assert (low / 100, high / 100) == pytest.approx(limits, abs=8e-5)  # printed with four decimals


@given(COUNTS)
def test_it_holds_the_difference_and_mirrors(cells: tuple[int, int, int, int]) -> None:
    both, lost, won, neither = cells
    counts = PairedCounts(both, lost, won, neither)
    low, high = counts.interval_points
    assert -100 <= low <= counts.difference_points + 1e-9
    assert counts.difference_points - 1e-9 <= high <= 100
    assert counts.difference_points == pytest.approx(counts.candidate.percent - counts.reference.percent)
    swapped = PairedCounts(both, won, lost, neither).interval_points
    assert swapped == pytest.approx((-high, -low), abs=1e-9)


def test_pairing_makes_it_narrow() -> None:
    """10,000 images, 30 of which changed sides: as if the two had been measured on different images, it were wider."""
    paired = PairedCounts(9780, 20, 10, 190)
    low, high = paired.interval_points
    assert high - low < 0.25
    assert low < -0.1 < high


@pytest.mark.parametrize("rates", [(0.9, 0.04, 0.03, 0.03), (0.6, 0.1, 0.1, 0.2), (0.95, 0.02, 0.02, 0.01)])
def test_coverage_by_enumeration(rates: tuple[float, float, float, float]) -> None:
    """Every table of 30 images with its probability: how often does the interval hold the true difference?"""
    count = 30
    truth = 100 * (rates[2] - rates[1])
    covered = 0.0
    for both, lost, won in itertools.product(range(count + 1), repeat=3):
        neither = count - both - lost - won
        if neither < 0:
            continue
        low, high = PairedCounts(both, lost, won, neither).interval_points
        if low <= truth <= high:
            ways = math.factorial(count) // math.prod(map(math.factorial, (both, lost, won, neither)))
            covered += ways * math.prod(rate**k for rate, k in zip(rates, (both, lost, won, neither), strict=True))
    assert 0.93 < covered <= 1


def test_nonsense_is_refused() -> None:
    for cells in ((0, 0, 0, 0), (3, -1, 0, 0)):
        with pytest.raises(InputError, match="at least one image"):
            PairedCounts(*cells)
