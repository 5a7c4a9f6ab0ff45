"""What follows from the figures: energy, doubts, and what the terminal shows."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from rich.table import Table

from googlenet_edge.latency.watch.energy import Energy, RailEnergy
from googlenet_edge.latency.watch.sensors.rail import Rail
from googlenet_edge.latency.watch.timeline import Episode
from googlenet_edge.scenarios.matrix.cell import Cell
from googlenet_edge.scenarios.matrix.display import matrix_shown
from googlenet_edge.scenarios.matrix.document import matrix_document
from googlenet_edge.scenarios.matrix.format import MatrixDocument
from googlenet_edge.scenarios.matrix.machine import CellMachine, cell_machine
from googlenet_edge.scenarios.matrix.result import Matrix, MatrixFacts
from googlenet_edge.scenarios.matrix.rounds import MatrixConfig
from googlenet_edge.scenarios.matrix.target import Target
from tests.scenarios.matrix.making import accuracy, cell, measured

FACTS = MatrixFacts("1.0", "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00", "3 frames", None)
RAIL = Rail("module", "INA3221", "power", "the module", counted=True)


def matrix(*cells: Cell, **changed: object) -> Matrix:
    return replace(
        Matrix(
            config=MatrixConfig(rounds=2),
            candidates=(),
            cells=cells,
            accuracies={},
            machines=tuple(CellMachine() for _ in cells),
            target=Target(),
            complete=True,
            facts=FACTS,
        ),
        **changed,  # type: ignore[arg-type]
    )


def lines(found: Matrix) -> str:
    return "\n".join(part for part in matrix_shown(found) if isinstance(part, str))


def joules(value: float | None) -> Energy:
    return Energy(0, 1, (RailEnergy(RAIL, value, None, 3, 0),))


def test_energy_is_that_of_the_measured_batches_by_their_frames() -> None:
    two = Cell(cell("fp32", 4, []).setting)
    two = two.with_round(measured([100.0] * 10, batch=4, at_s=5)).with_round(measured([100.0] * 10, batch=4, at_s=90))
    asked = []

    def energy(from_ns: int, to_ns: int) -> Energy:
        asked.append((from_ns / 1e9, to_ns / 1e9))
        return joules(12.0)

    assert cell_machine(two, energy, ()).joules_per_frame == pytest.approx(24 / 80)
    assert asked == [(5, 6), (90, 91)]


def test_energy_that_is_not_known_for_all_rounds_is_not_known() -> None:
    found = iter([joules(12.0), joules(None)])
    assert cell_machine(cell("fp32", 1, [10, 10]), lambda *_: next(found), ()).joules_per_frame is None
    assert cell_machine(Cell(cell("fp32", 1, []).setting), lambda *_: joules(1), ()).joules_per_frame is None


def test_what_slowed_the_machine_down_belongs_to_the_cells_that_it_overlapped() -> None:
    early = Cell(cell("fp32", 1, []).setting, (measured([1000.0] * 2, at_s=10),))
    late = Cell(cell("fp32", 2, []).setting, (measured([1000.0] * 2, at_s=20),))
    episodes = [Episode("heat", 11_000_000_000, 15_000_000_000, 4), Episode("heat", 0, 5_000_000_000, 4)]
    assert cell_machine(early, lambda *_: joules(None), episodes).throttled == ("heat",)
    assert cell_machine(late, lambda *_: joules(None), episodes).throttled == ()


def test_doubts_about_cells_are_told() -> None:
    unsteady = Cell(cell("int8", 2, []).setting, (msgspec.structs.replace(measured([1.0] * 9), steady=False),))
    found = matrix(cell("fp32", 1, [10, 11]), unsteady, machines=(CellMachine(throttled=("heat",)), CellMachine()))
    shown = lines(found)
    assert "fp32, batch 1: the machine was slowed down meanwhile (heat)" in shown
    assert "int8, batch 2: not known to be steady after the warm-up in 1 of 1 rounds" in shown


def test_joules_and_overlapped_rates_are_shown_where_there_are_any() -> None:
    plain, rich = (
        matrix(cell("fp32", 1, [10, 11])),
        matrix(cell("fp32", 1, [10, 11], overlapped=150.0), machines=(CellMachine(joules_per_frame=0.25),)),
    )
    for said in ("J/frame = ", "overlapped = "):
        assert said not in lines(plain)
        assert said in lines(rich)


def test_a_stopped_matrix_without_a_figure_says_so() -> None:
    empty = matrix(Cell(cell("fp32", 1, []).setting), complete=False, target=Target(latency_ms=5))
    shown = lines(empty)
    assert "stopped before the end" in shown
    assert "frames/s = " not in shown
    assert shown.endswith("no setting meets the target: nothing was measured")


def test_a_median_that_is_the_targets_percentile_stands_once() -> None:
    def headings(percent: int) -> list[object]:
        shown = matrix_shown(matrix(cell("fp32", 1, [10, 11]), config=MatrixConfig(rounds=2, percent=percent)))
        return [column.header for column in next(part for part in shown if isinstance(part, Table)).columns]

    assert headings(50).count("p50") == 1
    assert headings(99).count("p50") == headings(99).count("p99") == 1


def test_of_one_setting_alone_it_is_not_said_that_no_other_one_is_as_good() -> None:
    one, other = cell("fp32", 1, [10, 11]), cell("int8", 1, [5, 6])
    assert "no other setting is as good" not in lines(matrix(one))
    assert "no other setting is as good" in lines(matrix(one, other))


def test_the_document_has_every_figure_that_the_terminal_shows() -> None:
    found = matrix(
        cell("fp32", 2, [10, 20], overlapped=150.0),
        replace(cell("int8", 2, [5, 6]), failure="round 3: it died"),
        accuracies={"fp32, onnxruntime": accuracy(98.0, drop=(0.0, 0.0, 0.0))},
        machines=(CellMachine(0.25, ("heat",)), CellMachine()),
        target=Target(latency_ms=30, percent=99),
    )
    plain = matrix_document(found, {"cpu": "x"}, {"state": {}, "watch": {}, "energy": {}})
    document = msgspec.convert(plain, MatrixDocument)
    first, second = document.settings
    assert first.p50_ms is not None
    assert first.percentile_ms is not None
    assert (first.p50_ms.value, first.percentile_ms.low, first.percentile_ms.high) == (10, 10, 20)
    assert first.frames_per_second is not None
    assert (first.frames_per_second.low, first.frames_per_second.high) == (100, 200)
    assert first.overlapped_frames_per_second is not None
    assert [one.p50_ms for one in first.rounds] == [10, 20]
    assert (first.joules_per_frame, first.throttled) == (0.25, ("heat",))
    assert first.accuracy is not None
    assert [one.standing for one in first.checks] == ["met"]
    assert (second.failure, second.accuracy, second.unbeaten) == ("round 3: it died", None, False)
    assert document.recommendation is not None
    assert document.recommendation.chosen == 0
