"""Streams, events and host functions of the software CUDA driver, at once and deferred."""

from __future__ import annotations

import threading
from collections.abc import Iterator

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


@pytest.fixture
def deferred() -> Iterator[None]:
    with control.changed(control.Setting.DEFERRED, 1):
        yield


@pytest.mark.usefixtures("deferred")
class TestDeferred:
    def test_nothing_runs_before_something_waits(self) -> None:
        stream, sent, received = pycuda.Stream(NON_BLOCKING), pinned(64, 7), pinned(64)
        on_device = pycuda.mem_alloc(64)
        pycuda.memcpy_htod_async(on_device, sent, stream)
        pycuda.memcpy_dtoh_async(received, on_device, stream)
        assert control.counters().pending == 2
        assert not received.any()
        stream.synchronize()
        assert (received == 7).all()
        assert control.counters().pending == 0
        on_device.free()

    def test_a_buffer_that_is_used_again_too_early_gives_wrong_bytes(self) -> None:
        stream, sent, received = pycuda.Stream(), pinned(64, 1), pinned(64)
        on_device = pycuda.mem_alloc(64)
        pycuda.memcpy_htod_async(on_device, sent, stream)
        sent[:] = 2
        pycuda.memcpy_dtoh_async(received, on_device, stream)
        stream.synchronize()
        assert (received == 2).all()
        on_device.free()

    def test_an_event_waits_for_what_came_before_it_and_no_more(self) -> None:
        stream, event = pycuda.Stream(), pycuda.Event()
        first, second, sent = pycuda.mem_alloc(8), pycuda.mem_alloc(8), pinned(8, 5)
        pycuda.memcpy_htod_async(first, sent, stream)
        event.record(stream)
        pycuda.memcpy_htod_async(second, sent, stream)
        event.synchronize()
        assert (bytes_of(int(first), 8) == 5).all()
        assert (bytes_of(int(second), 8) == 0xA5).all()
        assert control.counters().pending == 1
        first.free()
        second.free()

    def test_a_question_is_no_wait_and_a_loop_of_questions_ends(self) -> None:
        stream, event = pycuda.Stream(), pycuda.Event()
        on_device, sent = pycuda.mem_alloc(8), pinned(8, 5)
        for _ in range(3):
            pycuda.memcpy_htod_async(on_device, sent, stream)
        event.record(stream)
        answers = [event.query() for _ in range(5)]
        assert answers == [False, False, False, False, True]
        assert stream.is_done()
        on_device.free()

    def test_the_device_may_go_on_by_itself(self) -> None:
        stream, on_device = pycuda.Stream(), pycuda.mem_alloc(8)
        for value in (1, 2, 3):
            pycuda.memset_d8_async(on_device, value, 8, stream)
        assert control.progress(2) == 2
        assert (bytes_of(int(on_device), 8) == 2).all()
        assert control.progress(5) == 1
        on_device.free()

    def test_pageable_memory_is_read_at_once_and_written_before_the_call_returns(self) -> None:
        stream, on_device = pycuda.Stream(), pycuda.mem_alloc(8)
        sent, received = np.full(8, 3, np.uint8), np.zeros(8, np.uint8)
        value_of(bindings.cuMemcpyHtoDAsync(int(on_device), sent.ctypes.data, 8, stream.handle))
        sent[:] = 9
        value_of(bindings.cuMemcpyDtoHAsync(received.ctypes.data, int(on_device), 8, stream.handle))
        assert (received == 3).all()
        on_device.free()

    def test_freeing_waits_for_the_device(self) -> None:
        stream, on_device, other = pycuda.Stream(), pycuda.mem_alloc(8), pycuda.mem_alloc(8)
        pycuda.memset_d8_async(on_device, 4, 8, stream)
        other.free()
        assert (bytes_of(int(on_device), 8) == 4).all()
        on_device.free()

    def test_a_stream_waits_for_an_event_of_another(self) -> None:
        first, second, event = pycuda.Stream(NON_BLOCKING), pycuda.Stream(NON_BLOCKING), pycuda.Event()
        on_device, sent, received = pycuda.mem_alloc(8), pinned(8, 6), pinned(8)
        pycuda.memcpy_htod_async(on_device, sent, first)
        event.record(first)
        second.wait_for_event(event)
        pycuda.memcpy_dtoh_async(received, on_device, second)
        second.synchronize()
        assert (received == 6).all()
        on_device.free()

    @pytest.mark.parametrize(("flags", "seen"), [(0, 6), (NON_BLOCKING, 0xA5)])
    def test_the_default_stream_waits_for_blocking_streams_only(self, flags: int, seen: int) -> None:
        stream, on_device, sent, received = pycuda.Stream(flags), pycuda.mem_alloc(8), pinned(8, 6), pinned(8)
        pycuda.memcpy_htod_async(on_device, sent, stream)
        pycuda.memcpy_dtoh(received, on_device)
        assert (received == seen).all()
        stream.synchronize()
        on_device.free()

    def test_the_time_between_events_is_known_when_both_have_happened(self) -> None:
        stream, start, end = pycuda.Stream(), pycuda.Event(), pycuda.Event()
        start.record(stream)
        end.record(stream)
        with pytest.raises(pycuda.Error, match="NOT_READY"):
            start.time_till(end)
        end.synchronize()
        assert start.time_till(end) >= 0


def test_without_deferred_execution_work_is_done_when_it_was_asked_for() -> None:
    stream, on_device, sent, received = pycuda.Stream(), pycuda.mem_alloc(8), pinned(8, 6), pinned(8)
    pycuda.memcpy_htod_async(on_device, sent, stream)
    pycuda.memcpy_dtoh_async(received, on_device, stream)
    assert (received == 6).all()
    assert stream.is_done()
    on_device.free()


def test_events_that_cannot_tell_a_time_say_so() -> None:
    recorded, untimed = pycuda.Event(), pycuda.Event(pycuda.event_flags.DISABLE_TIMING)
    recorded.record()
    untimed.record()
    for other in (untimed, pycuda.Event()):
        with pytest.raises(pycuda.LogicError, match="INVALID_HANDLE"):
            recorded.time_till(other)


def test_destroyed_streams_and_events_are_refused_and_counted() -> None:
    stream, event = value_of(bindings.cuStreamCreate(NON_BLOCKING)), value_of(bindings.cuEventCreate(0))
    value_of(bindings.cuEventRecord(event, stream))
    value_of(bindings.cuStreamDestroy(stream))
    assert name_of(bindings.cuEventQuery(event)) == "CUDA_SUCCESS"
    value_of(bindings.cuEventDestroy(event))
    late = control.counters().late_uses
    results = [
        bindings.cuStreamSynchronize(stream),
        bindings.cuEventSynchronize(event),
        bindings.cuStreamDestroy(stream),
        bindings.cuEventDestroy(event),
    ]
    assert {name_of(result) for result in results} == {"CUDA_ERROR_INVALID_HANDLE"}
    assert control.counters().late_uses - late == 4


@pytest.mark.usefixtures("deferred")
def test_an_event_that_was_destroyed_lives_until_its_stream_has_passed_it() -> None:
    stream, event = value_of(bindings.cuStreamCreate(0)), value_of(bindings.cuEventCreate(0))
    value_of(bindings.cuEventRecord(event, stream))
    value_of(bindings.cuEventDestroy(event))
    assert control.counters().events == 0
    value_of(bindings.cuStreamSynchronize(stream))
    value_of(bindings.cuStreamDestroy(stream))


@pytest.mark.parametrize("deferred", [0, 1])
def test_a_host_function_runs_in_its_place(deferred: int) -> None:
    stream, first, second = pycuda.Stream(), pycuda.mem_alloc(16), pycuda.mem_alloc(16)
    sent, received = pinned(16), pinned(16)

    @host_function
    def add_one(_: int) -> None:
        bytes_of(int(second), 16)[:] = bytes_of(int(first), 16) + 1

    with control.changed(control.Setting.DEFERRED, deferred):
        for value in (3, 30, 200):
            sent[:] = value
            pycuda.memcpy_htod_async(first, sent, stream)
            launch_host_function(stream.handle, add_one)
            pycuda.memcpy_dtoh_async(received, second, stream)
            stream.synchronize()
            assert (received == value + 1).all()
    first.free()
    second.free()


def test_a_host_function_may_not_call_the_driver() -> None:
    stream, answers = pycuda.Stream(), []

    @host_function
    def call(_: int) -> None:
        answers.append(name_of(bindings.cuMemAlloc(64)))

    launch_host_function(stream.handle, call)
    stream.synchronize()
    assert answers == ["CUDA_ERROR_NOT_PERMITTED"]


def test_another_thread_may_call_the_driver_beside_a_host_function() -> None:
    stream, source, result = pycuda.Stream(), pycuda.mem_alloc(4096), pycuda.mem_alloc(4096)
    sent, received, stop = pinned(4096), pinned(4096), threading.Event()
    primary = pycuda.Context.get_current()
    kept: list[object] = []

    @host_function
    def add_one(_: int) -> None:
        bytes_of(int(result), 4096)[:] = bytes_of(int(source), 4096) + 1

    def allocate() -> None:
        primary.push()
        try:
            while not stop.is_set() and len(kept) < 2000:
                kept.append(pycuda.mem_alloc(512))
                pycuda.mem_get_info()
        finally:
            pycuda.Context.pop()

    def check(value: int) -> Bytes:
        sent[:] = value
        pycuda.memcpy_htod_async(source, sent, stream)
        launch_host_function(stream.handle, add_one)
        pycuda.memcpy_dtoh_async(received, result, stream)
        stream.synchronize()
        return received

    thread = threading.Thread(target=allocate)
    thread.start()
    try:
        for value in range(200):
            assert (check(value) == value + 1).all()
    finally:
        stop.set()
        thread.join(30)
    assert kept
    kept.clear()
    source.free()
    result.free()


def test_many_streams_and_events_leave_nothing() -> None:
    before = control.counters()
    for _ in range(500):
        stream, event = pycuda.Stream(), pycuda.Event()
        event.record(stream)
        stream.wait_for_event(event)
        stream.synchronize()
    del stream, event
    after = control.counters()
    assert (after.streams, after.events, after.pending) == (before.streams, before.events, before.pending)
    assert after.abandoned == before.abandoned
