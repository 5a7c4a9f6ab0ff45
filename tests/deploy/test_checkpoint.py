"""INT8 from a checkpoint, as most come: one network through the whole path, and what is found before the work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from googlenet_edge.deploy import DeployConfig, PrecisionConfig, deploy
from googlenet_edge.errors import DatasetError, OutputError, UsageError
from googlenet_edge.model.checkpoint import build_network
from googlenet_edge.model.save import save_checkpoint
from googlenet_edge.runtime.classifier import Classifier
from googlenet_edge.types import Normalization


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    network = build_network("keras-inception", 4)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(8, 3, 32, 32))
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(
        network.eval(), path, form="keras-inception", labels=["dark", "green", "red", "yellow"],
        normalization=Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), dtype=torch.float32,
    )  # fmt: skip
    return path


@pytest.fixture
def config(sets: dict[str, Path]) -> DeployConfig:
    options = PrecisionConfig(precision="int8", images=str(sets["images"]), accuracy_budget=100)
    return DeployConfig(crop_px=32, frames=str(sets["images"]), evaluate_on=str(sets["test"]), precision=options)


def test_int8_of_a_checkpoint(checkpoint: Path, config: DeployConfig, tmp_path: Path) -> None:
    deployment = deploy(checkpoint, tmp_path / "b", config)
    manifest = deployment.bundle.manifest
    assert [step.name for step in manifest.steps] == ["export", "simplify", "quantize", "half"]
    assert manifest.steps[2].agreements[0].sqnr_db > 15
    assert manifest.comparison is not None
    assert manifest.comparison.rows[2].sqnr_db > 15
    # Every convolution keeps its row of Table 1 and its work, whatever stands around it.
    assert sum(row.macs for row in manifest.nodes) > 100_000
    assert {row.operator for row in manifest.nodes} >= {"QuantizeLinear", "DequantizeLinear", "Conv"}
    with Classifier(tmp_path / "b", golden_frames=None) as classifier:
        assert classifier.verify() <= manifest.golden.tolerance


def test_what_is_wrong_is_found_before_the_export(
    checkpoint: Path, config: DeployConfig, sets: dict[str, Path], tmp_path: Path
) -> None:
    told: list[str] = []
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.quantization.json").mkdir()
    empty, options = str(tmp_path / "empty"), config.precision
    for output, bad, error in (
        ("b", replace(config, precision=replace(options, images=empty)), DatasetError),
        ("b", replace(config, evaluate_on=empty), DatasetError),
        ("b", replace(config, precision=replace(options, select_on=empty)), DatasetError),
        ("b", replace(config, precision=replace(options, select_on=str(sets["test"]))), UsageError),
        ("b", replace(config, precision=replace(options, images=str(sets["test"]))), UsageError),
        ("taken", config, OutputError),
    ):
        with pytest.raises(error):
            deploy(checkpoint, tmp_path / output, bad, progress=told.append)
    assert not [line for line in told if not line.startswith("loading")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "taken.quantization.json"]
