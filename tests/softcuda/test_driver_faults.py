"""Faults that tests ask the software CUDA driver for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.softcuda import control
from tests.softcuda.control import Error, Fault
from tests.softcuda.driver_api import (
    bindings,
    bytes_of,
    host_function,
    launch_host_function,
    name_of,
    pinned,
    pycuda,
    value_of,
)

pytestmark = pytest.mark.usefixtures("context")


class Things:
    """One of everything that can be called wrongly."""

    def __init__(self) -> None:
        self.stream = value_of(bindings.cuStreamCreate(1))
        self.event = value_of(bindings.cuEventCreate(0))
        self.memory = value_of(bindings.cuMemAlloc(64))
        self.host = pinned(64, 3)
        value_of(bindings.cuStreamBeginCapture(self.stream, bindings.CUstreamCaptureMode(2)))
        self.graph = value_of(bindings.cuStreamEndCapture(self.stream))
        self.executable = value_of(bindings.cuGraphInstantiate(self.graph, 0))

    def close(self) -> None:
        control.clear_faults()
        value_of(bindings.cuStreamSynchronize(self.stream))
        value_of(bindings.cuGraphExecDestroy(self.executable))
        value_of(bindings.cuGraphDestroy(self.graph))
        value_of(bindings.cuMemFree(self.memory))
        value_of(bindings.cuEventDestroy(self.event))
        value_of(bindings.cuStreamDestroy(self.stream))
        del self.host


@pytest.fixture
def things() -> Iterator[Things]:
    made = Things()
    yield made
    made.close()


def copy(things: Things) -> Any:
    return bindings.cuMemcpyHtoDAsync(things.memory, things.host.ctypes.data, 64, things.stream)


def begin_capture(things: Things) -> Any:
    return bindings.cuStreamBeginCapture(things.stream, bindings.CUstreamCaptureMode(2))


def end_capture(things: Things) -> Any:
    value_of(begin_capture(things))
    return bindings.cuStreamEndCapture(things.stream)


CALLS: dict[Fault, Callable[[Things], Any]] = {
    Fault.DEVICE_MEMORY: lambda _: bindings.cuMemAlloc(16),
    Fault.PINNED_MEMORY: lambda _: bindings.cuMemHostAlloc(16, 0),
    Fault.COPY: copy,
    Fault.LAUNCH: lambda things: bindings.cuGraphLaunch(things.executable, things.stream),
    Fault.RECORD: lambda things: bindings.cuEventRecord(things.event, things.stream),
    Fault.SYNCHRONIZE: lambda things: bindings.cuStreamSynchronize(things.stream),
    Fault.BEGIN_CAPTURE: begin_capture,
    Fault.END_CAPTURE: end_capture,
    Fault.INSTANTIATE: lambda things: bindings.cuGraphInstantiate(things.graph, 0),
    Fault.CREATE: lambda _: bindings.cuStreamCreate(0),
    Fault.CONTEXT: lambda _: bindings.cuDevicePrimaryCtxRetain(0),
}


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.name.lower())
def test_a_fault_fails_its_kind_of_call_with_its_error(kind: Fault, things: Things) -> None:
    before = control.counters()
    control.fail(kind, Error.LAUNCH_FAILED)
    assert name_of(CALLS[kind](things)) == "CUDA_ERROR_LAUNCH_FAILED"
    after = control.counters()
    assert after.faults - before.faults == 1
    assert after.left == before.left


def test_the_enqueueing_of_a_host_function_can_fail() -> None:
    stream, function = pycuda.Stream(), host_function(lambda _: None)
    control.fail(Fault.HOST_FUNCTION, Error.LAUNCH_FAILED)
    with pytest.raises(RuntimeError, match="719"):
        launch_host_function(stream.handle, function)
    launch_host_function(stream.handle, function)
    stream.synchronize()


def test_the_nth_call_fails_and_so_many_after_it(things: Things) -> None:
    control.fail(Fault.COPY, Error.UNKNOWN, nth=3, times=2)
    names = [name_of(copy(things)) for _ in range(6)]
    assert names == ["CUDA_SUCCESS"] * 2 + ["CUDA_ERROR_UNKNOWN"] * 2 + ["CUDA_SUCCESS"] * 2


def test_kinds_of_one_fault_are_counted_together() -> None:
    control.fail(Fault.ANY_MEMORY, Error.OUT_OF_MEMORY, nth=2)
    on_device = value_of(bindings.cuMemAlloc(16))
    assert name_of(bindings.cuMemHostAlloc(16, 0)) == "CUDA_ERROR_OUT_OF_MEMORY"
    value_of(bindings.cuMemFree(on_device))


def test_pycuda_asks_for_memory_twice() -> None:
    control.fail(Fault.DEVICE_MEMORY, Error.OUT_OF_MEMORY)
    pycuda.mem_alloc(16).free()
    control.fail(Fault.DEVICE_MEMORY, Error.OUT_OF_MEMORY, times=2)
    with pytest.raises(pycuda.MemoryError):
        pycuda.mem_alloc(16)


def test_after_a_sticky_fault_every_call_fails_until_it_is_forgotten(things: Things) -> None:
    control.fail(Fault.LAUNCH, Error.LAUNCH_FAILED, sticky=True)
    value_of(copy(things))
    assert name_of(CALLS[Fault.LAUNCH](things)) == "CUDA_ERROR_LAUNCH_FAILED"
    for call in (copy, CALLS[Fault.DEVICE_MEMORY], CALLS[Fault.SYNCHRONIZE], CALLS[Fault.CREATE]):
        assert name_of(call(things)) == "CUDA_ERROR_LAUNCH_FAILED"
    assert name_of(bindings.cuMemFree(things.memory)) == "CUDA_ERROR_LAUNCH_FAILED"
    assert name_of(bindings.cuEventDestroy(things.event)) == "CUDA_ERROR_LAUNCH_FAILED"
    current = value_of(bindings.cuCtxGetCurrent())
    value_of(bindings.cuCtxPushCurrent(current))
    value_of(bindings.cuCtxPopCurrent())
    control.clear_faults()
    value_of(copy(things))


def test_a_device_that_is_lost_is_found_lost_when_something_waits(things: Things) -> None:
    with control.changed(control.Setting.DEFERRED, 1):
        value_of(copy(things))
        control.fail(Fault.EXECUTE, Error.ILLEGAL_ADDRESS, sticky=True)
        value_of(copy(things))
        value_of(bindings.cuEventRecord(things.event, things.stream))
        assert name_of(bindings.cuEventSynchronize(things.event)) == "CUDA_ERROR_ILLEGAL_ADDRESS"
        assert control.counters().pending == 0, "what waited is dropped"
        assert (bytes_of(int(things.memory), 64) == 0xA5).all()


def test_without_deferred_execution_the_call_after_finds_the_device_lost(things: Things) -> None:
    control.fail(Fault.EXECUTE, Error.ECC_UNCORRECTABLE, sticky=True)
    value_of(copy(things))
    assert name_of(copy(things)) == "CUDA_ERROR_ECC_UNCORRECTABLE"


def test_a_thread_that_waits_is_woken_when_the_device_is_lost(things: Things) -> None:
    names: list[str] = []
    current = value_of(bindings.cuCtxGetCurrent())

    def wait() -> None:
        bindings.cuCtxPushCurrent(current)
        names.append(name_of(bindings.cuStreamSynchronize(things.stream)))
        bindings.cuCtxPopCurrent()

    with control.changed(control.Setting.DEFERRED, 1):
        control.fail(Fault.EXECUTE, Error.ILLEGAL_ADDRESS, nth=100, sticky=True)
        for _ in range(200):
            value_of(copy(things))
        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert names == ["CUDA_ERROR_ILLEGAL_ADDRESS"] * 2


def test_only_so_many_faults_can_wait() -> None:
    for _ in range(8):
        control.fail(Fault.COPY, Error.UNKNOWN)
    with pytest.raises(RuntimeError, match="clear_faults"):
        control.fail(Fault.COPY, Error.UNKNOWN)


def test_a_process_can_be_started_with_a_fault() -> None:
    program = """
from cuda.bindings import driver
driver.cuInit(0)
driver.cuCtxPushCurrent(driver.cuDevicePrimaryCtxRetain(0)[1])
print([driver.cuMemAlloc(16)[0].name for _ in range(3)])
"""
    fault = control.fault_variable(Fault.ANY_MEMORY, Error.OUT_OF_MEMORY, nth=2)
    environment = {**os.environ, "SOFTCUDA_FAULT": fault}
    done = subprocess.run([sys.executable, "-c", program], env=environment, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "['CUDA_SUCCESS', 'CUDA_ERROR_OUT_OF_MEMORY', 'CUDA_SUCCESS']"


def test_a_kernel_launches_and_computes_nothing() -> None:
    module = pycuda.module_from_buffer(b"no code")
    function = module.get_function("double_them")
    memory = pycuda.mem_alloc(16)
    before = control.counters().kernel_launches
    function(memory, np.int32(16), block=(16, 1, 1), grid=(1, 1))
    pycuda.Context.synchronize()
    assert control.counters().kernel_launches - before == 1
    assert (bytes_of(int(memory), 16) == 0xA5).all()
    control.fail(Fault.LAUNCH, Error.LAUNCH_FAILED)
    with pytest.raises(pycuda.LaunchError):
        function(memory, np.int32(16), block=(16, 1, 1), grid=(1, 1))
    memory.free()
