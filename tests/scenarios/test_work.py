from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.backend import Outputs
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.preprocess import preprocess
from googlenet_edge.scenarios.work import ClassifierWork, PreparedWork, Work, crops_of, done_ns, process
from googlenet_edge.types import FrameTrace, ImageArray
from tests.scenarios.scripted import IMAGES, MS, FakeClock, Scripted, ScriptedBackend


def test_a_frames_trace_has_all_its_times(script: Callable[..., Scripted]) -> None:
    scripted = script(lambda _n, _frames: 7 * MS)
    now_ns = scripted.clock.now_ns
    trace = process(scripted.rig.work, [0], 3, now_ns - 2 * MS)
    assert trace == FrameTrace(3, now_ns - 2 * MS, now_ns, now_ns, now_ns + 7 * MS, now_ns + 7 * MS)
    assert done_ns(trace) == now_ns + 7 * MS
    assert process(scripted.rig.work, [0], 4).captured_ns == now_ns + 7 * MS, "captured when it was begun"


class Recording(ScriptedBackend):
    """Keeps what it was given."""

    seen: list[ImageArray]

    def infer(self, batch: ImageArray) -> Outputs:
        self.seen = [*getattr(self, "seen", []), batch.copy()]
        return super().infer(batch)


def test_prepared_work_gives_the_backend_the_same_pixels_as_the_classifier(tiny_bundle: Path) -> None:
    images = [np.random.default_rng(seed).integers(0, 256, (300, 400, 3), np.uint8) for seed in range(3)]
    clock, bundle = FakeClock(), Bundle.open(tiny_bundle)
    backend = Recording(bundle, clock, lambda _n, _frames: MS)
    classifier = Classifier(bundle, backend=backend, clock=clock, golden_frames=0)
    crops = crops_of(images, bundle.crop)
    process(ClassifierWork(classifier, images, clock=clock), [2, 0], 0)
    process(PreparedWork(classifier, crops, clock=clock), [2, 0], 0)
    plain, prepared = backend.seen
    np.testing.assert_array_equal(plain, prepared)
    np.testing.assert_array_equal(prepared[0], preprocess(images[2], bundle.crop))


@pytest.mark.parametrize("kind", ["frames", "crops"])
def test_work_says_what_it_is(script: Callable[..., Scripted], kind: str) -> None:
    classifier = script(lambda _n, _frames: MS, max_batch=4, slots=2).classifier
    crops = crops_of(IMAGES, classifier.bundle.crop)

    def make(max_batch: int | None = None) -> Work:
        if kind == "frames":
            return ClassifierWork(classifier, IMAGES, max_batch=max_batch)
        return PreparedWork(classifier, crops, max_batch=max_batch)

    assert (make().frames, make().max_batch, make().slots) == (5, 4, 2)
    assert make(max_batch=3).max_batch == 3
    assert make(max_batch=9).max_batch == 4
    assert ("crop and resize, copies" in make().contains) == (kind == "frames")
    with pytest.raises(InputError, match="expected 1 to 4"):
        make().begin([0] * 5, 0)


class Pieces:
    """Work of two slots, whose pieces overlap: each takes 10 ms on the device, and 1 ms to be prepared."""

    frames, max_batch, slots, contains = 8, 3, 2, ""

    def __init__(self) -> None:
        self.now_ns = self.device_free_ns = self.under_way = self.most = 0

    def begin(self, indexes: Sequence[int], sequence: int, captured_ns: int | None = None) -> Piece:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        began_ns, self.now_ns = self.now_ns, self.now_ns + MS
        self.device_free_ns = max(self.device_free_ns, self.now_ns) + 10 * MS
        device = (("h2d", MS), ("compute", 9 * MS))
        captured = began_ns if captured_ns is None else captured_ns
        ready, out = self.device_free_ns, self.device_free_ns
        return Piece(self, FrameTrace(sequence, captured, began_ns, self.now_ns, ready, out, device))


class Piece:
    def __init__(self, work: Pieces, trace: FrameTrace) -> None:
        self.work, self.trace = work, trace

    def finish(self) -> FrameTrace:
        self.work.under_way -= 1
        self.work.now_ns = max(self.work.now_ns, done_ns(self.trace))
        return self.trace


def test_pieces_overlap_and_make_one_trace() -> None:
    work = Pieces()
    trace = process(work, list(range(8)), 6)
    assert work.most == 2
    assert (trace.sequence, trace.captured_ns, trace.dequeued_ns, trace.preprocessed_ns) == (6, 0, 0, MS)
    assert (trace.inferred_ns, trace.emitted_ns) == (31 * MS, 31 * MS), "the device was never idle"
    assert trace.device_stage_ns == (("h2d", 3 * MS), ("compute", 27 * MS))


def test_probabilities_that_are_not_finite_are_an_error(tiny_bundle: Path) -> None:
    class Broken(ScriptedBackend):
        def infer(self, batch: ImageArray) -> Outputs:
            logits, probabilities = super().infer(batch)
            return logits, probabilities * np.float32("nan")

    bundle, clock = Bundle.open(tiny_bundle), FakeClock()
    backend = Broken(bundle, clock, lambda _n, _frames: MS)
    classifier = Classifier(bundle, backend=backend, clock=clock, golden_frames=0)
    for work in (ClassifierWork(classifier, IMAGES), PreparedWork(classifier, crops_of(IMAGES, bundle.crop))):
        with pytest.raises(BackendError, match="not finite"):
            process(work, [0], 0)


def test_no_frames_is_an_error(script: Callable[..., Scripted]) -> None:
    classifier = script(lambda _n, _frames: MS).classifier
    with pytest.raises(InputError, match="expected at least one"):
        ClassifierWork(classifier, [])
    with pytest.raises(InputError, match="expected at least one"):
        PreparedWork(classifier, np.empty((0, 224, 224, 3), np.uint8))
    with pytest.raises(InputError, match="expected at least one"):
        crops_of([], classifier.bundle.crop)
