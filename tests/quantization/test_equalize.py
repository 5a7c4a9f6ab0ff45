"""Equalization: the same network, with channels whose ranges are alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from googlenet_edge.errors import InputError
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.quantization.calibrate import calibrate
from googlenet_edge.quantization.equalize import equalize
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.placement import scale_groups

RANDOM = np.random.default_rng(3)
CROPS = RANDOM.integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)


def inception(*, extra_reader: str | None = None, kernel: int = 3) -> onnx.ModelProto:
    """Two branches and a concat, which a convolution and a pooled one read; loud and quiet channels everywhere.

    ``extra_reader`` names a tensor that a Sigmoid reads too, and that sees its scale.
    """
    channels = RANDOM.permutation(np.geomspace(0.01, 10, 6))
    constants = {
        "shift": np.full((1, 3, 1, 1), -128, np.float32),
        "a.weight": (RANDOM.normal(0, 0.01, (4, 3, 1, 1)) * channels[:4, None, None, None]).astype(np.float32),
        "a.bias": RANDOM.normal(0, 0.1, 4).astype(np.float32),
        "b.weight": (RANDOM.normal(0, 0.01, (2, 3, 1, 1)) * channels[4:, None, None, None]).astype(np.float32),
        "c.weight": RANDOM.normal(0, 0.4, (5, 6, kernel, kernel)).astype(np.float32),
        "d.weight": RANDOM.normal(0, 0.4, (5, 6, 1, 1)).astype(np.float32),
        "fc.weight": RANDOM.normal(0, 0.4, (3, 10)).astype(np.float32),
    }
    pad = kernel // 2
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["cast"], ["planes"], name="planes", perm=[0, 3, 1, 2]),
        helper.make_node("Add", ["planes", "shift"], ["input"], name="input"),
        helper.make_node("Conv", ["input", "a.weight", "a.bias"], ["a"], name="a"),
        helper.make_node("Relu", ["a"], ["a.relu"], name="a.relu"),
        helper.make_node("Conv", ["input", "b.weight"], ["b"], name="b"),
        helper.make_node("Relu", ["b"], ["b.relu"], name="b.relu"),
        helper.make_node("Concat", ["a.relu", "b.relu"], ["concat"], name="concat", axis=1),
        helper.make_node("Conv", ["concat", "c.weight"], ["c"], name="c", pads=[pad] * 4),
        helper.make_node("MaxPool", ["concat"], ["pool"], name="pool", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Conv", ["pool", "d.weight"], ["d"], name="d"),
        helper.make_node("Concat", ["c", "d"], ["end"], name="end", axis=1),
        helper.make_node("GlobalAveragePool", ["end"], ["average"], name="average"),
        helper.make_node("Flatten", ["average"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "fc.weight"], ["logits"], name="fc", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3]) for name in ("logits", "probabilities")]
    if extra_reader is not None:
        nodes.insert(-2, helper.make_node("Sigmoid", [extra_reader], ["seen"], name="seen"))
        outputs.append(helper.make_empty_tensor_value_info("seen"))
    graph = helper.make_graph(
        nodes,
        "inception",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, 32, 3])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def ranges_of(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.float32]]:
    tensors = [group.tensor for group in scale_groups(model)]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.extend(helper.make_empty_tensor_value_info(tensor) for tensor in tensors)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    values = session.run(tensors, {"image": CROPS})
    return {
        t: np.abs(np.moveaxis(v, 1, 0).reshape(v.shape[1], -1)).max(axis=1)
        for t, v in zip(tensors, values, strict=True)
    }


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_the_logits_stay_and_the_ranges_come_together(strength: float) -> None:
    model = inception()
    before = ranges_of(model)
    found = equalize(model, {t: tuple(map(float, r)) for t, r in before.items()}, strength)
    expected, got = OnnxRunner(model).run(CROPS)[0], OnnxRunner(found).run(CROPS)[0]
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()
    after = ranges_of(found)["concat"]
    loudest = before["concat"].max()
    wanted = before["concat"] * (loudest / np.maximum(before["concat"], loudest / 16)) ** strength
    assert after == pytest.approx(wanted, rel=1e-4)
    assert after.max() == pytest.approx(loudest, rel=1e-4)


def test_no_strength_changes_nothing() -> None:
    model = inception()
    found = equalize(model, {}, 0)
    assert found.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("tensor", ["concat", "a.relu", "pool", "a"])
def test_a_tensor_that_others_see_stays_as_it_is(tensor: str) -> None:
    """Something that is not indifferent to a factor reads it: then nothing may be scaled."""
    model = inception(extra_reader=tensor)
    found = equalize(model, {t: tuple(map(float, r)) for t, r in ranges_of(model).items()}, 0.5)
    assert found.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_dead_channels_and_dead_tensors(small_graph: onnx.ModelProto, small_images: CalibrationImages) -> None:
    table = calibrate(small_graph, small_images, ["input.add", "pool1", "flatten"]).table
    ranges = {name: list(table[name].channel_expected) for name in table.names}
    crops = small_images.read(0, len(small_images))
    expected = OnnxRunner(small_graph).run(crops)[0]
    for pool in ([0.0, *ranges["pool1"][1:]], [0.0] * 4):
        found = equalize(small_graph, {**ranges, "pool1": pool}, 1.0)
        assert OnnxRunner(found).run(crops)[0] == pytest.approx(expected, abs=1e-4)


def test_what_is_asked_wrongly() -> None:
    model = inception()
    with pytest.raises(InputError, match="strength: got 2"):
        equalize(model, {}, 2)
    ranges = {t: tuple(map(float, r)) for t, r in ranges_of(model).items()}
    for wrong in (ranges["concat"][:-1], (*ranges["concat"], 1.0)):
        with pytest.raises(InputError, match="ranges"):
            equalize(model, {**ranges, "concat": wrong}, 0.5)
