"""Whether two sides were measured alike: what makes a comparison void, and what else may be behind a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import FPS, SUSTAINED, Figure
from googlenet_edge.latency.comparison.read import Run
from googlenet_edge.latency.scenario_format import CameraScenario
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, STAGES

__all__ = ["CONDITIONS", "Condition", "check_definitions", "check_scenarios", "differing_conditions", "is_expected"]

CONDITIONS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "machine": None,
    "classifier": None,
    "source": ("description", "live"),
    "run": (
        "version", "top_k", "region_px", "delivery", "max_batch", "batch_wait_ms", "smoothing_ms", "min_probability",
    ),
    "scenario": ("fps", "deadline_ms", "include_preprocess", "seed"),
}  # fmt: skip
"""What of a report a latency depends on, by its section; None: all of it that is a single value. The machine's state
before the run, the section ``state``, is compared by its own rules."""

_ONLY_A_NAME: Final = ("classifier.bundle_sha256",)
"""Conditions that differ without a cause: the same graph, deployed once more."""

_IMPLIED: Final[Mapping[str, tuple[str, ...]]] = {
    "precision": ("classifier.precision", "classifier.graph_sha256"),
    "model": ("classifier.model", "classifier.precision", "classifier.graph_sha256"),
    "backend": tuple(
        f"classifier.{key}"
        for key in (
            "backend", "version", "provider", "threads", "at_once", "optimization", "spin", "device",
            "compute_capability", "driver", "memory", "cuda_graph", "slots", "max_batch",
        )
    ),
    "fps": ("scenario.fps", "scenario.deadline_ms"),
}  # fmt: skip
"""What differs along with it."""


@dataclass(frozen=True)
class Condition:
    """Something that was not the same on both sides, or within one."""

    name: str
    """``"machine.cpu"``, ``"state.power_mode"``."""
    baseline: tuple[object, ...]
    """The values that the runs of that side have, each once."""
    new: tuple[object, ...]


def check_scenarios(runs: Sequence[Run]) -> None:
    """Raise :class:`InputError` where reports answer different questions: a run, or one scenario or another."""
    first = runs[0]
    for run in runs[1:]:
        if _asked(run) != _asked(first):
            raise InputError(
                f"{run.path} is of {_asked(run)} and {first.path} of {_asked(first)}: their figures answer different "
                "questions, expected reports of the same kind; measure both in the same way"
            )


def check_definitions(baseline: Sequence[Run], new: Sequence[Run], figures: Sequence[Figure]) -> None:
    """Raise :class:`InputError` where a figure means one thing in one report, and another in the next."""
    reference = baseline[0]
    from_capture = {stage.name for stage in STAGES if stage.start == "captured_ns"} | {"peak_age"}
    terms = dict.fromkeys(["clock"])
    for figure in figures:
        if figure.percent is None:
            terms |= {FPS: {"fps": None}, SUSTAINED: {_RULE: None}}.get(figure, {"throughput": None})
            continue
        terms["percentile"] = None
        terms["device ..." if figure.stage.startswith(DEVICE_STAGE_PREFIX) else figure.stage] = None
        if figure.stage in from_capture:
            terms["captured"] = None
    for run in chain(baseline[1:], new):
        for term in terms:
            ours, theirs = _meaning(reference, term), _meaning(run, term)
            if ours != theirs:
                stages = sorted(from_capture) if term == "captured" else [term]
                rest = sorted({f.stage for f in figures if f.percent is not None} - set(stages))
                raise InputError(
                    f"{term!r} is not the same in {reference.path} ({ours!r}) and {run.path} ({theirs!r}), expected "
                    f"figures that mean the same; measure both alike"
                    + (f", or compare other stages: --stages {','.join(rest)}" if rest and term != "percentile" else "")
                )


def differing_conditions(baseline: Sequence[Run], new: Sequence[Run]) -> tuple[Condition, ...]:
    """Return what was not the same in all runs: the machine and its state, what computed, the source, the settings."""
    tables = [_conditions(run) for run in baseline], [_conditions(run) for run in new]
    for conditions, state in zip(chain(*tables), _states([*baseline, *new]), strict=True):
        conditions.update(state)
    names = dict.fromkeys(name for side in tables for table in side for name in table)
    found = []
    for name in names:
        values = [[table.get(name) for table in side] for side in tables]
        if any(value != values[0][0] for value in chain(*values)):
            found.append(Condition(name, _each_once(values[0]), _each_once(values[1])))
    return tuple(found)


def is_expected(condition: Condition, expected: Sequence[str]) -> bool:
    """Whether the user said that this is what is compared: by its full name, its last part, or its section.

    ``precision`` also covers the graph's hash, ``backend`` all that a backend says of itself, and ``fps`` the deadline.
    """
    section, _, key = condition.name.partition(".")
    return any(
        name in (condition.name, section, key)
        if name not in _IMPLIED
        else condition.name in _IMPLIED[name] or key == name
        for name in expected
    )


_RULE = "sustained"
"""Not a definition of the report: what counts as sustained is said beside the rate."""


def _asked(run: Run) -> str:
    scenario = run.document.scenario
    return "`run`" if scenario is None else f"`bench --scenario {scenario.title}`"


def _meaning(run: Run, term: str) -> str | None:
    scenario = run.document.scenario
    if term == _RULE:
        return scenario.sustained.rule if isinstance(scenario, CameraScenario) and scenario.sustained else None
    return run.document.definitions.get(term)


def _conditions(run: Run) -> dict[str, object]:
    conditions: dict[str, object] = {}
    for section, keys in CONDITIONS.items():
        table = run.section(section)
        single = [key for key, value in table.items() if not isinstance(value, (dict, list))]
        conditions |= {f"{section}.{key}": table.get(key) for key in (single if keys is None else keys)}
    conditions["run.cameras"] = max(1, len(run.document.cameras))
    return {name: value for name, value in conditions.items() if name not in _ONLY_A_NAME}


def _states(runs: Sequence[Run]) -> list[dict[str, object]]:
    """Return what differs between the states of the machine before each run and before the first that has one."""
    from googlenet_edge.latency.watch.differences import differences

    states = [run.state for run in runs]
    first = next((state for state in states if state is not None), None)
    found: list[dict[str, object]] = [{} for _ in runs]
    for i, state in enumerate(states):
        for one in () if first is None or state is None else differences(first, state):
            if one.kind == "throttled":  # counters since the start of the system: other runs grew them too
                continue
            name = "state." + one.what.replace("°", "").replace(" ", "_").lower()
            for other, values in zip(states, found, strict=True):
                if other is not None:
                    values.setdefault(name, one.before)
            found[i][name] = one.after
    return found


def _each_once(values: Sequence[object]) -> tuple[object, ...]:
    return tuple(value for i, value in enumerate(values) if value not in values[:i])
