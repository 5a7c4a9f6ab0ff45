"""A small network that tells red and green apart by hand-set weights, images for it, and how it can be ruined.

The four classes are dark, green, red and yellow: is there much red, is there much green? Blue is noise. Channel A of
the first convolution is red, channel B is green times a factor; the second convolution takes the factor back. With a
factor of 1 INT8 serves both. With a large one no single scale of the tensor between them does: either A has no level
left, or B is clipped. It is a clip and not a ReLU that stands between them, so that the factor cannot be equalized
away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from googlenet_edge.deploy import DeployConfig, PrecisionConfig
from googlenet_edge.types import Normalization

LABELS = ("dark", "green", "red", "yellow")
PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "rgb")
RUIN = 4000.0
"""A factor with which the second convolution is ruined in INT8, and that FP16 can hold."""
OVERFLOW = 1e5
"""A factor with which channel B passes 65504 where there is much green."""


def build_colors(factor: float = 1.0, *, clip: bool = True) -> onnx.ModelProto:
    """Return float32 (N, 3, 32, 32), RGB of 0 to 1 -> logits of the four classes; without the clip, with a ReLU."""
    smooth = np.full((3, 3), 1 / 9, np.float32)
    first = np.zeros((3, 3, 3, 3), np.float32)
    first[0, 0], first[1, 1], first[2, 2] = smooth, smooth * factor, smooth
    second = np.zeros((2, 3, 1, 1), np.float32)
    second[0, 0], second[1, 1] = 1, 1 / factor
    third = np.zeros((4, 2, 1, 1), np.float32)
    third[0, 0], third[1, 0], third[2, 1], third[3, 1] = 1, -1, 1, -1
    # Class 2 i + j: red above the middle if i, green above the middle if j.
    last = np.array([[-1, 1, -1, 1], [-1, 1, 1, -1], [1, -1, -1, 1], [1, -1, 1, -1]], np.float32) * 10
    constants = {
        "conv1.weight": first,
        "conv1.bias": np.zeros(3, np.float32),
        "clip.low": np.float32(0),
        "clip.high": np.float32(1.5 * max(factor, 1)),
        "conv2.weight": second,
        "conv2.bias": np.zeros(2, np.float32),
        "conv3.weight": third,
        "conv3.bias": np.array([-0.5, 0.5, -0.5, 0.5], np.float32),
        "fc.weight": last,
        "fc.bias": np.zeros(4, np.float32),
    }
    make = helper.make_node
    nodes = [
        make("Conv", ["input", "conv1.weight", "conv1.bias"], ["conv1.out"], name="conv1.conv", pads=[1] * 4),
        make("Clip", ["conv1.out", "clip.low", "clip.high"], ["conv1.clip"], name="conv1.clip"),
        make("Conv", ["conv1.clip", "conv2.weight", "conv2.bias"], ["conv2.out"], name="conv2.conv"),
        make("Relu", ["conv2.out"], ["conv2.relu"], name="conv2.relu"),
        make("Conv", ["conv2.relu", "conv3.weight", "conv3.bias"], ["conv3.out"], name="conv3.conv"),
        make("Relu", ["conv3.out"], ["conv3.relu"], name="conv3.relu"),
        make("GlobalAveragePool", ["conv3.relu"], ["avgpool.out"], name="avgpool.pool"),
        make("Flatten", ["avgpool.out"], ["flat"], name="avgpool.flatten"),
        make("Gemm", ["flat", "fc.weight", "fc.bias"], ["scores"], name="fc.gemm", transB=1),
    ]
    if not clip:
        nodes[1] = make("Relu", ["conv1.out"], ["conv1.clip"], name="conv1.clip")
        constants = {name: value for name, value in constants.items() if not name.startswith("clip")}
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def color_image(truth: int, random: np.random.Generator, margin: float = 0.2) -> np.ndarray:
    """Return one image, uint8 (40, 48, 3) BGR, ``margin`` from the middle in red and in green."""
    red, green = 0.5 + margin * (2 * (truth // 2) - 1), 0.5 + margin * (2 * (truth % 2) - 1)
    mean = np.array([random.uniform(0.2, 0.8), green, red])
    return np.asarray(np.clip(255 * (mean + random.normal(0, 0.08, (40, 48, 3))), 0, 255), np.uint8)


def write_set(root: Path, per_class: int, seed: int, margin: float = 0.2) -> Path:
    """Write a folder per class."""
    random = np.random.default_rng(seed)
    for truth, label in enumerate(LABELS):
        (root / label).mkdir(parents=True)
        for index in range(per_class):
            assert cv2.imwrite(str(root / label / f"{index}.png"), color_image(truth, random, margin))
    return root


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders: calibration images, selection set, test set; a labels file."""
    root = tmp_path_factory.mktemp("sets")
    for seed, (name, per_class) in enumerate({"images": 6, "selection": 6, "test": 10}.items()):
        write_set(root / name, per_class, seed)
    (root / "labels.txt").write_text("\n".join(LABELS))
    return {name: root / name for name in ("images", "selection", "test", "labels.txt")}


@pytest.fixture(scope="session")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Writes the network with a factor, as an ONNX file."""
    root = tmp_path_factory.mktemp("colors")

    def write(factor: float = 1.0) -> Path:
        path = root / f"colors-{factor:g}.onnx"
        if not path.exists():
            onnx.save(build_colors(factor, clip=factor != OVERFLOW), path)
        return path

    return write


@pytest.fixture
def config(sets: dict[str, Path]) -> Callable[..., DeployConfig]:
    """Makes a configuration of the network; what is named is for PrecisionConfig, but ``test`` and ``overwrite``."""

    def make(precision: str, *, test: bool = True, overwrite: bool = False, **options: object) -> DeployConfig:
        if precision == "int8":
            options.setdefault("images", str(sets["images"]))
        return DeployConfig(
            labels=sets["labels.txt"],
            normalization=PLAIN,
            frames=str(sets["images"]),
            evaluate_on=str(sets["test"]) if test else None,
            precision=PrecisionConfig(precision=precision, **options),  # type: ignore[arg-type]
            overwrite=overwrite,
        )

    return make
