"""Everything that can go wrong on a GPU, made to go wrong: one clear error each, and nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tensorrt
from tensorrt import _control as standin

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.errors import BackendError, DeviceError, InputError
from googlenet_edge.runtime import trt_backend
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig
from googlenet_edge.runtime.trt_device import find_device
from tests.softcuda import control

BATCH = np.full((2, 224, 224, 3), 20, np.uint8)


@pytest.fixture(scope="module")
def flavour() -> Flavour:
    return load_flavour("tensorrt")


@pytest.fixture(scope="module")
def plan(flavour: Flavour, tiny_graph_path: Path) -> bytes:
    return build_engine(flavour, tiny_graph_path.read_bytes(), BuildOptions(max_batch=4)).plan


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before, threads = control.counters(), threading.active_count()
    yield
    after = control.counters()
    assert after.left == before.left
    assert (after.late_uses, after.abandoned) == (before.late_uses, before.abandoned)
    assert after.threads_ended_with_context == before.threads_ended_with_context
    assert threading.active_count() == threads


def infer_often(plan: bytes, flavour: Flavour, config: TrtConfig) -> None:
    with TrtBackend(plan, flavour, config) as backend:
        for _ in range(3):
            backend.infer(BATCH)


@pytest.mark.parametrize("zero_copy", ["on", "off"])
@pytest.mark.parametrize(
    ("kinds", "error", "expected"),
    [
        (control.Fault.ANY_MEMORY, control.Error.OUT_OF_MEMORY, "out of memory"),
        (control.Fault.CREATE, control.Error.OUT_OF_MEMORY, "out of memory"),
        (control.Fault.CONTEXT, control.Error.OUT_OF_MEMORY, "out of memory"),
        (control.Fault.COPY, control.Error.UNKNOWN, "failed while computing"),
        (control.Fault.RECORD, control.Error.UNKNOWN, "failed while computing"),
        (control.Fault.SYNCHRONIZE, control.Error.UNKNOWN, "failed while computing"),
        (control.Fault.HOST_FUNCTION, control.Error.UNKNOWN, "cannot enqueue the engine"),
    ],
)
def test_each_call_that_fails_is_one_error_and_leaves_nothing(
    plan: bytes, flavour: Flavour, kinds: control.Fault, error: control.Error, expected: str, zero_copy: str
) -> None:
    config = TrtConfig(zero_copy="on" if zero_copy == "on" else "off", cuda_graph="off")
    left = control.counters().left
    for nth in count(1):  # the first call of these kinds, the second, until they are fewer than nth
        control.clear_faults()
        failed_before = control.counters().faults
        control.fail(kinds, error, nth=nth, times=2 if error is control.Error.OUT_OF_MEMORY else 1)
        if zero_copy == "on" and kinds is control.Fault.COPY:
            infer_often(plan, flavour, config)  # no copy to fail
            break
        try:
            infer_often(plan, flavour, config)
        except DeviceError as failure:
            assert expected in str(failure)  # noqa: PT017 - the last turn of the loop has none
        else:
            if control.counters().faults == failed_before:
                assert nth > 1
                break
        assert control.counters().left == left


def test_out_of_memory_says_what_to_do(plan: bytes, flavour: Flavour) -> None:
    control.fail(control.Fault.PINNED_MEMORY, control.Error.OUT_OF_MEMORY, times=2)
    message = r"^GPU 0 \(Software CUDA.*\): out of memory while loading the engine: .*--max-batch"
    with pytest.raises(DeviceError, match=message):
        TrtBackend(plan, flavour)


def test_a_refused_enqueue_closes_the_backend_with_tensorrts_own_words(plan: bytes, flavour: Flavour) -> None:
    with TrtBackend(plan, flavour, TrtConfig(cuda_graph="off")) as backend:
        backend.infer(BATCH)
        standin.settings.refuse_enqueue = 1
        tickets = [backend.submit(BATCH)]
        with pytest.raises(DeviceError, match=r"cannot enqueue the engine: .*enqueueV3") as caught:
            tickets[0].result()
        assert "it gave no reason" not in str(caught.value)
        with pytest.raises(DeviceError, match="closed by an error; make a new one"):
            backend.submit(BATCH)
        with pytest.raises(DeviceError, match="closed by an error"), backend.staging(1):
            pass
        with pytest.raises(DeviceError, match="cannot enqueue"):  # again, of the same ticket
            tickets[0].result()


def test_a_copy_that_is_queued_when_the_engine_fails_ends_before_its_memory_is_freed(
    plan: bytes, flavour: Flavour
) -> None:
    with control.changed(control.Setting.DEFERRED, 1):
        backend = TrtBackend(plan, flavour, TrtConfig(cuda_graph="off"))
        copies = control.counters().copies_to_device
        standin.settings.refuse_enqueue = 1
        with pytest.raises(DeviceError, match="cannot enqueue"):
            backend.infer(BATCH)
        backend.close()
        assert control.counters().copies_to_device == copies + 1


def test_a_device_that_does_not_answer_in_time_counts_as_lost(
    plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(standin.settings, "while_computing", lambda: go_on.wait(10))
    backend = TrtBackend(plan, flavour, TrtConfig(timeout_s=0.1))
    with pytest.raises(DeviceError, match=r"no result within 0\.1 s"):
        backend.infer(BATCH)
    with pytest.raises(DeviceError, match="closed by an error"):
        backend.infer(BATCH)
    go_on.set()
    backend.close()


def test_a_plan_that_is_none_is_refused(flavour: Flavour) -> None:
    with pytest.raises(
        BackendError, match=r"plan of 9 bytes: TensorRT 10\.3\.0\.30 cannot load it: .*build the engine"
    ):
        TrtBackend(b"no plan !", flavour)


def test_a_plan_of_another_version_is_refused_with_the_reason(
    plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standin.settings, "version", "10.7.0.23")
    with pytest.raises(BackendError, match=r"cannot load it: .*10\.3\.0\.30"):
        TrtBackend(plan, flavour)


def test_no_memory_for_the_execution_context_is_a_device_error(
    plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt.ICudaEngine, "create_execution_context", lambda *arguments: None)
    with pytest.raises(DeviceError, match="cannot make an execution context: it gave no reason"):
        TrtBackend(plan, flavour)


def test_an_engine_of_another_graph_is_refused_by_its_inputs_and_outputs(
    plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt.ICudaEngine, "get_tensor_dtype", lambda engine, name: tensorrt.DataType.HALF)
    with pytest.raises(BackendError, match=r"got 'image': float16 .*expected 'image': uint8 \(N, 224, 224, 3\)"):
        TrtBackend(plan, flavour)


def test_an_engine_of_one_batch_size_is_refused(plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed(engine: tensorrt.ICudaEngine, name: str) -> tuple[int, ...]:
        return (1, 224, 224, 3) if name == "image" else (1, 5)

    monkeypatch.setattr(tensorrt.ICudaEngine, "get_tensor_shape", fixed)
    with pytest.raises(BackendError, match=r"got 'image': uint8 \(1, 224, 224, 3\).*expected 'image': uint8 \(N,"):
        TrtBackend(plan, flavour)


def test_an_engine_for_other_sizes_than_its_input_says_is_refused(
    plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [(1, 160, 160, 3), (1, 224, 224, 3), (4, 224, 224, 3)]
    monkeypatch.setattr(tensorrt.ICudaEngine, "get_tensor_profile_shape", lambda engine, name, index: shapes)
    with pytest.raises(BackendError, match=r"got optimization profile \(1, 160, 160, 3\) to \(4, 224, 224, 3\)"):
        TrtBackend(plan, flavour)


def test_zero_copy_where_the_gpu_cannot_is_refused(
    plan: bytes, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(find_device(), maps_host_memory=False)
    monkeypatch.setattr(trt_backend, "find_device", lambda ordinal: facts)
    # An error of the caller's, and not of the plan's, which would be built again for it.
    with pytest.raises(InputError, match=r"zero_copy: got 'on', but GPU 0 .* cannot map host memory"):
        TrtBackend(plan, flavour, TrtConfig(zero_copy="on"))


def test_a_gpu_that_is_not_there_is_refused(plan: bytes, flavour: Flavour) -> None:
    with pytest.raises(DeviceError, match="GPU: got number 3, but this machine has 1, numbered from 0"):
        TrtBackend(plan, flavour, TrtConfig(device=3))


def test_a_gpu_without_memory_of_its_own_is_used_in_place(plan: bytes, flavour: Flavour) -> None:
    with control.changed(control.Setting.INTEGRATED, 1), TrtBackend(plan, flavour) as backend:
        before = control.counters()
        backend.infer(BATCH)
        after = control.counters()
        assert backend.describe()["memory"] == "mapped (zero copy)"
        assert (after.copies_to_device, after.copies_to_host) == (before.copies_to_device, before.copies_to_host)


def test_an_engine_that_begins_at_several_frames_takes_fewer(flavour: Flavour, tiny_graph_path: Path) -> None:
    options = BuildOptions(min_batch=3, opt_batch=3, max_batch=4)
    plan = build_engine(flavour, tiny_graph_path.read_bytes(), options).plan
    with TrtBackend(plan, flavour) as backend:
        for frames in (1, 2, 3, 4):
            logits, probabilities = backend.infer(np.full((frames, 224, 224, 3), 20, np.uint8))
            assert logits.shape == probabilities.shape == (frames, 5)
            assert (probabilities.argmax(1) == 4).all()


def test_opening_and_closing_leaves_nothing(plan: bytes, flavour: Flavour) -> None:
    for turn in range(30):
        backend = TrtBackend(plan, flavour, TrtConfig(zero_copy="on" if turn % 2 else "off"))
        for _ in range(3):
            backend.infer(BATCH)
        backend.close()
        assert standin.live.total() == 0
