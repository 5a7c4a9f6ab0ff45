"""The whole classifier on the software driver: the same labels as ONNX Runtime, whatever way the engine is run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.demo.dataset import scenes
from googlenet_edge.deploy import DEMO_CHECKPOINT, DeployConfig, deploy
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.trt_backend import TrtConfig
from googlenet_edge.types import ImageArray, Prediction
from tests.softcuda import control
from tests.softcuda.engines import fresh_standin, open_plan, plan_of

FRAMES = 200
MOST = 4

WAYS = {
    f"{memory}, {graphs}, {when}": (
        TrtConfig(
            timeout_s=60.0,
            zero_copy="on" if memory == "zero copy" else "off",
            cuda_graph="auto" if graphs == "graphs" else "off",
        ),
        int(when == "deferred"),
    )
    for memory in ("copies", "zero copy")
    for graphs in ("graphs", "no graphs")
    for when in ("at once", "deferred")
}


@pytest.fixture(params=WAYS)
def config(request: pytest.FixtureRequest) -> TrtConfig:
    """Each way to run an engine, at once and deferred."""
    config, deferred = WAYS[request.param]
    control.set_to(control.Setting.DEFERRED, deferred)
    return config


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    with fresh_standin():
        yield


@pytest.fixture(scope="module")
def images() -> tuple[ImageArray, ...]:
    """Frames of different sizes, each mostly of one colour, with noise."""
    rng = np.random.default_rng(7)
    made = []
    for index in range(FRAMES):
        height, width = (240, 320) if index % 3 else (300, 260)
        image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        image += rng.integers(0, 196, 3, dtype=np.uint8)
        made.append(image)
    return tuple(made)


@pytest.fixture(scope="module")
def expected(tiny_graph_path: Path, _tiny_bundle_once: Path, images: tuple[ImageArray, ...]) -> list[Prediction]:
    with Classifier(_tiny_bundle_once) as classifier:
        predictions = classifier.classify_batch(images)
    assert len({prediction.label for prediction in predictions}) >= 4
    return predictions


@pytest.fixture(scope="module")
def plan(tiny_graph_path: Path) -> bytes:
    return plan_of(tiny_graph_path.read_bytes(), BuildOptions(max_batch=MOST))


@pytest.fixture
def classifier(_tiny_bundle_once: Path, plan: bytes, config: TrtConfig) -> Iterator[Classifier]:
    with Classifier(_tiny_bundle_once, backend=open_plan(plan, config)) as classifier:
        yield classifier


def assert_same(got: Sequence[Prediction], expected: Sequence[Prediction]) -> None:
    assert [prediction.labels for prediction in got] == [prediction.labels for prediction in expected]
    np.testing.assert_allclose(
        [prediction.probabilities for prediction in got],
        [prediction.probabilities for prediction in expected],
        atol=1e-5,
    )


def test_one_frame_at_a_time(
    classifier: Classifier, images: tuple[ImageArray, ...], expected: list[Prediction]
) -> None:
    assert_same([classifier.classify(image) for image in images], expected)


def test_batches_of_mixed_sizes(
    classifier: Classifier, images: tuple[ImageArray, ...], expected: list[Prediction]
) -> None:
    rng, got = np.random.default_rng(3), list[Prediction]()
    while len(got) < FRAMES:
        got += classifier.classify_batch(images[len(got) : len(got) + int(rng.integers(1, 2 * MOST + 2))])
    assert_same(got, expected)


def test_the_next_frame_is_prepared_while_one_is_computed(
    classifier: Classifier, images: tuple[ImageArray, ...], expected: list[Prediction]
) -> None:
    got, under_way = [], [classifier.submit(images[0])]
    for image in images[1:]:
        under_way.append(classifier.submit(image))
        got.append(under_way.pop(0).result())
    assert_same([*got, under_way[0].result()], expected)


def test_two_threads_that_call_get_each_their_own_results(
    classifier: Classifier, images: tuple[ImageArray, ...], expected: list[Prediction]
) -> None:
    got: list[list[Prediction]] = [[], []]
    failures: list[BaseException] = []

    def call(which: int) -> None:
        try:
            mine = images[which::2]
            while len(got[which]) < len(mine):
                start = len(got[which])
                got[which] += classifier.classify_batch(mine[start : start + 1 + start % (MOST + 1)])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=call, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    for which in (0, 1):
        assert_same(got[which], expected[which::2])


def test_the_trace_has_the_times_of_the_device(classifier: Classifier, images: tuple[ImageArray, ...]) -> None:
    stages = dict(classifier.classify(images[0]).trace.device_stage_ns)
    zero_copy = classifier.describe()["memory"].startswith("mapped")
    assert set(stages) == ({"compute"} if zero_copy else {"h2d", "compute", "d2h"})
    assert all(duration_ns >= 0 for duration_ns in stages.values())
    assert stages["compute"] > 0


@pytest.mark.slow
def test_googlenet_gives_the_labels_of_onnx_runtime_on_200_scenes(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("demo") / "bundle"
    bundle: Bundle = deploy(DEMO_CHECKPOINT, folder, DeployConfig(name="demo")).bundle
    frames = [frame for frame, _ in scenes("test", FRAMES, start=3_000)]
    with Classifier(bundle) as reference:
        expected = reference.classify_batch(frames)
    control.set_to(control.Setting.DEFERRED, 1)
    backend = open_plan(plan_of(bundle.graph_path.read_bytes(), BuildOptions(max_batch=8)))
    with Classifier(bundle, backend=backend, golden_frames=None) as classifier:
        got, step = list[Prediction](), 0
        while len(got) < FRAMES:
            step = step % 8 + 1
            got += classifier.classify_batch(frames[len(got) : len(got) + step])
    assert [prediction.label for prediction in got] == [prediction.label for prediction in expected]
    assert len({prediction.label for prediction in got}) > 10
