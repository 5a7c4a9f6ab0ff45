"""Stream capture and graphs of the software CUDA driver, through cuda-bindings, on pycuda's streams and memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.softcuda import control
from tests.softcuda.driver_api import (
    NON_BLOCKING,
    Bytes,
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

GLOBAL = bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL
THREAD_LOCAL = bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
RELAXED = bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
REFUSED = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"


class RoundTrip:
    """There and back, by way of a host function that adds one, as a graph."""

    def __init__(self) -> None:
        self.stream = pycuda.Stream(NON_BLOCKING)
        self.sent, self.received = pinned(64), pinned(64)
        self.memory = pycuda.mem_alloc(64)
        address = int(self.memory)

        @host_function
        def add_one(_: int) -> None:
            bytes_of(address, 64)[:] += 1

        # It must not refer to this object: pinned memory in garbage may be freed at any time, in a capture too.
        self._function = add_one
        value_of(bindings.cuStreamBeginCapture(self.stream.handle, THREAD_LOCAL))
        pycuda.memcpy_htod_async(self.memory, self.sent, self.stream)
        launch_host_function(self.stream.handle, add_one)
        pycuda.memcpy_dtoh_async(self.received, self.memory, self.stream)
        self.graph = value_of(bindings.cuStreamEndCapture(self.stream.handle))
        self.executable = value_of(bindings.cuGraphInstantiate(self.graph, 0))

    def launch(self, value: int) -> None:
        self.sent[:] = value
        value_of(bindings.cuGraphLaunch(self.executable, self.stream.handle))

    def run(self, value: int) -> Bytes:
        self.launch(value)
        self.stream.synchronize()
        return self.received

    def close(self) -> None:
        value_of(bindings.cuGraphExecDestroy(self.executable))
        value_of(bindings.cuGraphDestroy(self.graph))
        self.memory.free()


def in_thread(work: Callable[[], Any]) -> Any:
    answers: list[Any] = []
    primary = pycuda.Context.get_current()

    def run() -> None:
        primary.push()
        try:
            answers.append(work())
        finally:
            pycuda.Context.pop()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return answers[0]


@pytest.mark.parametrize("deferred", [0, 1])
def test_a_graph_does_its_work_each_time_that_it_is_launched(deferred: int) -> None:
    with control.changed(control.Setting.DEFERRED, deferred):
        trip = RoundTrip()
        assert not trip.received.any(), "capturing runs nothing"
        before = control.counters().graph_launches
        for value in (5, 50, 200):
            assert (trip.run(value) == value + 1).all()
        assert control.counters().graph_launches - before == 3
        trip.close()


def test_a_deferred_launch_reads_its_input_when_it_runs() -> None:
    with control.changed(control.Setting.DEFERRED, 1):
        trip = RoundTrip()
        trip.launch(5)
        trip.sent[:] = 9
        assert not trip.received.any()
        trip.stream.synchronize()
        assert (trip.received == 10).all()
        trip.close()


def test_an_executable_graph_outlives_its_graph_and_a_launch_outlives_both() -> None:
    with control.changed(control.Setting.DEFERRED, 1):
        trip = RoundTrip()
        value_of(bindings.cuGraphDestroy(trip.graph))
        trip.launch(5)
        value_of(bindings.cuGraphExecDestroy(trip.executable))
        trip.stream.synchronize()
        assert (trip.received == 6).all()
        assert name_of(bindings.cuGraphLaunch(trip.executable, trip.stream.handle)) == "CUDA_ERROR_INVALID_HANDLE"
        assert name_of(bindings.cuGraphInstantiate(trip.graph, 0)) == "CUDA_ERROR_INVALID_VALUE"
        trip.memory.free()


def test_the_nodes_of_a_graph_are_what_was_captured() -> None:
    trip = RoundTrip()
    nodes, count = value_of((*bindings.cuGraphGetNodes(trip.graph, 9), None)[:2]), 3
    kinds = [value_of(bindings.cuGraphNodeGetType(node)).name for node in nodes[:count]]
    assert kinds == ["CU_GRAPH_NODE_TYPE_MEMCPY", "CU_GRAPH_NODE_TYPE_HOST", "CU_GRAPH_NODE_TYPE_MEMCPY"]
    trip.close()


def test_many_graphs_leave_nothing() -> None:
    before = control.counters()
    for _ in range(200):
        trip = RoundTrip()
        assert (trip.run(1) == 2).all()
        trip.close()
    del trip
    after = control.counters()
    assert after.left == before.left
    assert after.abandoned == before.abandoned


def test_a_graph_whose_memory_is_gone_fails_for_good() -> None:
    trip = RoundTrip()
    trip.memory.free()
    trip.launch(1)
    with pytest.raises(pycuda.Error, match="ILLEGAL_ADDRESS"):
        trip.stream.synchronize()
    assert name_of(bindings.cuMemAlloc(16)) == "CUDA_ERROR_ILLEGAL_ADDRESS"
    control.clear_faults()
    value_of(bindings.cuGraphExecDestroy(trip.executable))
    value_of(bindings.cuGraphDestroy(trip.graph))


def test_external_events_in_a_graph_give_the_times_of_each_launch() -> None:
    stream, start, end = (
        pycuda.Stream(NON_BLOCKING),
        value_of(bindings.cuEventCreate(0)),
        value_of(bindings.cuEventCreate(0)),
    )
    external = bindings.CUevent_record_flags.CU_EVENT_RECORD_EXTERNAL.value
    memory = pycuda.mem_alloc(64)
    value_of(bindings.cuStreamBeginCapture(stream.handle, THREAD_LOCAL))
    value_of(bindings.cuEventRecordWithFlags(start, stream.handle, external))
    pycuda.memset_d8_async(memory, 1, 64, stream)
    value_of(bindings.cuEventRecordWithFlags(end, stream.handle, external))
    graph = value_of(bindings.cuStreamEndCapture(stream.handle))
    executable = value_of(bindings.cuGraphInstantiate(graph, 0))
    assert name_of(bindings.cuEventElapsedTime(start, end)) == "CUDA_ERROR_INVALID_HANDLE", "not launched yet"
    with control.changed(control.Setting.DEFERRED, 1):
        value_of(bindings.cuGraphLaunch(executable, stream.handle))
        assert name_of(bindings.cuEventQuery(end)) == "CUDA_ERROR_NOT_READY"
        value_of(bindings.cuEventSynchronize(end))
    assert value_of(bindings.cuEventElapsedTime(start, end)) >= 0
    value_of(bindings.cuGraphExecDestroy(executable))
    value_of(bindings.cuGraphDestroy(graph))
    for event in (start, end):
        value_of(bindings.cuEventDestroy(event))
    memory.free()


UNSAFE: dict[str, Callable[[], str]] = {
    "allocate": lambda: name_of(bindings.cuMemAlloc(16)),
    "allocate pinned memory": lambda: name_of(bindings.cuMemHostAlloc(16, 0)),
    "synchronise the context": lambda: name_of(bindings.cuCtxSynchronize()),
    "copy synchronously": lambda: name_of(bindings.cuMemcpyDtoH(np.zeros(4, np.uint8).ctypes.data, 4096, 0)),
}


@pytest.mark.parametrize("call", ["allocate", "allocate pinned memory", "synchronise the context"])
def test_a_call_that_is_unsafe_spoils_the_capture_of_its_thread(call: str) -> None:
    stream = pycuda.Stream(NON_BLOCKING)
    value_of(bindings.cuStreamBeginCapture(stream.handle, THREAD_LOCAL))
    assert UNSAFE[call]() == REFUSED
    assert name_of(bindings.cuStreamEndCapture(stream.handle)) == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
    assert control.counters().graphs == 0


def test_waiting_for_the_captured_stream_spoils_the_capture() -> None:
    stream = pycuda.Stream(NON_BLOCKING)
    value_of(bindings.cuStreamBeginCapture(stream.handle, RELAXED))
    with pytest.raises(pycuda.Error, match="CAPTURE_UNSUPPORTED"):
        stream.synchronize()
    assert name_of(bindings.cuStreamEndCapture(stream.handle)) == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"


@pytest.mark.parametrize(
    ("mode", "in_other_thread", "allowed"),
    [(GLOBAL, True, False), (THREAD_LOCAL, True, True), (THREAD_LOCAL, False, False), (RELAXED, False, True)],
)
def test_the_mode_says_whose_unsafe_calls_spoil_a_capture(mode: Any, in_other_thread: bool, allowed: bool) -> None:
    stream = pycuda.Stream(NON_BLOCKING)
    value_of(bindings.cuStreamBeginCapture(stream.handle, mode))
    result = in_thread(lambda: bindings.cuMemAlloc(16)) if in_other_thread else bindings.cuMemAlloc(16)
    ended = bindings.cuStreamEndCapture(stream.handle)
    assert (name_of(result), name_of(ended)) == (
        ("CUDA_SUCCESS", "CUDA_SUCCESS") if allowed else (REFUSED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")
    )
    if allowed:
        value_of(bindings.cuMemFree(result[1]))
        value_of(bindings.cuGraphDestroy(ended[1]))


def test_a_capture_ends_in_the_thread_where_it_began() -> None:
    stream = pycuda.Stream(NON_BLOCKING)
    value_of(bindings.cuStreamBeginCapture(stream.handle, THREAD_LOCAL))
    elsewhere = in_thread(lambda: name_of(bindings.cuStreamEndCapture(stream.handle)))
    assert elsewhere == "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"
    value_of(bindings.cuGraphDestroy(value_of(bindings.cuStreamEndCapture(stream.handle))))


def test_the_default_stream_cannot_be_captured() -> None:
    assert name_of(bindings.cuStreamBeginCapture(0, THREAD_LOCAL)) == REFUSED


def test_the_default_stream_spoils_the_capture_of_a_blocking_stream() -> None:
    stream, memory = pycuda.Stream(), pycuda.mem_alloc(16)
    value_of(bindings.cuStreamBeginCapture(stream.handle, RELAXED))
    assert name_of(bindings.cuMemsetD8(int(memory), 1, 16)) == "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"
    assert name_of(bindings.cuStreamEndCapture(stream.handle)) == "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
    memory.free()


def test_an_event_of_a_capture_cannot_be_waited_for_and_takes_another_stream_into_it() -> None:
    first, second, event = pycuda.Stream(NON_BLOCKING), pycuda.Stream(NON_BLOCKING), pycuda.Event()
    memory = pycuda.mem_alloc(16)
    value_of(bindings.cuStreamBeginCapture(first.handle, RELAXED))
    event.record(first)
    with pytest.raises(pycuda.Error, match="CAPTURED_EVENT"):
        event.synchronize()
    second.wait_for_event(event)
    pycuda.memset_d8_async(memory, 3, 16, second)
    event.record(second)
    first.wait_for_event(event)
    graph = value_of(bindings.cuStreamEndCapture(first.handle))
    assert (bytes_of(int(memory), 16) == 0xA5).all()
    executable = value_of(bindings.cuGraphInstantiate(graph, 0))
    value_of(bindings.cuGraphLaunch(executable, first.handle))
    assert (bytes_of(int(memory), 16) == 3).all()
    value_of(bindings.cuGraphExecDestroy(executable))
    value_of(bindings.cuGraphDestroy(graph))
    memory.free()


def test_a_captured_stream_does_not_wait_for_events_from_outside() -> None:
    stream, outside, event = pycuda.Stream(NON_BLOCKING), pycuda.Stream(NON_BLOCKING), pycuda.Event()
    event.record(outside)
    value_of(bindings.cuStreamBeginCapture(stream.handle, RELAXED))
    with pytest.raises(pycuda.Error, match="CAPTURE_ISOLATION"):
        stream.wait_for_event(event)
    value_of(bindings.cuGraphDestroy(value_of(bindings.cuStreamEndCapture(stream.handle))))
