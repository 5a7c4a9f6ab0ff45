"""The queue between callers and the two threads that serve a GPU; here the tests play these two."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest

from googlenet_edge.errors import BackendError, DeviceError
from googlenet_edge.runtime.trt_queue import BatchQueue, Job

_T = TypeVar("_T")
OUTPUTS = (np.zeros((1, 5), np.float32), np.ones((1, 5), np.float32))


def in_thread(call: Callable[[], _T]) -> tuple[threading.Thread, list[_T | BackendError]]:
    """Call in a thread; the list holds what came of it once the thread has ended."""
    came: list[_T | BackendError] = []

    def run() -> None:
        try:
            came.append(call())
        except BackendError as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def joined(thread: threading.Thread) -> bool:
    thread.join(10)
    return not thread.is_alive()


@pytest.fixture
def queue() -> BatchQueue:
    queue = BatchQueue(slots=2, timeout_s=10.0)
    queue.opened()
    return queue


def put(queue: BatchQueue, *, hold: bool = False) -> Job:
    return queue.submit(queue.acquire(lend=False), 1, hold=hold)


def begin(queue: BatchQueue) -> Job:
    job = queue.next()
    assert job is not None
    queue.begun(job)
    return job


def finish(queue: BatchQueue) -> Job:
    job = queue.oldest()
    assert job is not None
    queue.finished(job, OUTPUTS, (("compute", 7),))
    return job


def test_batches_begin_and_end_in_the_order_of_submission(queue: BatchQueue) -> None:
    first, second = put(queue), put(queue)
    assert [begin(queue), begin(queue)] == [first, second]
    assert not queue.is_over(first)
    assert [finish(queue), finish(queue)] == [first, second]
    assert queue.wait(second) is OUTPUTS
    assert second.stage_ns == (("compute", 7),)


def test_a_batch_notes_when_its_results_came_and_not_when_they_were_asked_for() -> None:
    times = iter((100, 200))
    queue = BatchQueue(slots=2, timeout_s=10.0, clock=lambda: next(times))
    queue.opened()
    first, second = put(queue), put(queue)
    for _ in range(2):
        begin(queue)
        finish(queue)
    queue.wait(second)
    queue.wait(first)
    assert [job.ready_ns for job in (first, second)] == [100, 200]


def test_a_plain_batch_begins_behind_the_computing_one(queue: BatchQueue) -> None:
    put(queue)
    begin(queue)
    second = put(queue)
    assert begin(queue) is second


def test_a_held_batch_begins_only_when_the_device_is_idle(queue: BatchQueue) -> None:
    put(queue)
    begin(queue)
    held = put(queue, hold=True)
    thread, came = in_thread(queue.next)
    thread.join(0.05)
    assert thread.is_alive()
    assert held.state == "waiting"
    finish(queue)
    assert joined(thread)
    assert came == [held]


def test_a_held_batch_that_was_withdrawn_frees_its_slot_and_has_no_result(queue: BatchQueue) -> None:
    put(queue)
    begin(queue)
    held = put(queue, hold=True)
    assert queue.withdraw(held)
    assert queue.is_over(held)
    with pytest.raises(BackendError, match="withdrawn"):
        queue.wait(held)
    assert queue.acquire(lend=False) == held.slot
    assert not queue.withdraw(held)


def test_a_batch_that_an_idle_device_is_about_to_begin_is_not_withdrawn(queue: BatchQueue) -> None:
    """A camera that is quicker than the owner's thread would else take back every frame."""
    first, second = put(queue, hold=True), put(queue, hold=True)
    assert not queue.withdraw(first)
    assert queue.withdraw(second)
    assert begin(queue) is first


def test_a_batch_that_has_begun_is_not_withdrawn(queue: BatchQueue) -> None:
    job = put(queue)
    begin(queue)
    assert not queue.withdraw(job)
    finish(queue)
    assert not queue.withdraw(job)
    assert queue.wait(job) is OUTPUTS


def test_a_caller_waits_for_a_slot_until_a_batch_is_over(queue: BatchQueue) -> None:
    put(queue)
    put(queue)
    thread, came = in_thread(lambda: queue.acquire(lend=False))
    begin(queue)
    done = finish(queue)
    assert joined(thread)
    assert came == [done.slot]


def test_no_free_slot_in_time_is_an_error_that_says_what_to_do() -> None:
    queue = BatchQueue(slots=1, timeout_s=0.01)
    queue.acquire(lend=True)
    with pytest.raises(BackendError, match=r"no free slot within 0\.01 s.*staging"):
        queue.acquire(lend=False)


def test_a_lent_slot_is_free_when_both_the_loan_and_the_job_are_over(queue: BatchQueue) -> None:
    put(queue)
    lent = queue.acquire(lend=True)
    job = queue.submit(lent, 1, hold=True)
    assert queue.withdraw(job)
    again = queue.submit(lent, 1, hold=False)
    queue.give_back(lent)
    thread, came = in_thread(lambda: queue.acquire(lend=True))
    assert begin(queue) is not again
    assert begin(queue) is again
    assert not came
    finish(queue)
    assert joined(thread)


def test_a_lent_slot_is_not_submitted_twice(queue: BatchQueue) -> None:
    lent = queue.acquire(lend=True)
    queue.submit(lent, 1, hold=False)
    with pytest.raises(BackendError, match="same array twice"):
        queue.submit(lent, 1, hold=False)


def test_a_slot_that_was_filled_in_vain_is_free_again() -> None:
    queue = BatchQueue(slots=1, timeout_s=0.01)
    queue.opened()
    index = queue.acquire(lend=False)
    queue.give_back(index)
    assert queue.acquire(lend=True) == index


def test_closing_ends_what_has_not_begun_and_computes_what_has(queue: BatchQueue) -> None:
    running, waiting = put(queue), put(queue)
    begin(queue)
    assert not queue.stop(last=False)
    with pytest.raises(BackendError, match="closed before this batch was computed"):
        queue.wait(waiting)
    assert queue.next() is None
    assert finish(queue) is running
    assert queue.wait(running) is OUTPUTS
    assert queue.oldest() is None
    with pytest.raises(BackendError, match="it is closed"):
        queue.check_open()


def test_closing_wakes_callers_who_wait_for_a_slot(queue: BatchQueue) -> None:
    put(queue)
    put(queue)
    thread, came = in_thread(lambda: queue.acquire(lend=False))
    queue.stop(last=False)
    assert joined(thread)
    assert isinstance(came[0], BackendError)


def test_a_failure_ends_every_batch_and_all_that_comes_after(queue: BatchQueue) -> None:
    running, waiting = put(queue), put(queue)
    begin(queue)
    thread, came = in_thread(lambda: queue.wait(running))
    queue.fail(DeviceError("GPU 0 (Orin): out of memory"))
    assert joined(thread)
    assert isinstance(came[0], DeviceError)
    with pytest.raises(DeviceError, match="out of memory"):
        queue.wait(waiting)
    assert queue.oldest() is None
    assert queue.next() is None
    with pytest.raises(DeviceError, match=r"closed by an error; make a new one.*out of memory"):
        queue.acquire(lend=False)


def test_the_first_failure_is_the_one_that_is_told(queue: BatchQueue) -> None:
    queue.fail(DeviceError("first"))
    queue.fail(DeviceError("second"))
    with pytest.raises(DeviceError, match="first"):
        queue.check_open()


def test_a_result_that_comes_after_the_failure_is_dropped(queue: BatchQueue) -> None:
    job = put(queue)
    begin(queue)
    queue.fail(DeviceError("lost"))
    queue.finished(job, OUTPUTS, ())
    with pytest.raises(DeviceError, match="lost"):
        queue.wait(job)


def test_a_device_that_does_not_answer_counts_as_lost() -> None:
    queue = BatchQueue(slots=1, timeout_s=0.01)
    job = put(queue)
    begin(queue)
    with pytest.raises(DeviceError, match=r"no result within 0\.01 s"):
        queue.wait(job)
    with pytest.raises(DeviceError, match=r"no result within 0\.01 s"):
        queue.check_open()


def test_memory_on_loan_is_waited_for_before_it_is_freed(queue: BatchQueue) -> None:
    lent = queue.acquire(lend=True)
    assert queue.stop(last=False)  # this thread has it
    thread, came = in_thread(queue.wait_for_loans)
    thread.join(0.05)
    assert thread.is_alive()
    queue.give_back(lent)
    assert joined(thread)
    assert came == [True]


def test_at_the_end_of_the_interpreter_loans_are_not_waited_for(queue: BatchQueue) -> None:
    queue.acquire(lend=True)
    queue.stop(last=True)
    assert not queue.wait_for_loans()


def test_what_went_wrong_while_opening_is_raised_where_it_is_waited_for() -> None:
    queue = BatchQueue(slots=2, timeout_s=10.0)
    thread, came = in_thread(queue.wait_until_open)
    error = BackendError("plan of 7 bytes: cannot be loaded")
    queue.fail(error)
    assert joined(thread)
    assert came == [error]
