"""Contexts and threads of the software CUDA driver."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.softcuda import control
from tests.softcuda.driver_api import bindings, name_of, pycuda, value_of

pytestmark = pytest.mark.usefixtures("context")


def in_thread(work: Callable[[], str]) -> str:
    """What a function returns in a thread of its own."""
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    thread.join(30)
    return answers[0]


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own, which finds the driver."""
    return subprocess.run(
        [sys.executable, "-c", program],
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_a_call_before_cuinit_fails() -> None:
    done = run("import pycuda.driver as cuda\ntry: cuda.mem_alloc(16)\nexcept cuda.LogicError as error: print(error)")
    assert "CUDA_ERROR_NOT_INITIALIZED" in done.stdout, done.stderr


def test_a_driver_without_a_device_says_so() -> None:
    program = "import pycuda.driver as cuda\ntry: cuda.init()\nexcept cuda.Error as error: print(error)"
    assert "CUDA_ERROR_NO_DEVICE" in run(program, SOFTCUDA_NODEVICE="1").stdout


def test_the_version_of_the_driver_can_be_chosen() -> None:
    program = "import pycuda.driver as cuda; print(cuda.get_driver_version())"
    assert run(program, SOFTCUDA_DRIVER_VERSION="12060").stdout.split() == ["12060"]


def test_a_thread_without_a_context_can_do_nothing() -> None:
    assert in_thread(lambda: name_of(bindings.cuMemAlloc(16))) == "CUDA_ERROR_INVALID_CONTEXT"
    assert in_thread(lambda: name_of(bindings.cuCtxSynchronize())) == "CUDA_ERROR_INVALID_CONTEXT"
    assert in_thread(lambda: name_of(bindings.cuCtxPopCurrent())) == "CUDA_ERROR_INVALID_CONTEXT"


def test_pycuda_warns_when_memory_is_freed_in_a_thread_without_its_context() -> None:
    on_device = pycuda.mem_alloc(16)
    address = int(on_device)

    def free() -> str:
        with pytest.warns(UserWarning, match="out-of-thread context"):
            on_device.free()
        return "warned"

    assert in_thread(free) == "warned"
    assert control.memory_kind(address) is control.Memory.DEVICE, "pycuda leaks it there"
    value_of(bindings.cuMemFree(address))


def test_one_context_may_be_pushed_in_several_threads() -> None:
    primary = pycuda.Context.get_current()

    def work() -> str:
        primary.push()
        try:
            pushed = control.counters()
            assert (pushed.pushed_here, pushed.pushed) == (1, 2)
            pycuda.mem_alloc(16).free()
        finally:
            pycuda.Context.pop()
        return "done"

    assert in_thread(work) == "done"
    assert control.counters().pushed == 1


def test_a_thread_that_ends_with_a_context_pushed_is_counted() -> None:
    before = control.counters().threads_ended_with_context
    primary = value_of(bindings.cuCtxGetCurrent())
    assert in_thread(lambda: name_of(bindings.cuCtxPushCurrent(primary))) == "CUDA_SUCCESS"
    # Python's join returns a moment before the system's thread has ended.
    give_up_s = time.monotonic() + 30
    while control.counters().pushed > 1 and time.monotonic() < give_up_s:
        os.sched_yield()
    after = control.counters()
    assert after.threads_ended_with_context - before == 1
    assert after.pushed == 1


def test_a_context_of_its_own_is_destroyed_with_what_it_has() -> None:
    before = control.counters()
    own = value_of(bindings.cuCtxCreate(None, 0, 0))
    value_of(bindings.cuMemAlloc(100))
    value_of(bindings.cuStreamCreate(0))
    value_of(bindings.cuCtxDestroy(own))
    after = control.counters()
    assert after.abandoned - before.abandoned == 2
    assert after.left == before.left
    assert name_of(bindings.cuCtxPushCurrent(own)) == "CUDA_ERROR_INVALID_CONTEXT"


def test_streams_of_another_context_are_refused() -> None:
    stream = value_of(bindings.cuStreamCreate(0))
    own = value_of(bindings.cuCtxCreate(None, 0, 0))
    assert name_of(bindings.cuStreamSynchronize(stream)) == "CUDA_ERROR_INVALID_HANDLE"
    value_of(bindings.cuCtxDestroy(own))
    value_of(bindings.cuStreamDestroy(stream))


def test_the_primary_context_lives_while_someone_holds_it() -> None:
    value_of(bindings.cuDevicePrimaryCtxRetain(0))
    assert control.counters().primary_references == 2
    value_of(bindings.cuDevicePrimaryCtxRelease(0))
    assert control.counters().primary_references == 1
    pycuda.mem_alloc(16).free()


def test_the_last_release_of_the_primary_context_takes_all_with_it(tmp_path: Path) -> None:
    program = """
from cuda.bindings import driver
driver.cuInit(0)
error, context = driver.cuDevicePrimaryCtxRetain(0)
driver.cuCtxPushCurrent(context)
driver.cuMemAlloc(100), driver.cuMemHostAlloc(100, 0), driver.cuStreamCreate(0), driver.cuEventCreate(0)
driver.cuDevicePrimaryCtxRelease(0)
print(driver.cuMemAlloc(100)[0].name)
driver.cuCtxPopCurrent()
"""
    done = run(program, SOFTCUDA_REPORT=str(tmp_path / "report"))
    assert done.stdout.split() == ["CUDA_ERROR_CONTEXT_IS_DESTROYED"], done.stderr
    counters = control.Counters.read_report(tmp_path / "report")
    assert counters.left == {}
    assert counters.abandoned == 4


def test_the_report_of_a_process_names_what_it_left(tmp_path: Path) -> None:
    program = """
from cuda.bindings import driver
driver.cuInit(0)
error, context = driver.cuDevicePrimaryCtxRetain(0)
driver.cuCtxPushCurrent(context)
driver.cuMemAlloc(100), driver.cuStreamCreate(0)
"""
    done = run(program, SOFTCUDA_REPORT=str(tmp_path / "report"))
    assert control.Counters.read_report(tmp_path / "report").left == {
        "device_bytes": 100,
        "device_blocks": 1,
        "contexts": 1,
        "streams": 1,
        "primary_references": 1,
        "pushed_here": 1,
        "pushed": 1,
    }, done.stderr
