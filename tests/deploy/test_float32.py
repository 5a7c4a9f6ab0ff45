"""The host's path on small and on real networks, with real files: what a bundle holds in the end, and what stops it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from googlenet_edge.bundle import Bundle
from googlenet_edge.deploy import DeployConfig, deploy
from googlenet_edge.errors import (
    BundleError,
    CheckpointError,
    GraphError,
    LabelsError,
    OutputError,
    SourceError,
    UsageError,
)
from googlenet_edge.graph.export import export_onnx
from googlenet_edge.model.checkpoint import build_network, load_checkpoint, save_checkpoint
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.types import Normalization

NORMALIZATION = Normalization((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
SMALL = DeployConfig(crop_px=32, frames="demo:?size=64x48")


@pytest.fixture(scope="module")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small Keras network with batch-norm statistics that matter, as safetensors with labels."""
    torch.manual_seed(5)
    network = build_network("keras-inception", 4)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 32, 32))
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(
        network.eval(), path, form="keras-inception", labels=["ash", "beech", "cedar", "elm"],
        normalization=NORMALIZATION, dtype=torch.float32,
    )  # fmt: skip
    return path


def test_the_bundle_says_what_it_is_and_where_it_comes_from(small_checkpoint: Path, tmp_path: Path) -> None:
    told: list[str] = []
    deployment = deploy(small_checkpoint, tmp_path / "bundle", SMALL, progress=told.append)
    manifest = Bundle.open(tmp_path / "bundle").manifest
    sha256 = hashlib.sha256(small_checkpoint.read_bytes()).hexdigest()
    assert (manifest.name, manifest.form, manifest.precision) == ("small", "keras-inception", "fp32")
    assert manifest.labels == ("ash", "beech", "cedar", "elm")
    assert manifest.normalization == NORMALIZATION
    assert (manifest.crop.crop_px, manifest.crop.resize_px) == (32, 37)
    assert (manifest.lineage.checkpoint.name, manifest.lineage.checkpoint.sha256) == ("small.safetensors", sha256)
    assert [step.name for step in manifest.steps] == ["export", "simplify"]
    assert manifest.steps[0].parent == manifest.lineage.checkpoint
    assert manifest.steps[1].parent == manifest.steps[0].artefact
    assert manifest.steps[1].artefact.sha256 == deployment.bundle.graph_sha256
    for step in manifest.steps:
        assert [agreement.batch for agreement in step.agreements] == [1, 8]
        assert all(a.frames == 20 and a.sqnr_db > 80 and a.top1_agreement == 1 for a in step.agreements)
    assert {"torch", "onnx", "onnxsim", "onnxruntime", "googlenet_edge"} <= set(manifest.tools)
    assert sum(row.macs for row in manifest.nodes) > 100_000
    assert manifest.golden.count == 4
    assert len(told) >= 4


def test_the_bundle_gives_the_results_of_the_checkpoint(small_checkpoint: Path, tmp_path: Path) -> None:
    """End to end against an independent computation: torch, with the pixels normalised by hand."""
    deploy(small_checkpoint, tmp_path / "bundle", SMALL)
    network = load_checkpoint(small_checkpoint).network
    crop = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    rgb = (crop[:, :, ::-1] / 255 - NORMALIZATION.mean) / NORMALIZATION.std
    with torch.no_grad():
        logits = network(torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float32)))
    expected = torch.softmax(logits, 1)[0]
    with Classifier(tmp_path / "bundle") as classifier:
        _, probabilities = classifier.backend.infer(crop[None])
    assert probabilities[0] == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("form", ["torchvision", "paper", "factorized", "factorized-asymmetric"])
@pytest.mark.slow
def test_every_form_goes_the_whole_way(form: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    checkpoint = tmp_path / "weights.pth"
    torch.save({"state_dict": build_network(form, 5, auxiliary=form != "paper").state_dict()}, checkpoint)
    config = DeployConfig(crop_px=64, frames="demo:?size=160x120", normalization=NORMALIZATION)
    deployment = deploy(checkpoint, tmp_path / "bundle", config)
    manifest = deployment.bundle.manifest
    assert manifest.form == form
    assert manifest.labels == tuple(f"class {index}" for index in range(5))
    assert {row.row for row in manifest.nodes} >= {"input", "conv1", "inception4d", "fc", "output"}
    assert not any("aux" in row.node for row in manifest.nodes)


# The exporter's own use of things that it calls deprecated.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_onnx_classifier_made_elsewhere(small_checkpoint: Path, tmp_path: Path) -> None:
    """A float NCHW graph without a head: the same network, exported plainly, gives the same bundle results."""
    network = load_checkpoint(small_checkpoint).network
    foreign = tmp_path / "foreign.onnx"
    program = torch.onnx.export(network, (torch.zeros(1, 3, 32, 32),), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(foreign))
    config = DeployConfig(normalization=NORMALIZATION, frames=SMALL.frames)
    adapted = deploy(foreign, tmp_path / "adapted", config).bundle
    own = deploy(small_checkpoint, tmp_path / "own", SMALL).bundle
    assert adapted.manifest.form == "onnx"
    assert [step.name for step in adapted.manifest.steps] == ["adapt", "simplify"]
    image = np.kron(np.random.default_rng(2).integers(0, 256, (9, 12, 3), np.uint8), np.ones((9, 9, 1), np.uint8))
    with Classifier(own) as a, Classifier(adapted) as b:
        assert a.classify(image).probabilities == pytest.approx(b.classify(image).probabilities, abs=1e-5)


def test_accuracy_goes_into_the_bundle(small_checkpoint: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for label in ("ash", "elm"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(tmp_path / "set" / label / f"{index}.png"), rng.integers(0, 256, (40, 50, 3), np.uint8))
    config = DeployConfig(crop_px=32, frames=SMALL.frames, evaluate_on=str(tmp_path / "set"))
    deployment = deploy(small_checkpoint, tmp_path / "bundle", config)
    (accuracy,) = deployment.bundle.manifest.accuracy
    assert accuracy == deployment.accuracy
    assert accuracy.count == 6
    assert accuracy.top5_percent == 100  # four classes
    assert (accuracy.top1_percent * 6 / 100) == pytest.approx(round(accuracy.top1_percent * 6 / 100))


def test_a_labels_file_wins_and_must_fit(small_checkpoint: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\nthree\nfour\n")
    config = DeployConfig(crop_px=32, frames=SMALL.frames, labels=labels)
    assert deploy(small_checkpoint, tmp_path / "bundle", config).bundle.labels == ("one", "two", "three", "four")
    labels.write_text("one\ntwo\n")
    with pytest.raises(LabelsError, match="4"):
        deploy(small_checkpoint, tmp_path / "other", config)
    assert not (tmp_path / "other").exists()


def test_a_second_run_needs_overwrite(small_checkpoint: Path, tmp_path: Path) -> None:
    first = deploy(small_checkpoint, tmp_path / "bundle", SMALL).bundle
    with pytest.raises(BundleError, match="--overwrite"):
        deploy(small_checkpoint, tmp_path / "bundle", SMALL)
    assert Bundle.open(tmp_path / "bundle").manifest == first.manifest
    again = DeployConfig(crop_px=32, frames=SMALL.frames, overwrite=True, name="again")
    assert deploy(small_checkpoint, tmp_path / "bundle", again).bundle.name == "again"
    # The same checkpoint gives the same graph, byte for byte.
    assert Bundle.open(tmp_path / "bundle").graph_sha256 == first.graph_sha256


def test_what_cannot_be_deployed_says_why_and_leaves_nothing(small_checkpoint: Path, tmp_path: Path) -> None:
    onnx_file = tmp_path / "broken.onnx"
    onnx_file.write_bytes(b"not a graph")
    grey = tmp_path / "grey.safetensors"
    save_checkpoint(
        build_network("keras-inception", 4, channels=1), grey, form="keras-inception", labels=None,
        normalization=NORMALIZATION, dtype=torch.float32,
    )  # fmt: skip
    output = tmp_path / "bundle"
    with pytest.raises(UsageError, match="--normalization"):
        deploy(onnx_file, output)
    with pytest.raises(GraphError, match=r"broken\.onnx"):
        deploy(onnx_file, output, DeployConfig(normalization=NORMALIZATION))
    with pytest.raises(UsageError, match="expected none"):
        deploy(onnx_file, output, DeployConfig(normalization=NORMALIZATION, form="paper"))
    with pytest.raises(CheckpointError, match="expected 3: cameras"):
        deploy(grey, output, SMALL)
    with pytest.raises(CheckpointError, match="expected 7"):
        deploy(small_checkpoint, output, DeployConfig(crop_px=32, class_count=7))
    with pytest.raises(SourceError, match=r"nowhere\.mp4"):
        deploy(small_checkpoint, output, DeployConfig(crop_px=32, frames=str(tmp_path / "nowhere.mp4")))
    with pytest.raises(UsageError, match="resize >= crop"):
        DeployConfig(crop_px=224, resize_px=200)
    with pytest.raises(CheckpointError):
        deploy(tmp_path / "missing.pth", output, SMALL)
    assert not output.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_graph_of_another_size_than_asked_for(small_checkpoint: Path, tmp_path: Path) -> None:
    graph = tmp_path / "graph.onnx"
    export_onnx(load_checkpoint(small_checkpoint).network, graph, normalization=NORMALIZATION, input_px=32)
    model = onnx.load(graph)
    assert model.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 32
    with pytest.raises((UsageError, GraphError)):
        deploy(graph, tmp_path / "bundle", DeployConfig(normalization=NORMALIZATION, crop_px=48))


def test_the_output_is_looked_at_before_the_work(small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    told: list[str] = []
    with pytest.raises(BundleError, match=r"thesis\.txt"):
        deploy(small_checkpoint, tmp_path / "taken", SMALL, progress=told.append)
    with pytest.raises(OutputError):
        deploy(small_checkpoint, tmp_path / "taken" / "thesis.txt" / "bundle", SMALL, progress=told.append)
    assert not told
    deploy(small_checkpoint, tmp_path / "new" / "deeper" / "bundle", SMALL)
    assert Bundle.open(tmp_path / "new" / "deeper" / "bundle").name == "small"
