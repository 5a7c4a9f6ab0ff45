from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge import Classifier
from googlenet_edge.bundle import Bundle, BundleFacts, GoldenFrames
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.errors import BackendError, BundleError, InputError
from googlenet_edge.types import Frame, ImageArray, Region

RED, GREEN, BLUE, WHITE, BLACK = (0, 0, 200), (0, 200, 0), (200, 0, 0), (230, 230, 230), (20, 20, 20)


def plain(color: tuple[int, int, int], width: int = 320, height: int = 240) -> ImageArray:
    return np.full((height, width, 3), color, dtype=np.uint8)


def test_the_best_labels_come_first(tiny_bundle: Path) -> None:
    with Classifier(tiny_bundle) as classifier:
        assert classifier.labels == ("red", "green", "blue", "white", "black")
        for color, label in zip((RED, GREEN, BLUE, WHITE, BLACK), classifier.labels, strict=True):
            prediction = classifier.classify(plain(color))
            assert prediction.label == label
            assert prediction.class_id == classifier.labels.index(label)
            assert prediction.probability > 0.9
            assert list(prediction.probabilities) == sorted(prediction.probabilities, reverse=True)
            assert sum(prediction.probabilities) == pytest.approx(1)


def test_equal_probabilities_come_in_the_order_of_the_classes(tiny_bundle: Path) -> None:
    # Dark red: black first, then red, and green and blue are equally far.
    with Classifier(tiny_bundle) as classifier:
        prediction = classifier.classify(plain((0, 0, 100)))
    assert prediction.labels == ("black", "red", "green", "blue", "white")


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (5, 5), (1000, 5)])
def test_top_k(tiny_bundle: Path, top_k: int, count: int) -> None:
    with Classifier(tiny_bundle) as classifier:
        prediction = classifier.classify(plain(RED), top_k=top_k)
    assert (len(prediction.labels), len(prediction.class_ids), len(prediction.probabilities)) == (count,) * 3
    assert all(type(value) is int for value in prediction.class_ids)
    json.dumps([prediction.labels, prediction.class_ids, prediction.probabilities])


@pytest.mark.parametrize("top_k", [0, -1, 1.0, True, None, "5"])
def test_a_top_k_that_is_none(tiny_bundle: Path, top_k: Any) -> None:
    with Classifier(tiny_bundle) as classifier, pytest.raises(InputError, match=r"top_k: got .*, expected a whole"):
        classifier.classify(plain(RED), top_k=top_k)


def test_frames_of_any_size_and_kind_in_one_batch(tiny_bundle: Path) -> None:
    images: list[ImageArray | Frame] = [
        plain(RED, 1280, 720),
        plain(GREEN, 1, 1),
        np.full((50, 60), 255, np.uint8),
        np.dstack([plain(BLUE), plain(RED)[..., :1]]),
        Frame(plain(BLACK), sequence=70, captured_ns=-5),
    ]
    with Classifier(tiny_bundle) as classifier:
        batch = classifier.classify_batch(images)
        singles = [classifier.classify(image) for image in images]
    assert [p.label for p in batch] == ["red", "green", "white", "blue", "black"]
    assert [p.label for p in singles] == [p.label for p in batch]
    assert [p.trace.sequence for p in batch] == [0, 1, 2, 3, 70]


def test_an_array_of_frames_is_a_batch_too(tiny_bundle: Path, tiny_golden: GoldenFrames) -> None:
    with Classifier(tiny_bundle) as classifier:
        assert [p.label for p in classifier.classify_batch(tiny_golden.images)] == ["red", "green", "blue"]
        assert classifier.classify_batch([]) == []
        with pytest.raises(InputError, match=r"got one array .*use classify for one"):
            classifier.classify_batch(plain(RED))
        with pytest.raises(InputError, match="classify_batch takes a list"):
            classifier.classify(tiny_golden.images)


def test_a_bad_frame_is_found_before_the_others_are_computed(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(1)
    with Classifier(tiny_bundle, backend=backend, golden_frames=0) as classifier:
        with pytest.raises(InputError, match="frame: got float64"):
            classifier.classify_batch([plain(RED), plain(RED), np.zeros((4, 4))])  # type: ignore[list-item]
        with pytest.raises(InputError, match=r"frame: got builtins.NoneType"):
            classifier.classify(Frame(None, 0, 0))  # type: ignore[arg-type]
    assert backend.batches == []


def test_a_region_is_classified_alone(tiny_bundle: Path) -> None:
    frame = plain(RED, 640, 480)
    frame[100:200, 300:450] = GREEN
    with Classifier(tiny_bundle) as classifier:
        assert classifier.classify(frame).label == "red"
        region = Region(300, 100, 150, 100)
        assert classifier.classify(frame, region=region).label == "green"
        assert [p.label for p in classifier.classify_batch([frame, plain(BLUE, 640, 480)], region=region)] == [
            "green",
            "blue",
        ]
        with pytest.raises(InputError, match="inside the frame of 100x100"):
            classifier.classify(plain(RED, 100, 100), region=region)


def test_long_lists_are_split_to_what_the_backend_takes(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    images = [plain((RED, GREEN, BLUE)[i % 3], 64, 48) for i in range(7)]
    for limit, sizes in ((3, [3, 3, 1]), (None, [7]), (1, [1] * 7), (100, [7])):
        backend = make_backend(limit)
        with Classifier(tiny_bundle, backend=backend, golden_frames=0) as classifier:
            labels = [p.label for p in classifier.classify_batch(images)]
        assert labels == ["red", "green", "blue"] * 2 + ["red"]
        assert [len(batch) for batch in backend.batches] == sizes


def test_results_that_lay_ready_before_they_were_asked_for_have_the_time_when_they_came(
    tiny_bundle: Path, clock: Callable[[], int], make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(1)
    backend.ready_ns = 2_500
    with Classifier(tiny_bundle, backend=backend, clock=clock, golden_frames=0) as classifier:
        assert classifier.submit(plain(RED)).result().trace.inferred_ns == 2_500


def test_without_a_limit_lists_are_split_to_spare_memory(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(None)
    with Classifier(tiny_bundle, backend=backend, golden_frames=0) as classifier:
        predictions = classifier.classify_batch([plain(RED, 8, 8)] * 40)
    assert [len(batch) for batch in backend.batches] == [32, 8]
    assert [p.trace.sequence for p in predictions] == list(range(40))


def test_the_trace_says_when(
    tiny_bundle: Path, clock: Callable[[], int], make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(2)
    with Classifier(tiny_bundle, backend=backend, clock=clock, golden_frames=0) as classifier:
        frame = Frame(plain(RED), sequence=41, captured_ns=-1000)
        trace = classifier.classify(frame).trace
        assert (trace.sequence, trace.captured_ns) == (41, -1000)
        assert (trace.dequeued_ns, trace.preprocessed_ns, trace.inferred_ns, trace.emitted_ns) == (1, 2, 3, None)
        assert trace.device_stage_ns == (("compute", 812_000),)
        plain_trace = classifier.classify(plain(RED)).trace
        assert (plain_trace.sequence, plain_trace.captured_ns, plain_trace.dequeued_ns) == (0, 5, 5)
        traces = [p.trace for p in classifier.classify_batch([frame] * 3)]
    assert [t.dequeued_ns for t in traces] == [9, 9, 9]
    assert [t.preprocessed_ns for t in traces] == [10, 11, 15]
    assert [t.inferred_ns for t in traces] == [12, 12, 16]
    assert [t.postprocess_ns for t in traces] == [1, 1, 1], "each frame's labels by themselves"


def test_crops_are_written_where_the_backend_wants_them(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(2)
    with Classifier(tiny_bundle, backend=backend, golden_frames=0) as classifier:
        classifier.classify(plain(RED))
        classifier.classify_batch([plain(RED)] * 3)
    assert [len(batch) for batch in backend.lent] == [1, 2, 1]
    assert all(batch is lent for (batch, _), lent in zip(backend.submitted, backend.lent, strict=True))


def test_a_submitted_frame_has_the_prediction_of_a_classified_one(
    tiny_bundle: Path, clock: Callable[[], int], make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(1)
    with Classifier(tiny_bundle, backend=backend, clock=clock, golden_frames=0) as classifier:
        assert classifier.slots == backend.slots == 1
        image = plain(GREEN)
        pending = classifier.submit(Frame(image, sequence=7, captured_ns=-3), top_k=2)
        image[:] = 0  # the frame was looked at already
        assert pending.done()
        assert not pending.withdraw()
        prediction = pending.result()
        classifier.submit(plain(RED), hold=True)
        with pytest.raises(InputError, match="top_k: got 0"):
            classifier.submit(plain(RED), top_k=0)
        with pytest.raises(InputError, match="frame: got float64"):
            classifier.submit(np.zeros((4, 4)))  # type: ignore[arg-type]
    assert (prediction.label, len(prediction.labels)) == ("green", 2)
    trace = prediction.trace
    assert (trace.sequence, trace.captured_ns, trace.device_stage_ns) == (7, -3, (("compute", 812_000),))
    assert (trace.dequeued_ns, trace.preprocessed_ns, trace.inferred_ns, trace.emitted_ns) == (1, 2, 3, None)
    assert [hold for _, hold in backend.submitted] == [False, True]


def test_frames_that_are_submitted_together_have_the_predictions_of_classified_ones(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(3)
    with Classifier(tiny_bundle, backend=backend, golden_frames=0) as classifier:
        assert classifier.max_batch == 3
        frames = [Frame(plain(GREEN), sequence=7, captured_ns=1), Frame(plain(RED), sequence=2, captured_ns=3)]
        pending = classifier.submit_batch(frames, top_k=2, hold=True)
        assert pending.done()
        assert not pending.withdraw()
        predictions = pending.result()
        for wrong in ([], [plain(RED)] * 4):
            with pytest.raises(InputError, match="expected 1 to 3; split the batch"):
                classifier.submit_batch(wrong)
    assert [prediction.label for prediction in predictions] == ["green", "red"]
    assert [(p.trace.sequence, p.trace.captured_ns) for p in predictions] == [(7, 1), (2, 3)]
    assert [(len(batch), hold) for batch, hold in backend.submitted] == [(2, True)]


def test_it_says_what_classifies(tiny_bundle: Path) -> None:
    with Classifier(tiny_bundle, threads=1) as classifier:
        described = classifier.describe()
        assert classifier.verify() < 1e-5
        assert classifier.backend.max_batch is None
    assert described["model"] == "tiny"
    assert described["precision"] == "fp32"
    assert described["graph_sha256"] == classifier.bundle.graph_sha256
    assert described["bundle_sha256"] == classifier.bundle.sha256
    assert (described["backend"], described["threads"]) == ("onnxruntime", "1")


def test_an_opened_bundle_does_as_well_as_its_folder(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with Classifier(bundle) as classifier:
        assert classifier.bundle is bundle
    with Classifier(str(tiny_bundle)) as classifier:
        assert classifier.bundle == bundle
    with pytest.raises(BundleError, match="got nothing there"):
        Classifier(tiny_bundle / "none")


@pytest.fixture
def wrong_golden(tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path) -> Path:
    """A bundle whose second golden frame has the probabilities of another: as if the engine were wrong there."""
    probabilities = tiny_golden.probabilities.copy()
    probabilities[1] = probabilities[0]
    golden = GoldenFrames(tiny_golden.images, probabilities)
    graph = tiny_graph_path.read_bytes()
    return write_bundle(tmp_path / "wrong", tiny_facts, graph=graph, golden=golden, tolerance=1e-4).path


def test_a_missed_golden_frame_is_named(wrong_golden: Path, make_backend: Callable[[int | None], Any]) -> None:
    message = (
        r"golden frame 1 of bundle 'tiny': got probability 0\.0000\d\d for 'red', expected 0\.9966\d\d within 0\.0001: "
        "recording does not compute what the bundle was made with; build the engine again"
    )
    backend = make_backend(2)
    with pytest.raises(BackendError, match=message):
        Classifier(wrong_golden, backend=backend, golden_frames=None)
    assert backend.closed == 1
    assert [len(batch) for batch in backend.batches] == [2, 1]
    # By default only the first is looked at.
    with Classifier(wrong_golden) as classifier, pytest.raises(BackendError, match="golden frame 1"):
        classifier.verify()
    with Classifier(wrong_golden, golden_frames=0) as classifier:
        assert classifier.classify(plain(GREEN)).label == "green"


@pytest.mark.parametrize("offset", [0.01, -0.01, float("nan"), float("inf")])
def test_a_wrong_engine_is_found_at_once(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any], offset: float
) -> None:
    backend = make_backend(None)
    backend.offset = offset
    with pytest.raises(BackendError, match="golden frame 0"):
        Classifier(tiny_bundle, backend=backend)
    assert backend.closed == 1


def test_probabilities_that_are_no_numbers_are_no_prediction(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(None)
    backend.offset = float("nan")
    classifier = Classifier(tiny_bundle, backend=backend, golden_frames=0)
    with pytest.raises(BackendError, match="frame 0: got probabilities that are not finite"):
        classifier.classify(plain(RED))


def test_an_engine_of_another_bundle_is_found(
    tiny_bundle: Path, tmp_path: Path, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path
) -> None:
    logits, probabilities = (replace(spec, shape=("N", 4)) for spec in tiny_facts.outputs)
    facts = replace(tiny_facts, labels=tiny_facts.labels[:4], outputs=(logits, probabilities))
    golden = GoldenFrames(tiny_golden.images, np.ascontiguousarray(tiny_golden.probabilities[:, :4]))
    graph = tiny_graph_path.read_bytes()
    bundle = write_bundle(tmp_path / "four", facts, graph=graph, golden=golden, tolerance=0.1)
    with pytest.raises(BackendError, match=r"got .*float32 \(N, 5\), expected .*float32 \(N, 4\).* as in bundle.json"):
        Classifier(bundle)


def test_parameters_that_make_no_sense(tiny_bundle: Path, make_backend: Callable[[int | None], Any]) -> None:
    with pytest.raises(InputError, match="threads: got 0"):
        Classifier(tiny_bundle, threads=0)
    with pytest.raises(InputError, match="threads: got 2 and a backend"):
        Classifier(tiny_bundle, threads=2, backend=make_backend(None))
    with pytest.raises(InputError, match="golden_frames: got -1"):
        Classifier(tiny_bundle, golden_frames=-1)


def test_a_closed_classifier_says_so(tiny_bundle: Path) -> None:
    classifier = Classifier(tiny_bundle)
    classifier.close()
    classifier.close()
    with pytest.raises(BackendError, match="closed"):
        classifier.classify(plain(RED))
