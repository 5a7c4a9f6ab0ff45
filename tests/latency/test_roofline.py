from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.latency.layer_times import LayerReport, layer_report
from googlenet_edge.latency.roofline import MachinePeak, RowWork, row_work
from googlenet_edge.types import NodeRow

PEAK = MachinePeak(macs_per_s=100e9, bytes_per_s=20e9)  # the ridge is at 5 MAC per byte
NODES = (
    NodeRow("input.mul", "Mul", "input", 0),
    NodeRow("conv1.conv", "Conv", "conv1", 100_000_000),
    NodeRow("conv1.relu", "Relu", "conv1", 0),
    NodeRow("fc", "Gemm", "fc", 1_000_000),
)
ROWS: dict[str, tuple[str, ...]] = {"a": ("input",), "b": ("conv1",), "c": ("conv1",), "d": ("fc",)}


def report(rows: Mapping[str, tuple[str, ...]], frames: int = 1) -> LayerReport:
    times = [(name, [ms * 1_000_000]) for name, ms in zip("abcde", (1, 2, 3, 4, 5), strict=True)]
    return layer_report(times, rows, [20_000_000], order=("input", "conv1", "fc"), frames=frames)


def test_a_row_has_its_nodes_macs_and_its_layers_bytes() -> None:
    work = row_work(report(ROWS), NODES, {"a": 10, "b": 200, "c": 3000, "d": 40_000, "e": 500_000})
    assert [(row.name, row.duration_ns, row.macs, row.moved_bytes) for row in work] == [
        ("input", 1_000_000, 0, 10),
        ("conv1", 5_000_000, 100_000_000, 3200),
        ("fc", 4_000_000, 1_000_000, 40_000),
        ("other", 5_000_000, 0, 500_000),
    ]


def test_macs_are_of_all_frames_of_an_inference() -> None:
    assert [row.macs for row in row_work(report(ROWS, frames=8), NODES)] == [0, 800_000_000, 8_000_000, 0]


def test_bytes_that_are_not_told_make_the_row_unknown_and_no_other() -> None:
    work = row_work(report(ROWS), NODES, {"a": 10, "b": 200, "d": 40, "e": 5})
    assert [row.moved_bytes for row in work] == [10, None, 40, 5]
    assert [row.moved_bytes for row in row_work(report(ROWS), NODES)] == [None] * 4
    assert (work[1].intensity, work[1].share(PEAK), work[1].limit(PEAK)) == (None, None, None)
    assert work[1].macs_per_s == 20e9


def test_a_row_whose_layers_are_in_two_rows_of_the_report_has_no_known_macs() -> None:
    fused = row_work(report({**ROWS, "a": ("input", "conv1")}), NODES)
    assert {row.name: row.macs for row in fused} == {"conv1": None, "input + conv1": None, "fc": 1_000_000, "other": 0}
    whole = row_work(report({**ROWS, **dict.fromkeys("abc", ("input", "conv1"))}), NODES)
    assert {row.name: row.macs for row in whole} == {"input + conv1": 100_000_000, "fc": 1_000_000, "other": 0}


@pytest.mark.parametrize(
    ("macs", "moved_bytes", "bound_ns", "limit"),
    [
        (100_000_000, 1_000_000, 1_000_000, "compute"),
        (100_000_000, 40_000_000, 2_000_000, "memory"),
        (100_000_000, 20_000_000, 1_000_000, "compute"),
        (0, 2_000_000, 100_000, "memory"),
    ],
)
def test_the_bound_is_the_slower_of_the_two(macs: int, moved_bytes: int, bound_ns: float, limit: str) -> None:
    row = RowWork("conv1", 4_000_000, macs, moved_bytes)
    assert row.bound_ns(PEAK) == pytest.approx(bound_ns)
    assert row.share(PEAK) == pytest.approx(bound_ns / 4_000_000)
    assert row.limit(PEAK) == limit


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.integers(1, 10**12))
def test_it_is_the_roofline_as_it_is_usually_drawn(macs: int, moved_bytes: int, duration_ns: int) -> None:
    row = RowWork("conv1", duration_ns, macs, moved_bytes)
    assert row.intensity is not None
    assert row.macs_per_s is not None
    roof = min(PEAK.macs_per_s, row.intensity * PEAK.bytes_per_s)
    assert row.share(PEAK) == pytest.approx(row.macs_per_s / roof, rel=1e-9)


def test_a_row_without_a_time_has_no_rate_and_no_share() -> None:
    row = RowWork("output", 0, 10, 10)
    assert (row.macs_per_s, row.share(PEAK)) == (None, None)
    assert RowWork("output", 5, 10, 0).intensity is None


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_a_peak_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="expected finite rates above 0"):
        MachinePeak(rate, 1.0)
    with pytest.raises(InputError, match="expected finite rates above 0"):
        MachinePeak(1.0, rate)
