"""Arithmetic of the graph that is deployed, against arithmetic that is written out here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.half import round_scale_to_half
from googlenet_edge.quantization.choose import scale_of
from googlenet_edge.quantization.images import CalibrationImages, ImageOptions, collect_images
from googlenet_edge.quantization.placement import place
from googlenet_edge.quantization.quantize import QuantizeConfig, quantize_int8
from googlenet_edge.quantization.weights import QuantizedWeight
from googlenet_edge.types import CropRule

Floats = npt.NDArray[np.float32]
FLOAT = onnx.TensorProto.FLOAT


def session_of(model: onnx.ModelProto) -> Any:
    """ONNX Runtime without optimisations: every pair is computed as it stands."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


# -- a pair


@pytest.fixture(scope="module")
def pair() -> Callable[[Floats, float], Floats]:
    """The pair that ``place`` puts before a convolution: values and scale in, what the convolution reads out."""
    make = onnx.helper
    weight = onnx.numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")
    graph = make.make_graph(
        [make.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        "pair",
        [make.make_tensor_value_info("x", FLOAT, [1, 1, 1, "W"])],
        [make.make_tensor_value_info("y", FLOAT, [1, 1, 1, "W"])],
        [weight],
    )
    source = make.make_model(graph, opset_imports=[make.make_opsetid("", 19)], ir_version=9)
    one = QuantizedWeight(np.ones((1, 1, 1, 1), np.int8), np.ones(1, np.float32))
    model = place(source, {"x": 1.0}, {"conv": one})
    scale = next(node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear")
    read = next(node.input[0] for node in model.graph.node if node.op_type == "Conv")
    model.graph.input.append(make.make_tensor_value_info(scale, FLOAT, []))  # its initializer is the default now
    model.graph.output.append(make.make_tensor_value_info(read, FLOAT, None))
    session = session_of(model)

    def run(values: Floats, value: float) -> Floats:
        feeds = {"x": values.reshape(1, 1, 1, -1), scale: np.asarray(value, np.float32)}
        return np.asarray(session.run([read], feeds)[0], np.float32).reshape(-1)

    return run


@settings(deadline=None, max_examples=200)
@given(
    shares=hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-1, 1, width=32)),
    threshold=st.floats(2.0**-13, 2.0**15),
    half=st.booleans(),
)
def test_a_value_in_range_is_restored_within_half_a_step(
    pair: Callable[[Floats, float], Floats], shares: Floats, threshold: float, half: bool
) -> None:
    scale = scale_of(threshold, round_scale_to_half if half else float)
    values = np.asarray(shares * np.float32(threshold), np.float32)
    restored = pair(values, scale)
    # Beyond half a step only what float32 itself rounds off of 127 steps.
    assert np.abs(restored.astype(np.float64) - values).max() <= np.float32(scale) * (0.5 + 127 * 2.0**-22)
    # Restored once, it stays: a second pair with the same scale, as behind a pool, changes nothing.
    assert np.array_equal(pair(restored, scale), restored)
    assert np.array_equal(pair(np.zeros(1, np.float32), scale), [0.0])


@settings(deadline=None, max_examples=100)
@given(beyond=st.floats(1.0, 1e4), threshold=st.floats(2.0**-13, 2.0**15))
def test_a_value_beyond_the_range_saturates(
    pair: Callable[[Floats, float], Floats], beyond: float, threshold: float
) -> None:
    scale = np.float32(scale_of(threshold, float))
    largest = np.float32(beyond) * np.float32(1.01) * 127 * scale
    high, low = pair(np.array([largest, -largest], np.float32), float(scale))
    assert high == 127 * scale
    assert low in (-127 * scale, -128 * scale)
    assert beyond < 1.01 or low == -128 * scale


# -- a network


@pytest.fixture
def images(make_images: Callable[..., Path], small_rule: CropRule, tmp_path: Path) -> Iterator[CalibrationImages]:
    with collect_images(make_images(tmp_path / "images", 8), small_rule, ImageOptions(count=8)) as found:
        yield found


def by_hand(node: onnx.NodeProto, inputs: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """One node in numpy, in float64 where it adds up."""
    x = inputs[0]
    simple: dict[str, Callable[[], Any]] = {
        "QuantizeLinear": lambda: np.clip(np.rint(x / inputs[1]), -128, 127).astype(np.int8),
        "DequantizeLinear": lambda: x.astype(np.float32) * inputs[1].reshape(-1, *[1] * (x.ndim - 1)),
        "Conv": lambda: (
            np.einsum("nchwij,ocij->nohw", windows(x, inputs[1].shape[2:]), inputs[1], dtype=np.float64)
            + inputs[2][:, None, None]
        ),
        "MaxPool": lambda: windows(x, (2, 2))[:, :, ::2, ::2].max(axis=(4, 5)),
        "Gemm": lambda: x.astype(np.float64) @ inputs[1].T + inputs[2],
        "Cast": lambda: x.astype(np.float32),
        "Transpose": lambda: x.transpose(0, 3, 1, 2),
        "Mul": lambda: x * inputs[1],
        "Add": lambda: x + inputs[1],
        "Relu": lambda: np.maximum(x, 0),
        "Concat": lambda: np.concatenate(inputs, axis=1),
        "GlobalAveragePool": lambda: x.mean(axis=(2, 3), keepdims=True, dtype=np.float64),
        "Flatten": lambda: x.reshape(len(x), -1),
        "Softmax": lambda: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    }
    return np.asarray(simple[node.op_type]())


def windows(x: npt.NDArray[Any], kernel: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))


@pytest.mark.parametrize("last", ["float", "int8"])
def test_each_node_of_the_int8_graph_computes_what_numpy_does(
    small_graph: onnx.ModelProto, images: CalibrationImages, last: Literal["float", "int8"]
) -> None:
    """Node by node from the values that the graph itself has there: so a value on the border of two levels, which may
    fall either way, cannot excuse anything, and the tolerance is float32's rounding.
    """
    model = quantize_int8(small_graph, images, QuantizeConfig(first="int8", last=last)).model
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    names = [name for node in shown.graph.node for name in node.output]
    known = {value.name: value for value in shown.graph.value_info}
    outputs = {value.name for value in shown.graph.output}
    shown.graph.output.extend(known[name] for name in names if name not in outputs)
    crops = images.read(0, len(images))
    values = dict(zip(names, session_of(shown).run(names, {"image": crops}), strict=True))
    values["image"] = crops
    editor = GraphEditor(model)
    levels = 0
    for node in model.graph.node:
        constants = [editor.constant(name) for name in node.input]
        inputs = [values[name] if c is None else c for name, c in zip(node.input, constants, strict=True)]
        expected, got = by_hand(node, inputs), values[node.output[0]]
        assert got.shape == expected.shape, node.name
        if node.op_type == "QuantizeLinear":
            # Equal, or one level apart where the quotient, in exact arithmetic, lies between the two.
            apart = np.abs(got.astype(int) - expected)
            quotient = inputs[0].astype(np.float64) / inputs[1]
            border = np.abs(quotient - np.floor(quotient) - 0.5) < 127 * 2.0**-22
            assert not apart[~border].any(), node.name
            assert apart.max() <= 1, node.name
            levels += len(np.unique(got))
        else:
            size = max(1e-30, float(np.abs(expected).max()))
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * size, err_msg=node.name)
    assert levels > 200  # the int8 range is in use


def test_the_int8_graph_is_plain_fake_quantization_of_the_float_one(
    small_graph: onnx.ModelProto, images: CalibrationImages
) -> None:
    """Written without the pairs: the float32 graph, in which each INT8 layer's data, weights and bias are replaced."""
    found = quantize_int8(small_graph, images, QuantizeConfig(first="int8", last="int8"))
    assert set(found.weights) == {"conv1", "a.conv", "b.conv", "fc"}
    assert found.scales == {c.tensor: scale_of(c.threshold, round_scale_to_half) for c in found.choices}
    crops = images.read(0, len(images))
    editor = GraphEditor(found.base)
    values: dict[str, npt.NDArray[Any]] = {"image": crops}
    for node in found.base.graph.node:
        constants = [editor.constant(name) for name in node.input]
        inputs = [values[name] if c is None else c for name, c in zip(node.input, constants, strict=True)]
        if node.name in found.weights:
            scale, weight = found.scales[node.input[0]], found.weights[node.name]
            inputs[0] = np.clip(np.rint(inputs[0] / np.float32(scale)), -128, 127) * scale
            each = weight.scales.reshape(-1, *[1] * (weight.values.ndim - 1))
            inputs[1] = weight.values.astype(np.float64) * each
            inputs[2] = found.biases.get(node.name, inputs[2])  # none where correcting did no good
        values[node.output[0]] = by_hand(node, inputs)
    (got,) = session_of(found.model).run(["logits"], {"image": crops})
    (unquantized,) = session_of(small_graph).run(["logits"], {"image": crops})
    error = float(np.abs(got - values["logits"]).max())
    # Float rounding; the few values on the border of two levels add up to far less than what quantizing changes.
    assert error < 1e-4 * float(np.abs(got).max())
    assert error < 0.05 * float(np.abs(got - unquantized).max())
