from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.alike import Condition, check_definitions, differing_conditions, is_expected
from googlenet_edge.latency.comparison.doubts import doubts
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.read import Run, read_run
from googlenet_edge.latency.watch.sensors.cpu import Core
from googlenet_edge.latency.watch.sensors.thermal import Zone
from googlenet_edge.latency.watch.state import MachineState

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
    a = make_run("a", machine={"board": "Orin Nano"})
    b = make_run(
        "b",
        machine={"board": "Orin NX"},
        classifier={"model": "tiny", "precision": "int8", "graph_sha256": "cd", "threads": "1", "driver": "570"},
    )
    found = {condition.name: (condition.baseline, condition.new) for condition in differing_conditions([a], [b])}
    assert found == {
        "machine.board": (("Orin Nano",), ("Orin NX",)),
        "classifier.precision": (("fp32",), ("int8",)),
        "classifier.graph_sha256": (("ab",), ("cd",)),
        "classifier.driver": ((None,), ("570",)),
    }


def test_runs_of_one_side_that_differ_among_themselves_are_named(make_run: Callable[..., Run]) -> None:
    a, b, c = make_run("a"), make_run("b", machine={"cpu": "other"}), make_run("c")
    (condition,) = differing_conditions([a, b], [c])
    assert condition.name == "machine.cpu"
    assert len(condition.baseline) == 2


def state(**changes: Any) -> dict[str, Any]:
    """Return a report's section of a machine that was in this state before the run."""
    before = MachineState(
        taken_ns=1,
        usable_cores=4,
        cores=(Core(0, "performance", 2000.0, 400.0, 3000.0, 3000.0),),
        power_mode="15W (0)",
        zones=(Zone("cpu-thermal", 50.0, None, None),),
        throttle_counts={"over-current": 3},
    )
    document = replace(before, **changes).to_dict()
    return {"before": document, "after": document}


@pytest.mark.parametrize(
    ("changes", "name", "values"),
    [
        (
            {"cores": (Core(0, "powersave", 2000.0, 400.0, 3000.0, 3000.0),)},
            "cpu_governor",
            ("performance", "powersave"),
        ),
        ({"cores": (Core(0, "performance", 1200.0, 400.0, 3000.0, 3000.0),)}, "cpu_clocks_in_mhz", ("2000", "1200")),
        ({"cores": (Core(0, "performance", 2050.0, 400.0, 3000.0, 3000.0),)}, None, ()),
        ({"power_mode": "MAXN (1)"}, "power_mode", ("15W (0)", "MAXN (1)")),
        ({"zones": (Zone("cpu-thermal", 61.0, None, None),)}, "cpu-thermal_in_c", ("50.0", "61.0")),
        ({"throttle_counts": {"over-current": 9}, "taken_ns": 99}, None, ()),
        ({"load_average": (3.0, 2.0, 1.0)}, None, ()),
    ],
)
def test_the_state_of_the_machine_before_the_run_is_compared(
    make_run: Callable[..., Run], changes: dict[str, Any], name: str | None, values: tuple[str, ...]
) -> None:
    a, b = make_run("a", state=state()), make_run("b", state=state(**changes))
    found = [(one.name, (*one.baseline, *one.new)) for one in differing_conditions([a], [b])]
    assert found == ([] if name is None else [(f"state.{name}", values)])
    assert differing_conditions([a], [make_run("c")]) == (), "of what is not known nothing is said"


def test_a_state_that_differs_within_a_side_is_named_once(make_run: Callable[..., Run]) -> None:
    runs = [make_run(name, state=state(power_mode=mode)) for name, mode in (("a", "A"), ("b", "B"), ("c", "B"))]
    (condition,) = differing_conditions(runs[:2], runs[2:])
    assert (condition.name, condition.baseline, condition.new) == ("state.power_mode", ("A", "B"), ("B",))


def test_doubts_name_the_reports_that_they_are_about(make_run: Callable[..., Run]) -> None:
    busy = {**state(), "concerns": ["the machine was busy"]}
    hot = {
        "seconds": 60.0,
        "looks": 61,
        "throttled": [
            {"cause": "heat", "from_s": 1.0, "to_s": 2.5},
            {"cause": "heat", "from_s": 9.0, "to_s": 10.0},
        ],
    }
    runs = [make_run("a", state=busy), make_run("b", state=busy, watch=hot), make_run("c")]
    first, second, third = doubts(runs)
    assert first.endswith("b.json: the machine was busy")
    assert "a.json, " in first
    assert second.endswith("b.json: the machine was slowed down during the run (heat, for 2.5 of 60.0 s)")
    assert third.endswith("c.json: nothing is known of the machine's state, as it was not watched")
    assert doubts(runs[:1])[0].endswith("a.json: the machine was busy")
    assert doubts([runs[0], make_run("d", state=busy)]) == ["all reports: the machine was busy"]
    assert doubts([runs[2]]) == []


def test_frames_without_a_result_are_told_since_latencies_are_of_the_others(make_run: Callable[..., Run]) -> None:
    frames = {"measured": 80, "warmup": 20, "dropped": 100, "dropped_in_warmup": 0, "fps": 10.0}
    camera = {
        "name": "camera",
        "contains": "all",
        "include_preprocess": True,
        "frame_set": {"description": "scene", "frames": 16},
        "seed": 0,
        "fps": 30.0,
        "duration_s": 3.0,
        "deadline_ms": 33.3,
        "offered": 85,
        "results": 80,
        "dropped": 5,
        "most_dropped_in_a_row": 1,
        "late": 4,
        "missed": 9,
        "kept_up": False,
    }
    runs = [make_run("a"), make_run("b", frames=frames), make_run("c", scenario=camera)]
    dropped, missed = doubts(runs)
    assert dropped.endswith("b.json: 100 of 200 frames (50.0 %) were dropped, which no verdict is about")
    assert missed.endswith("c.json: 9 of 85 frames (10.6 %) were missed (late or dropped), which no verdict is about")


@pytest.mark.parametrize(
    ("name", "expected", "covered"),
    [
        ("state.cpu_governor", "cpu_governor", True),
        ("state.cpu_governor", "state.cpu_governor", True),
        ("state.cpu_governor", "state", True),
        ("state.cpu_governor", "cpu", False),
        ("scenario.deadline_ms", "fps", True),
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
    b.document.definitions["inference"] = "the enqueue only"
    with pytest.raises(InputError, match=r"'inference' is not the same .*the enqueue only"):
        check_definitions([a], [a, b], [INFERENCE])
    check_definitions([a], [b], [QUEUE])
    b.document.definitions["percentile"] = "interpolated"
    with pytest.raises(InputError, match=r"measure both alike$"):
        check_definitions([a], [b], [QUEUE])
    check_definitions([a], [b], [FPS])
