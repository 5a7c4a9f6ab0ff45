"""A small graph with all that calibration meets, images to calibrate it on, and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from googlenet_edge.quantization.calibrate import calibrate
from googlenet_edge.quantization.images import CalibrationImages, ImageOptions, collect_images
from googlenet_edge.quantization.table import CalibrationTable
from googlenet_edge.types import CropRule

SMALL_RULE = CropRule(resize_px=36, crop_px=32)
SMALL_TENSORS = ("input.add", "pool1", "module.concat", "flatten", "logits")


def build_small_graph(*, poison: float | None = None) -> onnx.ModelProto:
    """Return image uint8 (N, 32, 32, 3) -> conv, relu, pool -> two branches, concat -> average, linear, softmax.

    The second branch is dead: its ReLU never opens. ``poison`` is a factor, squared, on what is above 0 for white only.
    """
    random = np.random.default_rng(7)
    constants = {
        "input.multiplier": np.full((1, 3, 1, 1), 2 / 255, np.float32),
        "input.offset": np.full((1, 3, 1, 1), -1, np.float32),
        "conv1.weight": random.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32),
        "conv1.bias": random.normal(0, 0.1, 4).astype(np.float32),
        "a.weight": random.normal(0, 0.4, (5, 4, 1, 1)).astype(np.float32),
        "a.bias": np.zeros(5, np.float32),
        "b.weight": np.zeros((2, 4, 1, 1), np.float32),
        "b.bias": np.full(2, -1, np.float32),
        "fc.weight": random.normal(0, 0.4, (3, 7)).astype(np.float32),
        "fc.bias": np.zeros(3, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["input.cast"], name="input.cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["input.cast"], ["input.transpose"], name="input.transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["input.transpose", "input.multiplier"], ["input.mul"], name="input.mul"),
        helper.make_node("Add", ["input.mul", "input.offset"], ["input.add"], name="input.add"),
        helper.make_node("Conv", ["input.add", "conv1.weight", "conv1.bias"], ["conv1"], name="conv1"),
        helper.make_node("Relu", ["conv1"], ["relu1"], name="relu1"),
        helper.make_node("MaxPool", ["relu1"], ["pool1"], name="pool1", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pool1", "a.weight", "a.bias"], ["a.conv"], name="a.conv"),
        helper.make_node("Relu", ["a.conv"], ["a.relu"], name="a.relu"),
        helper.make_node("Conv", ["pool1", "b.weight", "b.bias"], ["b.conv"], name="b.conv"),
        helper.make_node("Relu", ["b.conv"], ["b.relu"], name="b.relu"),
        helper.make_node("Concat", ["a.relu", "b.relu"], ["module.concat"], name="module.concat", axis=1),
        helper.make_node("GlobalAveragePool", ["module.concat"], ["avgpool"], name="avgpool"),
        helper.make_node("Flatten", ["avgpool"], ["flatten"], name="flatten"),
        helper.make_node("Gemm", ["flatten", "fc.weight", "fc.bias"], ["logits"], name="fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="output.softmax", axis=1),
    ]
    if poison is not None:
        # relu(input - 0.99) is above 0 for white pixels only: times 1e38, twice, it is infinite there.
        constants |= {
            "poison.threshold": np.float32(-0.99).reshape(1),
            "poison.factor": np.float32(poison).reshape(1),
        }
        nodes[4:5] = [
            helper.make_node("Add", ["input.add", "poison.threshold"], ["poison.shifted"], name="poison.shifted"),
            helper.make_node("Relu", ["poison.shifted"], ["poison.relu"], name="poison.relu"),
            helper.make_node("Mul", ["poison.relu", "poison.factor"], ["poison.once"], name="poison.once"),
            helper.make_node("Mul", ["poison.once", "poison.factor"], ["poison.twice"], name="poison.twice"),
            helper.make_node("Add", ["input.add", "poison.twice"], ["poisoned"], name="poisoned"),
            helper.make_node("Conv", ["poisoned", "conv1.weight", "conv1.bias"], ["conv1"], name="conv1"),
        ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, 32, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("logits", "probabilities")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="session")
def small_graph() -> onnx.ModelProto:
    """The small graph; see :func:`build_small_graph`."""
    return build_small_graph()


@pytest.fixture(scope="session")
def poisoned_graph() -> onnx.ModelProto:
    """The small graph, in which white pixels become infinite before the first convolution."""
    return build_small_graph(poison=1e38)


@pytest.fixture(scope="session")
def small_tensors() -> tuple[str, ...]:
    """Tensors from which all ranges of the small graph follow."""
    return SMALL_TENSORS


@pytest.fixture(scope="session")
def small_rule() -> CropRule:
    """The crop of the small graph."""
    return SMALL_RULE


@pytest.fixture
def make_images() -> Callable[..., Path]:
    """Writes a folder of colourful, all different PNG images of 40x40."""

    def make(folder: Path, count: int = 6, *, seed: int = 0) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(seed)
        for index in range(count):
            coarse = random.integers(0, 250, (10, 10, 3)).astype(np.uint8)
            image = cv2.resize(coarse, (40, 40), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"image{index}.png"), np.minimum(image, 250))
        return folder

    return make


@pytest.fixture
def small_images(tmp_path: Path, make_images: Callable[..., Path]) -> Iterator[CalibrationImages]:
    """Ten crops for the small graph."""
    folder = make_images(tmp_path / "calibration images", 10)
    with collect_images(folder, SMALL_RULE, ImageOptions(count=10)) as images:
        yield images


@pytest.fixture
def small_table(small_graph: onnx.ModelProto, small_images: CalibrationImages) -> CalibrationTable:
    """The table of the small graph over the ten crops."""
    return calibrate(small_graph, small_images, SMALL_TENSORS).table
