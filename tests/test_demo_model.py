"""The checkpoint that comes with the package, the whole way: deployed, measured, and run on the moving scene."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.demo import checkpoint_path
from googlenet_edge.demo.dataset import LABELS, scenes
from googlenet_edge.demo.scene import MovingCamera
from googlenet_edge.deploy import DEMO_CHECKPOINT, DeployConfig, deploy
from googlenet_edge.evaluation.dataset import open_dataset
from googlenet_edge.evaluation.evaluate import evaluate
from googlenet_edge.model.checkpoint import load_checkpoint
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.runtime.preprocess import preprocess

pytestmark = pytest.mark.slow

CARD = checkpoint_path().parent / "MODEL_CARD.md"


@pytest.fixture(scope="module")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("demo") / "bundle"
    return deploy(DEMO_CHECKPOINT, folder, DeployConfig(name="demo")).bundle


def test_the_checkpoint_is_the_full_width_torchvision_form() -> None:
    checkpoint = load_checkpoint(checkpoint_path())
    assert checkpoint.form == "torchvision"
    assert checkpoint.labels == LABELS
    assert sum(p.numel() for p in checkpoint.network.parameters()) == 6_624_904 - (1000 - len(LABELS)) * 1025
    assert checkpoint.size_bytes < 13e6
    assert {"schedule", "seed", "trained_with"} <= set(checkpoint.metadata)


def test_the_accuracy_is_that_of_the_model_card(demo_bundle: Bundle) -> None:
    """On the first 500 of the card's 10,000 scenes: within what chance allows (99.9 %: 3.3 standard errors)."""
    stated = float(re.findall(r"top-1 \| \*\*([\d.]+) %", CARD.read_text())[0])
    assert 95 <= stated <= 99.5
    with Classifier(demo_bundle) as classifier:
        report = evaluate(classifier, open_dataset("demo:test?count=500", demo_bundle.labels))
    error = 100 * (stated / 100 * (1 - stated / 100) / 500) ** 0.5
    assert report.count == 500
    assert report.top1.percent == pytest.approx(stated, abs=3.3 * error)


def test_the_moving_scene_is_labelled_rightly(demo_bundle: Bundle) -> None:
    with Classifier(demo_bundle) as classifier, MovingCamera(size_px=(640, 360)) as camera:
        frames = list(itertools.islice(camera, 0, 300, 10))
        right = [classifier.classify(frame).class_id == frame.truth for frame in frames]
    assert sum(right) >= 28


def test_every_node_belongs_to_a_row_of_table_1(demo_bundle: Bundle) -> None:
    nodes = demo_bundle.manifest.nodes
    rows = {node.row for node in nodes}
    assert {"conv1", "conv2", "conv3", "inception3a", "inception5b", "fc"} <= rows
    # 1.50 GMAC with 1000 classes; the linear layer is smaller here.
    assert sum(node.macs for node in nodes) == pytest.approx(1.498e9 - (1000 - len(LABELS)) * 1024, rel=1e-3)


def test_the_bundle_opens_where_it_was_moved_to(demo_bundle: Bundle, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    demo_bundle.path.rename(moved)
    try:
        with Classifier(moved, golden_frames=None) as classifier:
            assert classifier.verify() < 1e-4
    finally:
        moved.rename(demo_bundle.path)


def test_preprocessing_gives_the_labels_of_the_training_side(demo_bundle: Bundle) -> None:
    """Against PIL's antialiased resize to 256 and centre crop of 224, on frames as a camera delivers them."""
    from PIL import Image

    ours, theirs = [], []
    for frame, _ in scenes("test", 200, size_px=(1280, 720), start=2_000):
        ours.append(preprocess(frame, demo_bundle.crop))
        resized = Image.fromarray(frame).resize((455, 256), Image.Resampling.BILINEAR)  # int(256 * 1280 / 720)
        theirs.append(np.asarray(resized.crop((116, 16, 340, 240))))
    with Classifier(demo_bundle) as classifier:
        a, b = (
            np.concatenate([classifier.backend.infer(np.stack(crops[i : i + 8]))[0] for i in range(0, 200, 8)])
            for crops in (ours, theirs)
        )
    assert (a.argmax(axis=1) == b.argmax(axis=1)).mean() >= 0.995
