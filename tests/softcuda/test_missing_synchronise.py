"""Each synchronise of the backend is needed: with any one of them left out, deferred execution shows the harm.

In deferred execution, what is on the stream runs only when something waits for it: the latest that a GPU can be.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
from tensorrt import _control as standin

import googlenet_edge.runtime
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.errors import BackendError, DeviceError
from googlenet_edge.runtime.ort_backend import OrtBackend
from googlenet_edge.runtime.trt_backend import TrtConfig
from googlenet_edge.runtime.trt_slot import Slot
from tests.softcuda import control
from tests.softcuda.engines import fresh_standin, open_plan, plain_frames, plan_of

FOLDER = Path(googlenet_edge.runtime.__file__).parent
WAITS = ("synchronize", "cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize", "wait_for_event")


def _synchronises() -> Iterator[str]:
    """Yield ``module.function`` for each place in the backend's modules that waits for the device."""
    for path in sorted(FOLDER.glob("trt_*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(
                isinstance(node, ast.Attribute) and node.attr in WAITS for node in ast.walk(function)
            ):
                yield f"{path.stem}.{function.name}"


SYNCHRONISES = tuple(_synchronises())


def _modules() -> list[ModuleType]:
    return [importlib.import_module(f"googlenet_edge.runtime.{path.stem}") for path in FOLDER.glob("trt_*.py")]


def _leave_out(name: str, stack: ExitStack) -> None:
    """Let a function do nothing, in every module that knows it."""
    home, function = name.split(".")
    original = getattr(importlib.import_module(f"googlenet_edge.runtime.{home}"), function)
    for module in _modules():
        if getattr(module, function, None) is original:
            stack.enter_context(mock.patch.object(module, function, return_value=None))


@pytest.fixture(scope="module")
def plan(tiny_graph_path: Path) -> bytes:
    return plan_of(tiny_graph_path.read_bytes(), BuildOptions(max_batch=2))


@pytest.fixture(scope="module")
def reference(tiny_graph_path: Path) -> Iterator[OrtBackend]:
    with OrtBackend(tiny_graph_path) as backend:
        yield backend


Scenario = Callable[[bytes, TrtConfig, OrtBackend], str]
"""Returns what went wrong; "" for nothing."""


def _results_are_right(plan: bytes, config: TrtConfig, reference: OrtBackend) -> str:
    # Without the events' times: asking for them is an error while the device is not done, and would hide wrong results.
    with mock.patch.object(Slot, "stage_ns", return_value=()), open_plan(plan, config) as backend:
        for seed in range(6):
            batch = plain_frames(seed, 2)
            got, expected = backend.infer(batch)[1], reference.infer(batch)[1]
            if not np.allclose(got, expected, atol=1e-5):
                return f"batch {seed}: got {got}, expected {expected}"
    return ""


def _nothing_is_freed_that_still_runs(plan: bytes, config: TrtConfig, reference: OrtBackend) -> str:
    """An event cannot be recorded behind the engine: nobody waits for that batch any more."""
    backend = open_plan(plan, config)
    records = 2 if config.zero_copy == "on" else 3
    control.fail(control.Fault.RECORD, control.Error.UNKNOWN, nth=records)
    with pytest.raises(DeviceError, match="failed while computing"):
        backend.infer(plain_frames(1, 2))
    backend.close()
    return "; ".join(standin.misuses)


SCENARIOS: dict[str, Scenario] = {
    "trt_slot.wait_for_outputs": _results_are_right,
    "trt_work.wait_for_stream": _nothing_is_freed_that_still_runs,
}
CONFIGS = {
    f"{memory}, {graphs}": TrtConfig(
        timeout_s=20.0,
        zero_copy="on" if memory == "zero copy" else "off",
        cuda_graph="auto" if graphs == "graphs" else "off",
    )
    for memory in ("copies", "zero copy")
    for graphs in ("graphs", "no graphs")
}


def test_there_is_a_scenario_for_each_synchronise() -> None:
    assert set(SYNCHRONISES) == set(SCENARIOS)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_with_all_synchronises_in_place_nothing_goes_wrong(
    name: str, config: str, plan: bytes, reference: OrtBackend
) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    with fresh_standin():
        assert SCENARIOS[name](plan, CONFIGS[config], reference) == ""


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SYNCHRONISES)
def test_without_this_synchronise_something_goes_wrong(
    name: str, config: str, plan: bytes, reference: OrtBackend
) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    with fresh_standin(misused=True), ExitStack() as stack:
        _leave_out(name, stack)
        assert SCENARIOS[name](plan, CONFIGS[config], reference) != ""


def test_a_time_that_is_asked_for_too_early_is_an_error_too(plan: bytes) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    with fresh_standin(), ExitStack() as stack:
        _leave_out("trt_slot.wait_for_outputs", stack)
        backend = open_plan(plan)
        with pytest.raises(BackendError, match="failed while computing"):
            backend.infer(plain_frames(1, 2))
        backend.close()
