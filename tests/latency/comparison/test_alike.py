from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.alike import Condition, check_definitions, differing_conditions, is_expected
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.read import Run, read_run

Writer = Callable[..., Path]
LATENCIES = np.full(80, 10_000_000)
INFERENCE, QUEUE = Figure("inference", 50), Figure("queue", 50)


@pytest.fixture
def make_run(write_run: Writer) -> Callable[..., Run]:
    def make(name: str, latencies: npt.NDArray[np.int64] = LATENCIES, **facts: Any) -> Run:
        return read_run(write_run(name, latencies, **facts))

    return make


def test_runs_measured_alike_differ_in_nothing(make_run: Callable[..., Run]) -> None:
    a, b = make_run("a"), make_run("b")
    check_definitions([a], [b], [INFERENCE, QUEUE, FPS])
    assert differing_conditions([a], [b]) == ()


def test_what_differs_is_named_with_both_values(make_run: Callable[..., Run]) -> None:
    a = make_run("a", machine={"cpu_governor": "powersave"})
    b = make_run(
        "b",
        machine={"cpu_governor": "performance"},
        classifier={"model": "tiny", "precision": "int8", "graph_sha256": "cd", "threads": "1", "driver": "570"},
    )
    found = {condition.name: (condition.baseline, condition.new) for condition in differing_conditions([a], [b])}
    assert found == {
        "machine.cpu_governor": (("powersave",), ("performance",)),
        "classifier.precision": (("fp32",), ("int8",)),
        "classifier.graph_sha256": (("ab",), ("cd",)),
        "classifier.driver": ((None,), ("570",)),
    }


def test_runs_of_one_side_that_differ_among_themselves_are_named(make_run: Callable[..., Run]) -> None:
    a, b, c = make_run("a"), make_run("b", machine={"cpu": "other"}), make_run("c")
    (condition,) = differing_conditions([a, b], [c])
    assert condition.name == "machine.cpu"
    assert len(condition.baseline) == 2


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        ({"cpu_mhz": 2000.0}, {"cpu_mhz": 2100.0}, True),
        ({"cpu_mhz": 2000.0}, {"cpu_mhz": 1200.0}, False),
        ({"cpu_mhz": None}, {"cpu_mhz": 1200.0}, False),
        ({"load_average": (0.0, 9, 9), "usable_cores": 4}, {"load_average": (0.9, 0, 0), "usable_cores": 4}, True),
        ({"load_average": (0.0, 0, 0), "usable_cores": 4}, {"load_average": (1.1, 0, 0), "usable_cores": 4}, False),
        ({"load_average": None}, {"load_average": (0.1, 0, 0)}, True),
    ],
)
def test_numbers_of_a_machine_need_not_be_the_same(
    make_run: Callable[..., Run], before: dict[str, object], after: dict[str, object], alike: bool
) -> None:
    a, b = make_run("a", machine=before), make_run("b", machine=after)
    assert (differing_conditions([a], [b]) == ()) == alike


@pytest.mark.parametrize(
    ("name", "expected", "covered"),
    [
        ("machine.cpu_governor", "cpu_governor", True),
        ("machine.cpu_governor", "machine.cpu_governor", True),
        ("machine.cpu_governor", "machine", True),
        ("machine.cpu_governor", "cpu", False),
        ("classifier.graph_sha256", "precision", True),
        ("classifier.precision", "precision", True),
        ("classifier.threads", "precision", False),
        ("classifier.version", "backend", True),
        ("classifier.precision", "backend", False),
        ("run.version", "backend", False),
    ],
)
def test_the_user_says_what_is_compared(name: str, expected: str, covered: bool) -> None:
    assert is_expected(Condition(name, (1,), (2,)), ["nothing", expected]) == covered


def test_capture_that_means_something_else_voids_what_counts_from_it(make_run: Callable[..., Run]) -> None:
    file, live = make_run("a"), make_run("b", live=True)
    with pytest.raises(InputError, match=r"'captured' is not the same .* compare other stages: --stages inference"):
        check_definitions([file], [live], [QUEUE, INFERENCE])
    check_definitions([file], [live], [INFERENCE, FPS])


def test_a_stage_that_means_something_else_is_refused(make_run: Callable[..., Run]) -> None:
    a, b = make_run("a"), make_run("b")
    b.report.definitions["inference"] = "the enqueue only"
    with pytest.raises(InputError, match=r"'inference' is not the same .*the enqueue only"):
        check_definitions([a], [a, b], [INFERENCE])
    check_definitions([a], [b], [QUEUE])
    b.report.definitions["percentile"] = "interpolated"
    with pytest.raises(InputError, match=r"measure both alike$"):
        check_definitions([a], [b], [QUEUE])
    check_definitions([a], [b], [FPS])
