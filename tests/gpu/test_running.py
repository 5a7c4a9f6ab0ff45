"""Running on a real GPU: batches, CUDA graphs, zero copy, times, two threads, and nothing that grows."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import DeviceFacts, PrimaryContext
from googlenet_edge.types import Frame, Prediction

pytestmark = pytest.mark.gpu

OpenClassifier = Callable[[TrtConfig], Classifier]

LONG_RUN = 10_000


def probabilities(predictions: list[Prediction]) -> npt.NDArray[np.float64]:
    """By class id, one row a frame."""
    rows = np.zeros((len(predictions), len(predictions[0].class_ids)))
    for row, prediction in zip(rows, predictions, strict=True):
        row[list(prediction.class_ids)] = prediction.probabilities
    return rows


def used_memory_bytes(device: DeviceFacts) -> int:
    """What the device's memory is used for, as far as this process can be told by it.

    A board's GPU has the CPU's memory, of which the driver calls free what no file is cached in: that moves by itself.
    There, only the process's own memory is looked at.
    """
    if device.integrated:
        return 0
    import pycuda.driver as cuda

    context = PrimaryContext()
    context.open(device.ordinal)
    try:
        free, total = cuda.mem_get_info()
        return int(total - free)
    finally:
        context.close()


def resident_bytes() -> int:
    """This process's memory."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


def test_a_batch_of_any_size_gives_what_single_frames_give(
    bundle: Bundle, open_classifier: OpenClassifier, frames: list[Frame]
) -> None:
    classifier = open_classifier(TrtConfig())
    classes = len(bundle.labels)
    alone = probabilities([classifier.classify(frame, top_k=classes) for frame in frames[:24]])
    most = classifier.backend.max_batch or 8
    for size in range(1, most + 1):
        together = probabilities(classifier.classify_batch(frames[:size], top_k=classes))
        # Another batch size may be computed by other tactics, which round otherwise.
        np.testing.assert_allclose(together, alone[:size], atol=bundle.manifest.golden.tolerance)


def test_a_cuda_graph_gives_what_plain_launches_give(
    bundle: Bundle,
    open_classifier: OpenClassifier,
    frames: list[Frame],
    record_property: Callable[[str, object], None],
) -> None:
    graph, plain = open_classifier(TrtConfig()), open_classifier(TrtConfig(cuda_graph="off"))
    classes = len(bundle.labels)
    for size in (1, 1, 1, 4, 4, 4, 1):  # the first of each size is enqueued plainly, the second is recorded
        got = probabilities(graph.classify_batch(frames[:size], top_k=classes))
        expected = probabilities(plain.classify_batch(frames[:size], top_k=classes))
        # The same kernels on the same numbers.
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)
    state = graph.describe()["cuda_graph"]
    record_property("cuda_graph", state)
    if importlib.util.find_spec("cuda") is not None and importlib.util.find_spec("cuda.bindings") is not None:
        assert state.startswith("on")


def test_zero_copy_gives_what_copies_give(
    bundle: Bundle, device: DeviceFacts, open_classifier: OpenClassifier, frames: list[Frame]
) -> None:
    if not device.maps_host_memory:
        pytest.skip(f"{device.name} cannot map host memory")
    classes = len(bundle.labels)
    mapped, copied = open_classifier(TrtConfig(zero_copy="on")), open_classifier(TrtConfig(zero_copy="off"))
    got, expected = (
        probabilities(classifier.classify_batch(frames[:16], top_k=classes)) for classifier in (mapped, copied)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


def test_the_devices_times_lie_within_the_wall_time(open_classifier: OpenClassifier, frames: list[Frame]) -> None:
    classifier = open_classifier(TrtConfig())
    for frame in frames[:10]:
        classifier.classify(frame)
    for frame in frames[:100]:
        trace = classifier.classify(frame).trace
        stages = dict(trace.device_stage_ns)
        wall_ns = trace.inferred_ns - trace.preprocessed_ns
        assert stages["compute"] > 0
        assert all(duration_ns >= 0 for duration_ns in stages.values())
        # Events count in steps of about half a microsecond; there are four of them.
        assert sum(stages.values()) <= wall_ns + 2_000


def test_two_threads_get_their_own_answers(open_classifier: OpenClassifier, frames: list[Frame]) -> None:
    classifier = open_classifier(TrtConfig())
    expected = [classifier.classify(frame).class_id for frame in frames]
    got: dict[int, list[int]] = {}

    def classify(thread: int) -> None:
        got[thread] = [classifier.classify(frame).class_id for frame in frames]

    threads = [threading.Thread(target=classify, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert got == {0: expected, 1: expected}


@pytest.mark.slow
def test_ten_thousand_frames_leave_memory_as_it_was(
    device: DeviceFacts, open_classifier: OpenClassifier, frames: list[Frame]
) -> None:
    classifier = open_classifier(TrtConfig())
    expected = [classifier.classify(frame).class_id for frame in frames]
    for frame in frames:
        classifier.classify(frame)
    used_before, resident_before = used_memory_bytes(device), resident_bytes()
    wrong = 0
    for number in range(LONG_RUN):
        wrong += classifier.classify(frames[number % len(frames)]).class_id != expected[number % len(frames)]
    assert wrong == 0
    # Other programs use the device, and allocators have their own ideas: a leak of 1 KB a frame would be 10 MB.
    assert used_memory_bytes(device) - used_before < 8 << 20
    assert resident_bytes() - resident_before < 8 << 20


@pytest.mark.slow
def test_opening_and_closing_leaves_nothing_on_the_device(
    bundle: Bundle, device: DeviceFacts, options: BackendOptions
) -> None:
    def once() -> None:
        with Classifier(bundle, backend=open_backend(bundle, options).backend):
            pass

    for _ in range(3):
        once()
    used_before, resident_before = used_memory_bytes(device), resident_bytes()
    for _ in range(20):
        once()
    assert used_memory_bytes(device) - used_before < 8 << 20
    # Libraries keep something for themselves at each loading of an engine; twenty engines would be far more.
    assert resident_bytes() - resident_before < 64 << 20


def test_layers_are_timed_and_named(open_classifier: OpenClassifier, frames: list[Frame]) -> None:
    from googlenet_edge.runtime.trt_backend import TrtBackend

    classifier = open_classifier(TrtConfig(profile_layers=True))
    backend = classifier.backend
    assert isinstance(backend, TrtBackend)
    backend.clear_layer_times()
    for frame in frames[:20]:
        classifier.classify(frame)
    times = backend.layer_times_ns()
    assert times
    assert all(name and len(durations_ns) == 20 and min(durations_ns) >= 0 for name, durations_ns in times)
    assert sum(sum(durations_ns) for _, durations_ns in times) > 0
