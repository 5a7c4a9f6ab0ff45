"""Engines on a real GPU: every precision builds, agrees with its graph, and is not built twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.types import Frame

pytestmark = pytest.mark.gpu

OpenClassifier = Callable[[TrtConfig], Classifier]


def test_the_engine_is_within_the_bundles_tolerance_on_all_golden_frames(
    bundle: Bundle, open_classifier: OpenClassifier
) -> None:
    assert open_classifier(TrtConfig()).verify() <= bundle.manifest.golden.tolerance


def test_the_engine_agrees_with_onnx_runtime(
    bundle: Bundle, open_classifier: OpenClassifier, frames: list[Frame]
) -> None:
    classes = len(bundle.labels)
    # As the graph is written, operator by operator: ONNX Runtime's own fusions are not what TensorRT computes.
    with Classifier(bundle, backend=OrtBackend(bundle.graph_path, OrtConfig(optimization="off"))) as reference:
        expected = reference.classify_batch(frames, top_k=classes)
    got = open_classifier(TrtConfig()).classify_batch(frames, top_k=classes)
    same = [mine.class_id == theirs.class_id for mine, theirs in zip(got, expected, strict=True)]
    # Other kernels round otherwise, so a frame that two classes share almost evenly may go either way.
    clear = [theirs.probabilities[0] - theirs.probabilities[1] > 0.1 for theirs in expected]
    assert all(one for one, sure in zip(same, clear, strict=True) if sure)
    assert np.mean(same) >= 0.98


def test_a_second_opening_builds_nothing(bundle: Bundle, options: BackendOptions) -> None:
    open_backend(bundle, options).backend.close()
    assert options.places.cache is not None
    before = {path: path.stat().st_mtime_ns for path in options.places.cache.rglob("*.plan")}
    open_backend(bundle, options).backend.close()
    after = {path: path.stat().st_mtime_ns for path in options.places.cache.rglob("*.plan")}
    assert before
    assert after == before


@pytest.mark.parametrize("level", [0, 5])
def test_every_optimization_level_builds_a_right_engine(bundle: Bundle, options: BackendOptions, level: int) -> None:
    # Opening one checks all golden frames.
    wanted = BuildOptions(optimization_level=level, opt_batch=4, max_batch=4)
    with open_backend(bundle, replace(options, build=wanted)).backend as backend:
        assert backend.max_batch == 4
