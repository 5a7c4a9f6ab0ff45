from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.latency.page.histogram import bins


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=300))
def test_every_frame_is_in_the_bin_that_it_belongs_to(durations: list[int]) -> None:
    values = np.array(durations, dtype=np.int64)
    found = bins(values)
    assert sum(found.counts) + found.beyond == len(durations)
    edges = np.round(np.array(found.edges_ms) * 1e6).astype(np.int64)
    expected = [int(((values >= low) & (values < high)).sum()) for low, high in pairwise(edges)]
    assert list(found.counts) == expected
    assert found.beyond == int((values >= edges[-1]).sum())


def test_a_few_stragglers_do_not_squeeze_the_rest() -> None:
    body = np.linspace(2e6, 3e6, 1000).astype(np.int64)
    found = bins(np.append(body, [500_000_000, 700_000_000]))
    assert found.edges_ms[-1] < 3.5
    assert found.beyond >= 2
    assert len(found.counts) > 20


def test_frames_that_all_took_the_same_are_one_bar() -> None:
    found = bins(np.full(50, 4_000_000, dtype=np.int64))
    assert [number for number in found.counts if number] == [50]
    assert found.beyond == 0
