"""TrtBackend on the software driver: the real pycuda and cuda-bindings, and an engine of the tiny classifier."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.backend import Backend, Outputs
from googlenet_edge.runtime.ort_backend import OrtBackend
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig
from googlenet_edge.runtime.trt_device import find_device
from googlenet_edge.types import ImageArray, TensorSpec
from tests.softcuda import control

SIZE = 224
MOST = 4


@pytest.fixture(scope="module")
def flavour() -> Flavour:
    return load_flavour("tensorrt")


@pytest.fixture(scope="module")
def plan(flavour: Flavour, tiny_graph_path: Path) -> bytes:
    return build_engine(flavour, tiny_graph_path.read_bytes(), BuildOptions(max_batch=MOST)).plan


@pytest.fixture(scope="module")
def reference(tiny_graph_path: Path) -> Iterator[OrtBackend]:
    with OrtBackend(tiny_graph_path) as backend:
        yield backend


@pytest.fixture(params=["at once", "deferred"], autouse=True)
def execution(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether the driver works off a stream at once, or only when something synchronises."""
    with control.changed(control.Setting.DEFERRED, int(request.param == "deferred")):
        yield


@pytest.fixture(params=["copies", "zero copy"])
def config(request: pytest.FixtureRequest) -> TrtConfig:
    return TrtConfig(timeout_s=20.0, zero_copy="on" if request.param == "zero copy" else "off")


@pytest.fixture
def backend(plan: bytes, flavour: Flavour, config: TrtConfig) -> Iterator[TrtBackend]:
    with TrtBackend(plan, flavour, config) as backend:
        yield backend


def frames(seed: int, count: int) -> ImageArray:
    """Frames of one plain colour each: what the tiny classifier tells apart."""
    colors = np.random.default_rng(seed).integers(0, 256, (count, 1, 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colors, (count, SIZE, SIZE, 3)))


def same(got: Outputs, expected: Outputs) -> bool:
    return all(np.allclose(g, e, rtol=1e-5, atol=1e-5) for g, e in zip(got, expected, strict=True))


def test_it_is_a_backend_with_the_inputs_and_outputs_of_the_graph(backend: TrtBackend, reference: OrtBackend) -> None:
    as_protocol: Backend = backend
    assert as_protocol.input == TensorSpec("image", ("N", SIZE, SIZE, 3), "uint8") == reference.input
    assert as_protocol.outputs == reference.outputs
    assert (as_protocol.max_batch, as_protocol.slots) == (MOST, 2)


def test_results_are_those_of_the_graph_for_every_batch_size(backend: TrtBackend, reference: OrtBackend) -> None:
    for turn in range(3):  # plain, captured, replayed
        for count in range(1, MOST + 1):
            batch = frames(10 * turn + count, count)
            assert same(backend.infer(batch), reference.infer(batch))


def test_two_batches_are_under_way_and_their_results_come_in_order(backend: TrtBackend, reference: OrtBackend) -> None:
    batches = [frames(seed, 1 + seed % MOST) for seed in range(12)]
    tickets = [backend.submit(batch) for batch in batches]
    for batch, ticket in zip(batches, tickets, strict=True):
        assert same(ticket.result(), reference.infer(batch))
        assert ticket.done()
        assert not ticket.withdraw()


def test_the_callers_array_may_change_as_soon_as_it_was_submitted(backend: TrtBackend, reference: OrtBackend) -> None:
    batch = frames(1, 2)
    expected = reference.infer(batch)
    ticket = backend.submit(batch)
    batch[:] = 0
    assert same(ticket.result(), expected)


def test_results_belong_to_the_caller(backend: TrtBackend) -> None:
    logits, probabilities = backend.infer(frames(1, 2))
    kept = logits.copy(), probabilities.copy()
    for seed in range(4):
        backend.infer(frames(seed, 2))
    assert same((logits, probabilities), kept)


def test_a_staged_batch_is_computed_where_it_was_written(backend: TrtBackend, reference: OrtBackend) -> None:
    for seed in range(5):
        batch = frames(seed, 3)
        with backend.staging(3) as staged:
            staged[:] = batch
            ticket = backend.submit(staged)
        assert same(ticket.result(), reference.infer(batch))


def test_of_a_staged_batch_the_first_frames_may_go_alone(backend: TrtBackend, reference: OrtBackend) -> None:
    batch = frames(3, 4)
    with backend.staging(4) as staged:
        staged[:] = batch
        ticket = backend.submit(staged[:1])
    assert same(ticket.result(), reference.infer(batch[:1]))


def test_a_staged_batch_that_was_not_submitted_is_forgotten(backend: TrtBackend) -> None:
    for _ in range(2 * backend.slots):
        with backend.staging(1):
            pass
    assert backend.infer(frames(0, 1))[0].shape == (1, 5)


@pytest.mark.parametrize("count", [0, -1, MOST + 1, True, 1.5])
def test_staging_lends_what_submit_takes(backend: TrtBackend, count: int) -> None:
    with pytest.raises(InputError, match=rf"got .* frames, expected 1 to {MOST}"), backend.staging(count):
        pass


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 3, SIZE, SIZE), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((MOST + 1, SIZE, SIZE, 3), np.uint8),
        np.zeros((0, SIZE, SIZE, 3), np.uint8),
        np.zeros((1, SIZE, 2 * SIZE, 3), np.uint8)[:, :, ::2],
    ],
    ids=["planar", "float", "too many", "none", "strided"],
)
def test_a_wrong_array_is_our_error_and_costs_nothing(backend: TrtBackend, batch: ImageArray) -> None:
    with pytest.raises(InputError, match="input 'image': got"):
        backend.submit(batch)
    assert backend.infer(frames(0, 1))[0].shape == (1, 5)


def test_a_held_batch_can_be_replaced_until_it_begins(
    plan: bytes, flavour: Flavour, reference: OrtBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    with TrtBackend(plan, flavour, TrtConfig(slots=2)) as backend:
        finish = backend._work.finish

        def wait_first(index: int, count: int) -> tuple[Outputs, tuple[tuple[str, int], ...]]:
            began.set()
            assert go_on.wait(10)
            return finish(index, count)

        monkeypatch.setattr(backend._work, "finish", wait_first)
        first = backend.submit(frames(0, 1))
        assert began.wait(10)
        held = backend.submit(frames(1, 1), hold=True)
        assert not held.done()
        assert held.withdraw()
        newer = backend.submit(frames(2, 1), hold=True)
        assert not newer.done()
        go_on.set()
        assert same(first.result(), reference.infer(frames(0, 1)))
        assert same(newer.result(), reference.infer(frames(2, 1)))
        assert not newer.withdraw()
        with pytest.raises(BackendError, match="withdrawn"):
            held.result()


def test_any_thread_may_call(backend: TrtBackend, reference: OrtBackend) -> None:
    wrong: list[int] = []

    def call(first_seed: int) -> None:
        for seed in range(first_seed, first_seed + 20):
            batch = frames(seed, 1 + seed % MOST)
            if not same(backend.infer(batch), reference.infer(batch)):
                wrong.append(seed)

    threads = [threading.Thread(target=call, args=(100 * index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_the_device_says_how_long_each_step_took(plan: bytes, flavour: Flavour) -> None:
    for zero_copy, stages in (("off", ["h2d", "compute", "d2h"]), ("on", ["compute"])):
        with TrtBackend(plan, flavour, TrtConfig(zero_copy=zero_copy)) as backend:  # type: ignore[arg-type]
            ticket = backend.submit(frames(0, 2))
            ticket.result()
            assert [name for name, _ in ticket.device_stage_ns] == stages
            assert all(duration_ns >= 0 for _, duration_ns in ticket.device_stage_ns)


def test_layers_are_timed_once_an_inference(plan: bytes, flavour: Flavour) -> None:
    with TrtBackend(plan, flavour, TrtConfig(profile_layers=True)) as backend:
        backend.infer(frames(0, 1))
        backend.clear_layer_times()
        assert backend.layer_times_ns() == ()
        for _ in range(3):
            backend.infer(frames(0, 1))
        times = backend.layer_times_ns()
        assert times
        assert {len(durations) for _, durations in times} == {3}
        assert {layer.name for layer in backend.engine_layers()} >= {name for name, _ in times}
        assert backend.describe()["cuda_graph"] == "off: layers are being timed"


def test_boards_that_share_a_name_are_told_apart_by_their_size() -> None:
    assert find_device().name == "Software CUDA device, sm_86"
    with control.changed(control.Setting.INTEGRATED, 1):
        assert find_device().name.endswith(", sm_86 (46 SMs, 8 GiB)")


def test_it_says_what_computes(plan: bytes, flavour: Flavour) -> None:
    facts = find_device()
    with TrtBackend(plan, flavour) as backend:
        assert backend.describe() == {
            "backend": "tensorrt",
            "version": flavour.version,
            "provider": flavour.title,
            "device": facts.name,
            "compute_capability": facts.compute_capability,
            "driver": facts.driver_version,
            "memory": "pinned copies",
            "cuda_graph": "on",
            "slots": "2",
            "max_batch": str(MOST),
        }
    with TrtBackend(plan, flavour, TrtConfig(zero_copy="on", cuda_graph="off", slots=1)) as backend:
        described = backend.describe()
        assert described["memory"] == "mapped (zero copy)"
        assert described["cuda_graph"] == "off: as asked"
        assert described["slots"] == "1"


def test_closing_twice_is_fine_and_calls_after_it_say_so(plan: bytes, flavour: Flavour) -> None:
    backend = TrtBackend(plan, flavour)
    ticket = backend.submit(frames(0, 1))
    outputs = ticket.result()
    backend.close()
    backend.close()
    assert ticket.result() is outputs
    for call in (lambda: backend.infer(frames(0, 1)), lambda: backend.staging(1).__enter__()):
        with pytest.raises(BackendError, match="it is closed"):
            call()


def test_no_thread_is_left_behind(plan: bytes, flavour: Flavour) -> None:
    before = threading.active_count()
    TrtBackend(plan, flavour).close()
    assert threading.active_count() == before
    backend = TrtBackend(plan, flavour)
    backend.infer(frames(0, 1))
    del backend
    gc.collect()
    assert threading.active_count() == before


def test_it_may_be_closed_by_another_thread_also_while_memory_is_lent(plan: bytes, flavour: Flavour) -> None:
    backend = TrtBackend(plan, flavour)
    closer = threading.Thread(target=backend.close)
    with backend.staging(1) as staged:
        closer.start()
        while True:
            try:
                backend.submit(staged).result()
            except BackendError:
                break
        staged[:] = 7  # still there
    closer.join(10)
    assert not closer.is_alive()


def test_closing_inside_staging_does_not_wait_for_itself(plan: bytes, flavour: Flavour) -> None:
    before = threading.active_count()
    backend = TrtBackend(plan, flavour)
    with backend.staging(1) as staged:
        backend.close()
        staged[:] = 7
    backend.close()
    assert threading.active_count() == before
