"""CUDA graphs through the real cuda-bindings: captured once for a batch size, and given up where they fail."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda.bindings import driver

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime import trt_graph
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig
from googlenet_edge.types import ImageArray


@pytest.fixture(scope="module")
def flavour() -> Flavour:
    return load_flavour("tensorrt")


@pytest.fixture(scope="module")
def plan(flavour: Flavour, tiny_graph_path: Path) -> bytes:
    return build_engine(flavour, tiny_graph_path.read_bytes(), BuildOptions(max_batch=4)).plan


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The graphs that were launched, one entry a launch."""
    launches: list[int] = []
    launch = trt_graph._launch

    def count(*arguments: object) -> None:
        launch(*arguments)  # type: ignore[arg-type]
        launches.append(id(arguments[0]))

    monkeypatch.setattr(trt_graph, "_launch", count)
    return launches


def frames(count: int) -> ImageArray:
    return np.full((count, 224, 224, 3), 200, np.uint8)


def same_for_all_turns(backend: TrtBackend, count: int, turns: int) -> bool:
    """Whether a batch gives the same results each time, be it enqueued plainly, captured or replayed."""
    first, *others = [backend.infer(frames(count))[0] for _ in range(turns)]
    return all(np.array_equal(first, other) for other in others)


def test_a_batch_size_is_plain_at_first_and_then_always_one_graph(
    plan: bytes, flavour: Flavour, launches: list[int]
) -> None:
    with TrtBackend(plan, flavour) as backend:
        for count in (1, 3):
            before = len(launches)
            backend.infer(frames(count))
            assert len(launches) == before
            assert same_for_all_turns(backend, count, 6)
            assert len(launches) == before + 6
        assert len(set(launches)) == 2


def test_with_zero_copy_each_slot_has_its_graph(plan: bytes, flavour: Flavour, launches: list[int]) -> None:
    with TrtBackend(plan, flavour, TrtConfig(zero_copy="on", slots=2)) as backend:
        for _ in range(4):
            for ticket in [backend.submit(frames(2)), backend.submit(frames(2))]:
                ticket.result()
        assert len(set(launches)) == 2


def test_more_batch_sizes_than_graphs_are_enqueued_plainly(
    plan: bytes, flavour: Flavour, launches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt_graph, "_MOST_GRAPHS", 2)
    with TrtBackend(plan, flavour) as backend:
        assert all(same_for_all_turns(backend, count, 3) for count in (1, 2, 3, 4))
        assert len(set(launches)) == 2
        assert backend.describe()["cuda_graph"] == "on"


def test_without_cuda_bindings_the_reason_is_said(
    plan: bytes, flavour: Flavour, launches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with TrtBackend(plan, flavour) as backend:
        assert same_for_all_turns(backend, 2, 4)
        state = backend.describe()["cuda_graph"]
        assert state.startswith("off: cuda-bindings cannot be imported")
        assert "'graphs'" in state
    assert launches == []


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("cuStreamBeginCapture", (driver.CUresult.CUDA_ERROR_NOT_SUPPORTED,)),
        ("cuGraphInstantiate", (driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY, None)),
        ("cuGraphLaunch", (driver.CUresult.CUDA_ERROR_INVALID_VALUE,)),
    ],
)
def test_a_graph_that_fails_is_given_up_once_and_the_batch_is_still_computed(
    plan: bytes,
    flavour: Flavour,
    launches: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    answer: tuple[object, ...],
) -> None:
    monkeypatch.setattr(driver, name, lambda *arguments: answer)
    with TrtBackend(plan, flavour) as backend, caplog.at_level(logging.WARNING):
        assert same_for_all_turns(backend, 2, 5)
        assert same_for_all_turns(backend, 1, 3)
        state = backend.describe()["cuda_graph"]
    assert state.startswith("off: ")
    assert answer[0].name in state  # type: ignore[attr-defined]
    assert [record.name for record in caplog.records] == ["googlenet_edge.runtime.trt_graph"]
    assert launches == []


def test_an_engine_that_cannot_be_captured_is_enqueued_plainly(
    plan: bytes, flavour: Flavour, launches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt

    execute = tensorrt.IExecutionContext.execute_async_v3

    def refuse_capture(context: tensorrt.IExecutionContext, stream_handle: int) -> bool:
        _, status = driver.cuStreamIsCapturing(driver.CUstream(stream_handle))
        capturing = status == driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE
        return not capturing and execute(context, stream_handle)

    monkeypatch.setattr(tensorrt.IExecutionContext, "execute_async_v3", refuse_capture)
    with TrtBackend(plan, flavour) as backend:
        assert same_for_all_turns(backend, 2, 4)
        assert "cannot enqueue" in backend.describe()["cuda_graph"]
    assert launches == []


def test_no_memory_for_another_context_means_no_graph(
    plan: bytes, flavour: Flavour, launches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt

    with TrtBackend(plan, flavour) as backend:
        monkeypatch.setattr(tensorrt.ICudaEngine, "create_execution_context", lambda *arguments: None)
        assert same_for_all_turns(backend, 2, 4)
        assert "no execution context for a batch of 2" in backend.describe()["cuda_graph"]
    assert launches == []


def test_as_asked_there_is_no_graph(plan: bytes, flavour: Flavour, launches: list[int]) -> None:
    with TrtBackend(plan, flavour, TrtConfig(cuda_graph="off")) as backend:
        assert same_for_all_turns(backend, 2, 4)
    assert launches == []
