from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.bundle import Bundle, GoldenFrames
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.backend import Backend, Outputs
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.ort_backend import OrtBackend
from googlenet_edge.runtime.ort_config import OrtConfig, usable_cores
from googlenet_edge.runtime.ort_queue import ComputeQueue
from googlenet_edge.types import ImageArray

LONG_S = 30.0


class Device:
    """Computes a batch when it is told to; the result is the batch's first pixel."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.changed = threading.Condition()
        self._go: set[int] = set()
        self.fails: set[int] = set()

    def compute(self, batch: ImageArray) -> Outputs:
        number = int(batch.flat[0])
        with self.changed:
            self.began.append(number)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: number in self._go, LONG_S)
        if number in self.fails:
            raise BackendError(f"batch {number} failed")
        outputs: npt.NDArray[np.float32] = np.full((1, 1), number, np.float32)
        return outputs, outputs

    def finish(self, *numbers: int) -> None:
        with self.changed:
            self._go.update(numbers)
            self.changed.notify_all()

    def wait_for(self, *numbers: int) -> None:
        """Wait until just these have begun, in this order."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.began) >= len(numbers), LONG_S)
            assert self.began == list(numbers)


def batch_of(number: int) -> ImageArray:
    return np.full((1, 2, 2, 3), number, np.uint8)


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.finish(*range(100))


@pytest.fixture
def queue(device: Device) -> Iterator[ComputeQueue]:
    queue = ComputeQueue(device.compute, 2, slots=3)
    yield queue
    device.finish(*range(100))
    queue.close()


def test_two_are_computed_at_once_and_a_third_waits(device: Device, queue: ComputeQueue) -> None:
    first, second, third = (queue.submit(batch_of(number), hold=False) for number in (1, 2, 3))
    with device.changed:
        assert device.changed.wait_for(lambda: len(device.began) == 2, LONG_S)
    assert sorted(device.began) == [1, 2]
    assert [ticket.done() for ticket in (first, second, third)] == [False, False, False]
    device.finish(2)
    assert second.result()[1][0, 0] == 2
    with device.changed:
        assert device.changed.wait_for(lambda: len(device.began) == 3, LONG_S)
    assert not first.done()
    device.finish(1, 3)
    assert (first.result()[0][0, 0], third.result()[0][0, 0]) == (1, 3)
    assert first.done()
    ((stage, took_ns),) = third.device_stage_ns
    assert stage == "compute"
    assert took_ns > 0
    assert third.ready_ns is not None


def test_whoever_submits_too_many_waits_for_a_slot(device: Device, queue: ComputeQueue) -> None:
    tickets = [queue.submit(batch_of(number), hold=False) for number in (1, 2, 3)]
    free = threading.Event()

    def wait() -> None:
        queue.wait_for_slot()
        free.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    device.finish(1, 2, 3)
    with device.changed:
        assert device.changed.wait_for(lambda: len(device.began) == 3, LONG_S)
    assert not free.wait(0.05)  # computed, but nobody has taken a result
    tickets[1].result()
    assert free.wait(LONG_S)
    waiter.join(LONG_S)


def test_a_slot_that_one_who_waited_does_not_take_goes_to_the_next(device: Device, queue: ComputeQueue) -> None:
    tickets = [queue.submit(batch_of(number), hold=False) for number in (1, 2, 3)]
    gives_up = threading.Thread(target=queue.wait_for_slot)
    gives_up.start()
    fourth: list[float] = []
    takes = threading.Thread(
        target=lambda: fourth.append(float(queue.submit(batch_of(4), hold=False).result()[0][0, 0]))
    )
    takes.start()
    device.finish(1, 2, 3, 4)
    tickets[0].result()
    for thread in (gives_up, takes):
        thread.join(LONG_S)
    assert fourth == [4]


def test_what_was_submitted_behind_a_held_batch_begins_with_it(device: Device, queue: ComputeQueue) -> None:
    tickets = [queue.submit(batch_of(number), hold=number == 2) for number in (1, 2, 3)]
    device.wait_for(1)
    device.finish(1)
    with device.changed:
        assert device.changed.wait_for(lambda: len(device.began) == 3, LONG_S)
    device.finish(2, 3)
    assert [ticket.result()[0][0, 0] for ticket in tickets] == [1, 2, 3]


def test_a_held_batch_begins_when_nothing_is_computed_and_can_be_withdrawn_until_then(
    device: Device, queue: ComputeQueue
) -> None:
    first = queue.submit(batch_of(1), hold=True)
    device.wait_for(1)
    assert not first.withdraw()
    second = queue.submit(batch_of(2), hold=True)
    assert second.withdraw()
    assert not second.withdraw()
    with pytest.raises(BackendError, match="was withdrawn"):
        second.result()
    third = queue.submit(batch_of(3), hold=True)
    device.finish(1)
    device.wait_for(1, 3)
    assert not third.withdraw()
    device.finish(3)
    assert (first.result()[0][0, 0], third.result()[0][0, 0]) == (1, 3)


def test_a_failure_belongs_to_its_batch_alone(device: Device, queue: ComputeQueue) -> None:
    device.fails.add(1)
    first, second = (queue.submit(batch_of(number), hold=False) for number in (1, 2))
    device.finish(1, 2)
    with pytest.raises(BackendError, match="batch 1 failed"):
        first.result()
    assert second.result()[0][0, 0] == 2
    assert queue.submit(batch_of(1), hold=False) is not None  # its slot is free again


def test_closing_ends_the_threads_and_fails_what_has_not_begun(device: Device) -> None:
    before = threading.active_count()
    queue = ComputeQueue(device.compute, 1, slots=2)
    first, second = (queue.submit(batch_of(number), hold=False) for number in (1, 2))
    device.wait_for(1)
    closer = threading.Thread(target=queue.close)
    closer.start()
    with pytest.raises(BackendError, match="closed before"):
        second.result()
    device.finish(1)
    closer.join(LONG_S)
    assert first.result()[0][0, 0] == 1
    assert threading.active_count() == before
    with pytest.raises(BackendError, match="closed"):
        queue.submit(batch_of(3), hold=False)
    with pytest.raises(BackendError, match="closed"):
        queue.wait_for_slot()
    queue.close()


def test_onnx_runtime_computes_the_same_two_at_once(tiny_bundle: Path, tiny_golden: GoldenFrames) -> None:
    bundle = Bundle.open(tiny_bundle)
    before = threading.active_count()
    with open_backend(bundle, BackendOptions(choice="onnxruntime", at_once=2)).backend as backend:
        typed: Backend = backend
        assert typed.slots == 4
        tickets = []
        for index in range(3):
            with typed.staging(1) as batch:
                batch[:] = tiny_golden.images[index : index + 1]
                tickets.append(typed.submit(batch))
        got = np.concatenate([ticket.result()[1] for ticket in tickets])
        np.testing.assert_allclose(got, tiny_golden.probabilities, atol=1e-5)
        assert typed.describe()["at_once"] == "2"
        with pytest.raises(InputError, match=r"expected uint8 \(N, 224, 224, 3\)"):
            typed.submit(tiny_golden.images[:, :, :, :1])
        with Classifier(bundle, backend=typed) as classifier:
            assert classifier.classify(tiny_golden.images[1]).class_id == 1
    assert threading.active_count() == before
    with pytest.raises(BackendError, match="closed"):
        typed.submit(tiny_golden.images[:1])


def test_batches_at_once_share_the_cores(tiny_graph_path: Path) -> None:
    assert OrtConfig().intra_op_threads is None
    assert OrtConfig(threads=3, at_once=2).intra_op_threads == 3
    assert OrtConfig(at_once=2).intra_op_threads == (usable_cores() + 1) // 2
    with OrtBackend(tiny_graph_path, OrtConfig(at_once=16)) as backend:
        assert backend.describe()["threads"] == str(-(-usable_cores() // 16))


@pytest.mark.parametrize("at_once", [0, 17, True, 1.5])
def test_a_number_at_once_that_is_none(at_once: object) -> None:
    with pytest.raises(InputError, match="expected a whole number from 1 to 16"):
        OrtConfig(at_once=at_once)  # type: ignore[arg-type]


def test_layers_are_not_timed_while_they_disturb_each_other() -> None:
    with pytest.raises(InputError, match="profile_layers"):
        OrtConfig(at_once=2, profile_layers=True)
