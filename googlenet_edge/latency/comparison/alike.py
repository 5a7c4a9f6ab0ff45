"""Whether two sides were measured alike: what makes a comparison void, and what else may be behind a difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.read import Run
from googlenet_edge.latency.stages import DEVICE_STAGE_PREFIX, STAGES

__all__ = ["CONDITIONS", "Condition", "busy_machine", "check_definitions", "differing_conditions", "is_expected"]

CONDITIONS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "machine": None,
    "classifier": None,
    "source": ("description", "live"),
    "run": (
        "version", "top_k", "region_px", "delivery", "max_batch", "batch_wait_ms", "smoothing_ms", "min_probability",
    ),
}  # fmt: skip
"""What of a report a latency depends on, by its section; None: all of it that is a single value."""

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
}  # fmt: skip
"""What differs along with it."""

_ALIKE_SHARE = 0.1
"""Numbers of a machine that differ by no more are alike: clocks are never the same."""
_LOAD = "load_average"
_ALIKE_LOAD = 0.25
"""Load over the last minute, per core."""


@dataclass(frozen=True)
class Condition:
    """Something that was not the same on both sides, or within one."""

    name: str
    """``"machine.cpu_governor"``."""
    baseline: tuple[object, ...]
    """The values that the runs of that side have, each once."""
    new: tuple[object, ...]


def check_definitions(baseline: Sequence[Run], new: Sequence[Run], figures: Sequence[Figure]) -> None:
    """Raise :class:`InputError` where a figure means one thing in one report, and another in the next."""
    reference = baseline[0]
    from_capture = {stage.name for stage in STAGES if stage.start == "captured_ns"}
    terms = dict.fromkeys(["clock"])
    for figure in figures:
        if figure == FPS:
            terms["fps"] = None
            continue
        terms["percentile"] = None
        terms["device ..." if figure.stage.startswith(DEVICE_STAGE_PREFIX) else figure.stage] = None
        if figure.stage in from_capture:
            terms["captured"] = None
    for run in chain(baseline[1:], new):
        for term in terms:
            ours, theirs = (one.report.definitions.get(term) for one in (reference, run))
            if ours != theirs:
                stages = sorted(from_capture) if term == "captured" else [term]
                rest = sorted({f.stage for f in figures if f.stage} - set(stages))
                raise InputError(
                    f"{term!r} is not the same in {reference.path} ({ours!r}) and {run.path} ({theirs!r}), expected "
                    f"figures that mean the same; measure both alike"
                    + (f", or compare other stages: --stages {','.join(rest)}" if rest and term != "percentile" else "")
                )


def differing_conditions(baseline: Sequence[Run], new: Sequence[Run]) -> tuple[Condition, ...]:
    """Return what was not the same in all runs: of the machine, what computed, the source, and the settings."""
    tables = [_conditions(run) for run in baseline], [_conditions(run) for run in new]
    names = dict.fromkeys(name for side in tables for table in side for name in table)
    found = []
    for name in names:
        values = [[table.get(name) for table in side] for side in tables]
        cores = baseline[0].report.machine.get("usable_cores")
        if not _alike(name, [*values[0], *values[1]], cores if isinstance(cores, int) else 1):
            found.append(Condition(name, _each_once(values[0]), _each_once(values[1])))
    return tuple(found)


def is_expected(condition: Condition, expected: Sequence[str]) -> bool:
    """Whether the user said that this is what is compared: by its full name, its last part, or its section.

    ``precision`` also covers the graph's hash, ``backend`` all that a backend says of itself.
    """
    section, _, key = condition.name.partition(".")
    return any(
        name in (condition.name, section, key)
        if name not in _IMPLIED
        else condition.name in _IMPLIED[name] or key == name
        for name in expected
    )


def busy_machine(run: Run) -> str | None:
    """Return a sentence if more was to be done on the machine before the run than it has cores for, else None."""
    load, cores = run.report.machine.get(_LOAD), run.report.machine.get("usable_cores")
    if isinstance(load, list) and load and _is_number(load[0]) and isinstance(cores, int) and load[0] > cores:
        return f"the machine was busy before the run: load {load[0]:.1f} on {cores} cores"
    return None


def _conditions(run: Run) -> dict[str, object]:
    sections: dict[str, Mapping[str, object]] = {
        "machine": run.report.machine,
        "classifier": run.report.classifier,
        "source": run.report.source,
        "run": run.report.run,
    }
    conditions: dict[str, object] = {}
    for section, keys in CONDITIONS.items():
        table = sections[section]
        single = [key for key, value in table.items() if key == _LOAD or not isinstance(value, (dict, list))]
        conditions |= {f"{section}.{key}": table.get(key) for key in (single if keys is None else keys)}
    return conditions | {"run.cameras": max(1, len(run.report.cameras))}


def _alike(name: str, values: Sequence[object], cores: int) -> bool:
    if name == f"machine.{_LOAD}":
        loads = [value[0] for value in values if isinstance(value, list) and value and _is_number(value[0])]
        return not loads or max(loads) - min(loads) <= _ALIKE_LOAD * cores
    if name.startswith("machine.") and all(isinstance(value, float) for value in values):
        numbers = [value for value in values if isinstance(value, float)]
        return max(numbers) - min(numbers) <= _ALIKE_SHARE * max(map(abs, numbers))
    return all(value == values[0] for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _each_once(values: Sequence[object]) -> tuple[object, ...]:
    return tuple(value for i, value in enumerate(values) if value not in values[:i])
