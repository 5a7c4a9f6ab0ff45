from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.latency.histogram import RELATIVE_ERROR
from googlenet_edge.scenarios.tally import Tally
from tests.scenarios.scripted import MS, rank


def filled(durations_ns: list[int], most_exact: int) -> Tally:
    tally = Tally(most_exact)
    for sequence, duration_ns in enumerate(durations_ns):
        tally.add(duration_ns, sequence=sequence, at_ns=10 * sequence)
    return tally


@given(durations_ns=st.lists(st.integers(0, 10**10), min_size=1, max_size=200), most_exact=st.sampled_from([50, 1000]))
def test_figures_are_exact_up_to_the_bound_and_nearly_so_beyond_it(durations_ns: list[int], most_exact: int) -> None:
    tally = filled(durations_ns, most_exact)
    assert tally.exact == (len(durations_ns) <= most_exact)
    slack = 0 if tally.exact else RELATIVE_ERROR
    statistics = tally.statistics("x")
    assert statistics is not None
    assert (statistics.count, statistics.maximum.duration_ns) == (len(durations_ns), max(durations_ns))
    assert statistics.maximum.sequence == durations_ns.index(max(durations_ns))
    assert statistics.maximum.at_ns == 10 * statistics.maximum.sequence
    assert statistics.mean_ns == pytest.approx(sum(durations_ns) / len(durations_ns))
    for percentile in statistics.percentiles:
        true_ns = rank(durations_ns, percentile.percent)
        assert true_ns <= percentile.duration_ns <= true_ns * (1 + slack)
        assert tally.percentile_ns(percentile.percent) == percentile.duration_ns
    assert tally.percentile_ns(100) == max(durations_ns)


def test_the_estimate_is_the_same_beyond_the_bound() -> None:
    durations_ns = [(n * 7919 % 1000) * MS for n in range(1000)]
    exact, beyond = filled(durations_ns, 1000).estimate(99), filled(durations_ns, 10).estimate(99)
    assert exact.value_ns is not None
    assert beyond.value_ns is not None
    assert exact.value_ns <= beyond.value_ns <= exact.value_ns * (1 + RELATIVE_ERROR)
    assert (exact.samples, exact.discarded) == (beyond.samples, beyond.discarded)


def test_nothing_has_no_statistics() -> None:
    assert Tally().statistics("x") is None
    assert Tally().estimate(90).value_ns is None
    assert len(Tally().samples()) == 0
