"""Fixtures for all tests: a tiny bundle that the device side can open without onnx or torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from googlenet_edge.bundle import Accuracy, Artefact, BundleFacts, GoldenFrames, Lineage, Step
from googlenet_edge.bundle.writer import write_bundle
from googlenet_edge.types import Agreement, CropRule, NodeRow, Normalization, TensorSpec

DATA = Path(__file__).parent / "data"

# Mean colours (BGR) that the tiny classifier knows, in the order of its labels, and what it says of a plain frame.
TINY_COLORS = ((0, 0, 200), (0, 200, 0), (200, 0, 0), (230, 230, 230), (20, 20, 20))
TINY_PROBABILITIES = (
    (0.9966195821762085, 1.5346033421792526e-07, 1.5346033421792526e-07, 2.0541861545098072e-09, 0.0033801887184381485),
    (1.5346033421792526e-07, 0.9966195821762085, 1.5346033421792526e-07, 2.0541861545098072e-09, 0.0033801887184381485),
    (1.5346030579621583e-07, 1.5346030579621583e-07, 0.996619462966919, 2.0541859324652023e-09, 0.003380188485607505),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here, not in the folder of the tests that use it: pytest knows options of the outermost folder alone."""
    parser.addoption(
        "--soak-minutes",
        type=float,
        metavar="N",
        help="run the soak test of tests/streams, for N minutes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs: the tests see the same machine everywhere. ``make test-gpu`` (``-m gpu``) leaves them in sight."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # How long an example takes depends on what else the machine does, and says nothing about what it tests.
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def soak_minutes(request: pytest.FixtureRequest) -> float | None:
    """How long the soak test shall take; None where it was not asked for."""
    minutes: float | None = request.config.getoption("--soak-minutes")
    return minutes


@pytest.fixture(scope="session")
def tiny_graph_path() -> Path:
    """The ONNX file of a classifier that names the colour of the frame: red, green, blue, white, black."""
    return DATA / "tiny_classifier.onnx"


@pytest.fixture(scope="session")
def tiny_facts() -> BundleFacts:
    """What the tiny bundle's manifest states."""
    labels = tuple((DATA / "tiny_classifier.txt").read_text(encoding="utf-8").split())
    checkpoint, graph = Artefact("tiny.safetensors", "1" * 64), Artefact("tiny.onnx", "2" * 64)
    agreements = (Agreement(batch=1, frames=8, max_abs_error=0.0, sqnr_db=float("inf"), top1_agreement=1.0),)
    return BundleFacts(
        name="tiny",
        form="onnx",
        precision="fp32",
        crop=CropRule(),
        input=TensorSpec("image", ("N", 224, 224, 3), "uint8"),
        outputs=(TensorSpec("logits", ("N", 5), "float32"), TensorSpec("probabilities", ("N", 5), "float32")),
        normalization=Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bgr"),
        lineage=Lineage(checkpoint),
        accuracy=(Accuracy("plain colours", 5, 100.0, 100.0),),
        steps=(Step("export", checkpoint, graph, agreements),),
        tools={"onnx": "1.23"},
        labels=labels,
        nodes=(NodeRow("conv1/Conv", "Conv", "conv1", 3 * 3 * 3 * 3 * 111 * 111), NodeRow("fc/Gemm", "Gemm", "fc", 15)),
    )


@pytest.fixture(scope="session")
def tiny_golden() -> GoldenFrames:
    """Three golden frames of the tiny classifier: plain red, green and blue."""
    images = np.empty((3, 224, 224, 3), dtype=np.uint8)
    for image, color in zip(images, TINY_COLORS, strict=False):
        image[:] = color
    return GoldenFrames(images, np.array(TINY_PROBABILITIES, dtype=np.float32))


@pytest.fixture(scope="session")
def _tiny_bundle_once(
    tmp_path_factory: pytest.TempPathFactory, tiny_facts: BundleFacts, tiny_golden: GoldenFrames, tiny_graph_path: Path
) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    write_bundle(folder, tiny_facts, graph=tiny_graph_path.read_bytes(), golden=tiny_golden, tolerance=1e-4)
    return folder


@pytest.fixture
def tiny_bundle(tmp_path: Path, _tiny_bundle_once: Path) -> Path:
    """The folder of a bundle of one's own around the tiny classifier; a test may alter it."""
    return Path(shutil.copytree(_tiny_bundle_once, tmp_path / "tiny_bundle"))
