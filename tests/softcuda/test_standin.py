"""The stand-in for TensorRT: it computes the graph in stream order, and refuses what TensorRT refuses."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda
import pytest
import tensorrt as trt
from cuda.bindings import driver
from tensorrt import _control as standin
from tensorrt import _driver as standin_driver

from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime.ort_backend import OrtBackend
from tests.softcuda import control
from tests.softcuda.engines import cuda_context, fresh_standin, plain_frames, plan_of

MOST = 4
CLASSES = 5
SCRATCH = 1 << 16
STUB = Path(__file__).parents[2] / "stubs" / "tensorrt_rtx" / "__init__.pyi"


class Log(trt.ILogger):
    """Keeps the errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        if severity <= trt.ILogger.ERROR:
            self.errors.append(msg)


class Rig:
    """An engine of the tiny classifier with memory for it, used by hand."""

    def __init__(self, plan: bytes) -> None:
        self.log = Log()
        engine = trt.Runtime(self.log).deserialize_cuda_engine(plan)
        assert engine is not None
        self.engine = engine
        self.stream = cuda.Stream(1)
        self.scratch = cuda.mem_alloc(SCRATCH)
        self.image = cuda.pagelocked_empty((MOST, 224, 224, 3), np.uint8, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
        flags = cuda.host_alloc_flags.DEVICEMAP
        self.logits, self.probabilities = (
            cuda.pagelocked_empty((MOST, CLASSES), np.float32, mem_flags=flags) for _ in range(2)
        )
        self.context = self.new_context()

    def new_context(self, frames: int = 2) -> trt.IExecutionContext:
        context = self.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        assert context is not None
        context.set_device_memory(int(self.scratch), SCRATCH)
        assert context.set_input_shape("image", (frames, 224, 224, 3))
        for name, array in (("image", self.image), ("logits", self.logits), ("probabilities", self.probabilities)):
            assert context.set_tensor_address(name, address(array))
        return context

    def close(self) -> None:
        self.stream.synchronize()
        del self.context, self.engine
        for array in (self.image, self.logits, self.probabilities):
            pinned: cuda.PagelockedHostAllocation = array.base  # type: ignore[assignment]
            pinned.free()
        self.scratch.free()
        del self.stream


def address(array: npt.NDArray[np.uint8] | npt.NDArray[np.float32]) -> int:
    pinned: cuda.PagelockedHostAllocation = array.base  # type: ignore[assignment]
    return pinned.get_device_pointer()


@pytest.fixture(scope="module")
def plan(tiny_graph_path: Path) -> bytes:
    return plan_of(tiny_graph_path.read_bytes(), BuildOptions(max_batch=MOST))


@pytest.fixture(scope="module")
def reference(tiny_graph_path: Path) -> Iterator[OrtBackend]:
    with OrtBackend(tiny_graph_path) as backend:
        yield backend


@pytest.fixture
def primary() -> Iterator[cuda.Context]:
    with cuda_context() as context, fresh_standin(misused=True):
        yield context


@pytest.fixture
def rig(primary: cuda.Context, plan: bytes) -> Iterator[Rig]:
    rig = Rig(plan)
    yield rig
    rig.close()


def test_an_engine_computes_its_graph(rig: Rig, reference: OrtBackend) -> None:
    for frames in (1, 4, 2):
        batch = plain_frames(frames, frames)
        rig.image[:frames] = batch
        assert rig.context.set_input_shape("image", batch.shape)
        assert tuple(rig.context.get_tensor_shape("probabilities")) == (frames, CLASSES)
        assert rig.context.execute_async_v3(rig.stream.handle)
        rig.stream.synchronize()
        for got, expected in zip((rig.logits, rig.probabilities), reference.infer(batch), strict=True):
            np.testing.assert_allclose(got[:frames], expected, atol=1e-5)
    assert standin.misuses == []


def test_until_the_stream_has_come_to_it_outputs_are_not_numbers_and_inputs_are_not_read(
    rig: Rig, reference: OrtBackend
) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    rig.image[:2] = plain_frames(1, 2)
    rig.logits[:] = rig.probabilities[:] = 0.5
    assert rig.context.execute_async_v3(rig.stream.handle)
    assert np.isnan(rig.logits[:2]).all()
    assert np.isnan(rig.probabilities[:2]).all()
    assert (rig.logits[2:] == 0.5).all()
    late = plain_frames(2, 2)
    rig.image[:2] = late
    rig.stream.synchronize()
    np.testing.assert_allclose(rig.probabilities[:2], reference.infer(late)[1], atol=1e-5)


def test_shapes_may_change_while_an_enqueue_waits(rig: Rig, reference: OrtBackend) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    batch = plain_frames(1, 3)
    rig.image[:3] = batch
    for frames in (3, 1):
        assert rig.context.set_input_shape("image", (frames, 224, 224, 3))
        assert rig.context.execute_async_v3(rig.stream.handle)
    rig.stream.synchronize()
    np.testing.assert_allclose(rig.probabilities[:3], reference.infer(batch)[1], atol=1e-5)
    assert standin.misuses == []


def test_outputs_on_the_device_are_poisoned_in_stream_order(rig: Rig) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    output = cuda.mem_alloc(rig.probabilities.nbytes)
    copies = [cuda.pagelocked_empty((MOST, CLASSES), np.float32) for _ in range(2)]
    assert rig.context.set_tensor_address("probabilities", int(output))
    rig.image[:] = plain_frames(1, MOST)
    for copy in copies:
        assert rig.context.execute_async_v3(rig.stream.handle)
        cuda.memcpy_dtoh_async(copy, output, rig.stream)
    rig.stream.synchronize()
    for copy in copies:
        assert np.isfinite(copy[:2]).all()
    output.free()


def capture(rig: Rig, context: trt.IExecutionContext) -> driver.CUgraphExec | None:
    """Record one enqueue; None if it is refused."""
    stream = driver.CUstream(rig.stream.handle)
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    driver.cuStreamBeginCapture(stream, mode)
    queued = context.execute_async_v3(rig.stream.handle)
    _, graph = driver.cuStreamEndCapture(stream)
    if not queued:
        driver.cuGraphDestroy(graph)
        return None
    _, executable = driver.cuGraphInstantiate(graph, 0)
    driver.cuGraphDestroy(graph)
    return executable


def test_a_captured_enqueue_computes_again_at_each_launch(rig: Rig, reference: OrtBackend) -> None:
    assert rig.context.execute_async_v3(rig.stream.handle)
    graph = capture(rig, rig.context)
    assert graph is not None
    for seed in range(3):
        batch = plain_frames(seed, 2)
        rig.image[:2] = batch
        driver.cuGraphLaunch(graph, driver.CUstream(rig.stream.handle))
        rig.stream.synchronize()
        np.testing.assert_allclose(rig.probabilities[:2], reference.infer(batch)[1], atol=1e-5)
    driver.cuGraphExecDestroy(graph)
    assert standin.misuses == []


def test_a_capture_before_a_plain_enqueue_of_the_same_shape_is_refused(rig: Rig) -> None:
    assert rig.context.execute_async_v3(rig.stream.handle)
    assert rig.context.set_input_shape("image", (3, 224, 224, 3))
    assert capture(rig, rig.context) is None
    assert "before a plain enqueue" in rig.log.errors[-1]


def test_a_graph_whose_context_has_another_shape_now_gives_no_result(rig: Rig) -> None:
    assert rig.context.execute_async_v3(rig.stream.handle)
    graph = capture(rig, rig.context)
    assert graph is not None
    assert rig.context.set_input_shape("image", (3, 224, 224, 3))
    driver.cuGraphLaunch(graph, driver.CUstream(rig.stream.handle))
    rig.stream.synchronize()
    assert np.isnan(rig.probabilities[:2]).all()
    assert "other shapes since it was captured" in standin.misuses[0]
    driver.cuGraphExecDestroy(graph)


def test_a_graph_whose_context_is_gone_is_noted(rig: Rig) -> None:
    context = rig.new_context()
    assert context.execute_async_v3(rig.stream.handle)
    graph = capture(rig, context)
    assert graph is not None
    del context
    driver.cuGraphLaunch(graph, driver.CUstream(rig.stream.handle))
    rig.stream.synchronize()
    assert "after its execution context was destroyed" in standin.misuses[0]
    driver.cuGraphExecDestroy(graph)


def test_a_context_that_is_destroyed_before_it_has_run_is_noted(rig: Rig) -> None:
    control.set_to(control.Setting.DEFERRED, 1)
    context = rig.new_context()
    assert context.execute_async_v3(rig.stream.handle)
    del context
    rig.stream.synchronize()
    assert "destroyed while it was still to run" in standin.misuses[0]


def test_an_input_that_is_written_to_while_the_engine_runs_spoils_the_outputs(rig: Rig) -> None:
    rig.image[:] = 0

    def scribble() -> None:
        rig.image[:1] = 1

    standin.settings.while_computing = scribble
    assert rig.context.execute_async_v3(rig.stream.handle)
    rig.stream.synchronize()
    assert "written to while the engine was running" in standin.misuses[0]
    assert np.isnan(rig.probabilities[:2]).all()


def test_two_runs_with_one_scratch_memory_at_once_are_noted(rig: Rig, primary: cuda.Context) -> None:
    """On two streams: nothing keeps the second from running inside the first."""
    control.set_to(control.Setting.DEFERRED, 1)
    other_stream, other = cuda.Stream(1), rig.new_context()
    assert rig.context.execute_async_v3(rig.stream.handle)
    assert other.execute_async_v3(other_stream.handle)

    def wait_for_other() -> None:
        primary.push()
        other_stream.synchronize()
        cuda.Context.pop()

    inner = threading.Thread(target=wait_for_other)
    both_run = threading.Event()

    def meet() -> None:
        if threading.current_thread() is inner:
            both_run.set()
        else:
            inner.start()
            assert both_run.wait(20)

    standin.settings.while_computing = meet
    rig.stream.synchronize()
    inner.join()
    del other
    assert any("the same scratch memory at the same time" in line for line in standin.misuses)


def _unset_address(rig: Rig) -> bool:
    context = rig.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    assert context is not None
    context.set_device_memory(int(rig.scratch), SCRATCH)
    context.set_input_shape("image", (1, 224, 224, 3))
    context.set_tensor_address("image", address(rig.image))
    context.set_tensor_address("logits", address(rig.logits))
    return context.execute_async_v3(rig.stream.handle)


def _unset_shape(rig: Rig) -> bool:
    context = rig.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    assert context is not None
    context.set_device_memory(int(rig.scratch), SCRATCH)
    return context.execute_async_v3(rig.stream.handle)


def _no_scratch(rig: Rig) -> bool:
    context = rig.engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    assert context is not None
    return context.execute_async_v3(rig.stream.handle)


def _host_pointer(rig: Rig) -> bool:
    plain = np.zeros((MOST * 224 * 224 * 3 + 256,), np.uint8)
    at = plain.ctypes.data
    assert rig.context.set_tensor_address("image", at + -at % 256)
    return rig.context.execute_async_v3(rig.stream.handle)


def _freed_memory(rig: Rig) -> bool:
    memory = cuda.mem_alloc(rig.image.nbytes)
    assert rig.context.set_tensor_address("image", int(memory))
    memory.free()
    return rig.context.execute_async_v3(rig.stream.handle)


def _too_small(rig: Rig) -> bool:
    memory = cuda.mem_alloc(224 * 224 * 3)
    assert rig.context.set_tensor_address("image", int(memory))
    queued = rig.context.execute_async_v3(rig.stream.handle)
    memory.free()
    return queued


def _no_cuda_context(rig: Rig) -> bool:
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(rig.context.execute_async_v3(rig.stream.handle)))
    thread.start()
    thread.join()
    return results[0]


REFUSED: dict[str, tuple[Callable[[Rig], bool], str]] = {
    "an unset address": (_unset_address, "Address is not set for tensor probabilities"),
    "an unset shape": (_unset_shape, "its shape .* is not known"),
    "no scratch memory": (_no_scratch, "no scratch memory"),
    "an unknown tensor": (lambda rig: rig.context.set_tensor_address("picture", 256), "no such tensor here: picture"),
    "an output's shape": (lambda rig: rig.context.set_input_shape("logits", (1, 5)), "no such tensor here: logits"),
    "a wrong shape": (lambda rig: rig.context.set_input_shape("image", (1, 3, 224, 224)), "not in the optimization"),
    "too few dimensions": (lambda rig: rig.context.set_input_shape("image", (1,)), "not in the optimization profile"),
    "too large a batch": (lambda rig: rig.context.set_input_shape("image", (5, 224, 224, 3)), "not in the optimizat"),
    "an odd address": (lambda rig: rig.context.set_tensor_address("image", 1000), "not a multiple of 256"),
    "memory of the host": (_host_pointer, "image: the device cannot use the memory at"),
    "memory that was freed": (_freed_memory, "image: the device cannot use the memory at"),
    "too little memory": (_too_small, r"image: 150528 bytes at .* are too few"),
    "the default stream": (lambda rig: rig.context.execute_async_v3(0), "the default stream"),
    "no stream": (lambda rig: rig.context.execute_async_v3(0x1234_5670), "is no stream of this context"),
    "no CUDA context": (_no_cuda_context, "this thread has no CUDA context"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_misuse_is_refused_with_a_reason(rig: Rig, what: str) -> None:
    attempt, reason = REFUSED[what]
    assert not attempt(rig)
    assert len(rig.log.errors) == 1
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(rig.log.errors[0])
    # It was refused, not half done.
    assert standin.misuses == []


def test_a_context_that_two_threads_are_inside_of_is_noted(rig: Rig, primary: cuda.Context) -> None:
    rig.context.profiler = trt.IProfiler()  # makes the enqueue wait
    entered, leave = threading.Event(), threading.Event()

    def stay(layer_name: str, ms: float) -> None:
        entered.set()
        leave.wait(20)

    rig.context.profiler.report_layer_time = stay  # type: ignore[method-assign]

    def enqueue() -> None:
        primary.push()
        rig.context.execute_async_v3(rig.stream.handle)
        cuda.Context.pop()

    thread = threading.Thread(target=enqueue)
    thread.start()
    assert entered.wait(20)
    assert not rig.context.set_input_shape("image", (1, 224, 224, 3))
    leave.set()
    thread.join()
    assert standin.misuses == ["setInputShape: two threads used one execution context at the same time"]


def test_what_is_destroyed_without_a_cuda_context_is_noted(primary: cuda.Context, plan: bytes) -> None:
    engine = trt.Runtime(Log()).deserialize_cuda_engine(plan)
    assert engine is not None
    weights = engine._weights
    cuda.Context.pop()
    del engine
    primary.push()
    assert standin.misuses == ["an engine was destroyed in a thread without a CUDA context: its memory is lost"]
    assert control.memory_kind(weights) == control.Memory.DEVICE
    standin_driver.free(weights)


PLANS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda plan: b"", "magicTagRead"),
    "truncated": (lambda plan: plan[:-100], "the plan is damaged"),
    "flipped": (lambda plan: plan[:-100] + bytes([plan[-100] ^ 1]) + plan[-99:], "the plan is damaged"),
    "something else": (lambda plan: b"\x7fELF" * 1000, "magicTagRead"),
}


@pytest.mark.parametrize("what", PLANS)
def test_a_damaged_plan_is_refused(primary: cuda.Context, plan: bytes, what: str) -> None:
    damage, reason = PLANS[what]
    log = Log()
    assert trt.Runtime(log).deserialize_cuda_engine(damage(plan)) is None
    assert reason in log.errors[0]


def test_a_plan_of_another_version_or_device_is_refused(primary: cuda.Context, plan: bytes) -> None:
    log = Log()
    standin.settings.version = "10.7.0.23"
    assert trt.Runtime(log).deserialize_cuda_engine(plan) is None
    assert "expecting library version 10.7.0.23 got 10.3.0.30, please rebuild" in log.errors[0]
    standin.settings.version = "10.3.0.30"
    control.set_to(control.Setting.COMPUTE_CAPABILITY, 87)
    assert trt.Runtime(log).deserialize_cuda_engine(plan) is None
    assert "expecting compute 8.7 got compute 8.6, please rebuild" in log.errors[1]


def test_without_memory_there_is_no_engine_and_no_context(primary: cuda.Context, plan: bytes) -> None:
    log = Log()
    control.fail(control.Fault.DEVICE_MEMORY, control.Error.OUT_OF_MEMORY)
    assert trt.Runtime(log).deserialize_cuda_engine(plan) is None
    engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    assert engine is not None
    for nth in (1, 2):
        control.fail(control.Fault.DEVICE_MEMORY, control.Error.OUT_OF_MEMORY, nth=nth)
        assert engine.create_execution_context(trt.ExecutionContextAllocationStrategy.STATIC) is None
    assert sum("out of memory" in line for line in log.errors) == 3


def test_a_weakly_typed_network_is_not_built(primary: cuda.Context, tiny_graph_path: Path) -> None:
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, log).parse(tiny_graph_path.read_bytes())
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("image", (1, 224, 224, 3), (1, 224, 224, 3), (4, 224, 224, 3))
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is None
    assert "weakly typed" in log.errors[0]


def test_it_has_no_name_that_tensorrt_has_not() -> None:
    """Else the code under test could call what exists here only. The stub is of the real TensorRT-RTX."""
    real = {
        node.name: {name for part in node.body for name in _names(part)}
        for node in ast.parse(STUB.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    for name in trt.__all__:
        assert name in real, name
        invented = {attribute for attribute in vars(getattr(trt, name)) if not attribute.startswith("_")} - real[name]
        assert invented <= ALLOWED.get(name, set()), name


ALLOWED = {
    # Of TensorRT 10.3, no longer in RTX.
    "NetworkDefinitionCreationFlag": {"EXPLICIT_BATCH"},
    # Not for callers: what the stand-in's own parts know of each other.
    "IBuilderConfig": {"timings"},
    "ICudaEngine": {"take_back"},
    "INetworkDefinition": {"flags", "onnx", "nodes", "layers", "inputs", "outputs", "strongly_typed"},
    "LayerType": {"OTHER"},
    "OnnxParser": {"network", "logger", "errors"},
}


def _names(part: ast.stmt) -> list[str]:
    if isinstance(part, ast.FunctionDef | ast.ClassDef):
        return [part.name]
    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
        return [part.target.id]
    return [target.id for target in getattr(part, "targets", []) if isinstance(target, ast.Name)]
