from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.errors import InputError
from googlenet_edge.scenarios.matrix.cell import Cell, Setting
from googlenet_edge.scenarios.matrix.jobs import Measured
from googlenet_edge.scenarios.matrix.process import JobFailedError, JobStoppedError
from googlenet_edge.scenarios.matrix.rounds import MatrixConfig, Progress, least_seconds, round_order, run_matrix
from tests.scenarios.matrix.making import MS, measured
from tests.scenarios.scripted import FakeClock


def cells(count: int) -> list[Cell]:
    return [Cell(Setting("fp32", "fp32", number + 1, "onnxruntime")) for number in range(count)]


class Machine:
    """Measures by a script; one measurement takes a second of the clock."""

    def __init__(self, batches: int = 10) -> None:
        self.clock, self.stop, self.batches = FakeClock(), threading.Event(), batches
        self.asked: list[tuple[int, int, int]] = []
        """Batch size, round and least number of batches."""
        self.failing: dict[tuple[int, int], Exception] = {}

    def measure(self, setting: Setting, number: int, min_queries: int) -> Measured:
        self.asked.append((setting.batch, number, min_queries))
        self.clock.now_ns += 1000 * MS
        if (setting.batch, number) in self.failing:
            raise self.failing[setting.batch, number]
        return measured([10.0] * max(self.batches, min_queries), batch=setting.batch)

    def run(self, found: Sequence[Cell], rounds: int, **more: object) -> tuple[Cell, ...]:
        config = MatrixConfig(rounds=rounds)
        return run_matrix(found, config, self.measure, stop=self.stop, clock=self.clock, **more)  # type: ignore[arg-type]


def test_each_round_measures_every_cell_once_and_they_take_turns() -> None:
    machine = Machine()
    found = machine.run(cells(3), 4)
    assert [(batch, number) for batch, number, _ in machine.asked] == [
        *[(1, 0), (2, 0), (3, 0)],
        *[(3, 1), (2, 1), (1, 1)],
        *[(1, 2), (2, 2), (3, 2)],
        *[(3, 3), (2, 3), (1, 3)],
    ]
    assert [len(one.rounds) for one in found] == [4, 4, 4]
    assert [one.setting.batch for one in found] == [1, 2, 3]


@given(count=st.integers(1, 12), pairs=st.integers(1, 4), drift=st.floats(-5, 5))
def test_a_steady_drift_hits_all_cells_alike_over_pairs_of_rounds(count: int, pairs: int, drift: float) -> None:
    at = 0
    sums = [0.0] * count
    for number in range(2 * pairs):
        for index in round_order(count, number):
            sums[index] += drift * at
            at += 1
    assert sums == pytest.approx([sums[0]] * count)


def test_a_cell_that_fails_is_a_row_with_its_reason_and_the_rest_goes_on() -> None:
    machine = Machine()
    machine.failing = {(2, 0): JobFailedError("too large"), (3, 1): JobFailedError("it died")}
    first, second, third = machine.run(cells(3), 3)
    assert (len(first.rounds), first.failure) == (3, None)
    assert (len(second.rounds), second.failure) == (0, "too large")
    assert (len(third.rounds), third.failure) == (1, "round 2: it died")
    assert [batch for batch, _, _ in machine.asked] == [1, 2, 3, 3, 1, 1], "a failed one is not tried again"


def test_a_cell_that_has_a_failure_from_the_start_is_not_tried() -> None:
    machine = Machine()
    missing = Cell(Setting("int8", "int8", 9, "onnxruntime"), failure="no bundle")
    found = machine.run([*cells(1), missing], 2)
    assert found[1] == missing
    assert [batch for batch, _, _ in machine.asked] == [1, 1]


def test_a_stop_keeps_what_was_measured() -> None:
    machine = Machine()
    machine.failing = {(2, 1): JobStoppedError()}
    found = machine.run(cells(3), 4)
    assert [len(one.rounds) for one in found] == [1, 1, 2]
    assert all(one.failure is None for one in found)


def test_a_stop_before_the_first_measurement_measures_nothing() -> None:
    machine = Machine()
    machine.stop.set()
    assert all(not one.rounds for one in machine.run(cells(2), 2))
    assert machine.asked == []


def test_the_batches_that_a_percentile_lacks_are_shared_by_the_rounds_after_the_first() -> None:
    machine = Machine(batches=10)
    (found,) = machine.run(cells(1), 4, batches_wanted=lambda cell: 100)
    assert [least for _, _, least in machine.asked] == [0, 30, 30, 30]
    assert found.batches == 100


def test_a_cell_with_batches_enough_is_asked_for_no_more() -> None:
    machine = Machine(batches=60)
    machine.run(cells(1), 3, batches_wanted=lambda cell: 100)
    assert [least for _, _, least in machine.asked] == [0, 20, 0]


def test_progress_says_how_much_is_left() -> None:
    machine = Machine()
    told: list[Progress] = []
    machine.failing = {(2, 0): JobFailedError("no")}
    machine.run(cells(2), 3, on_progress=told.append)
    assert [(one.setting.batch, one.round, one.done) for one in told] == [
        *[(1, 1, 0), (2, 1, 1)],
        *[(1, 2, 2), (1, 3, 3)],
    ]
    assert [one.left for one in told] == [6, 5, 2, 1]
    assert [one.seconds_left for one in told] == [None, 5.0, 2.0, 1.0]


def test_the_time_that_it_takes_at_least_is_known_before() -> None:
    config = MatrixConfig(rounds=4, min_duration_ns=2000 * MS)
    assert least_seconds(12, config) == pytest.approx(12 * 4 * 3.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds": 1},
        {"percent": 98},
        {"min_duration_ns": 0},
        {"min_duration_ns": 2, "max_duration_ns": 1},
    ],
)
def test_what_cannot_be_measured_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="matrix: got "):
        MatrixConfig(**wrong)  # type: ignore[arg-type]
