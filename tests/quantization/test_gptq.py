"""Rounding by second moments: against plain rounding, against a plain loop, and on a real graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.quantization.gptq import DAMPING, input_moments, round_by_moments
from googlenet_edge.quantization.images import CalibrationImages
from googlenet_edge.quantization.placement import quantizable_nodes, weight_of
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.weights import quantize_weight

Floats = npt.NDArray[np.float64]


def published(weight: Floats, scales: Floats, moments: Floats) -> Floats:
    """One input after the other, the inverse of what is left recomputed each time (OBQ), largest moment first."""
    moments = moments + np.eye(len(moments)) * DAMPING * np.diag(moments).mean()
    order = np.argsort(-np.diag(moments), kind="stable")
    left, rounded = weight[:, order].copy(), np.zeros_like(weight)
    inner = moments[np.ix_(order, order)]
    for index in range(len(order)):
        inverse = np.linalg.inv(inner[index:, index:])
        level = np.clip(np.rint(left[:, index] / scales), -127, 127)
        error = (left[:, index] - level * scales) / inverse[0, 0]
        left[:, index:] -= np.outer(error, inverse[0])
        rounded[:, order[index]] = level
    return rounded


def per_trace(moments: npt.NDArray[np.floating]) -> Floats:
    """Moments are given but for a factor."""
    return np.asarray(moments / np.trace(moments), np.float64)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), inputs=st.sampled_from([1, 7, 64, 65, 90]))
def test_it_rounds_as_the_published_loop(seed: int, inputs: int) -> None:
    random = np.random.default_rng(seed)
    patches = random.normal(size=(300, inputs)) @ random.normal(size=(inputs, inputs))
    moments = patches.T @ patches / len(patches)
    weight = random.normal(size=(3, inputs)).astype(np.float32)
    nearest = quantize_weight(weight, method="max")
    found = round_by_moments(weight, nearest, moments.astype(np.float32))
    expected = published(weight.astype(np.float64), nearest.scales.astype(np.float64), moments)
    # Float32 may fall on the other side of a border, and what follows then differs: seldom, and to no worse effect.
    assert (found.values != expected).mean() < 0.1

    def error(values: npt.NDArray[np.generic]) -> float:
        lost = weight - values.astype(np.float64) * nearest.scales[:, None]
        return float(np.einsum("oi,ij,oj->", lost, moments, lost))

    assert error(found.values) <= 1.1 * error(expected) + 1e-12
    assert found.scales is nearest.scales


def test_correlated_inputs_gain_and_independent_ones_lose_nothing() -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(16, 72)).astype(np.float32)
    nearest = quantize_weight(weight, method="max")
    shared = random.normal(size=(5000, 1)) + 0.1 * random.normal(size=(5000, 72))
    for patches, gain in ((shared, 10.0), (random.normal(size=(5000, 72)), 0.9)):
        moments = (patches.T @ patches / len(patches)).astype(np.float32)
        found = round_by_moments(weight, nearest, moments)
        errors = [
            float(np.square((weight - q.restored()) @ patches.T).mean()) for q in (nearest, found)
        ]  # fmt: skip
        assert errors[0] / errors[1] > gain


def test_dead_inputs_and_dead_outputs() -> None:
    weight = np.array([[0.5, -1.0, 0.25], [0, 0, 0]], np.float32)
    nearest = quantize_weight(weight, method="max")
    for moments in (np.zeros((3, 3), np.float32), np.diag([1, 0, 2]).astype(np.float32)):
        found = round_by_moments(weight, nearest, moments)
        assert found.values.tolist() == nearest.values.tolist()
        assert found.values.dtype == np.int8


def test_moments_are_those_of_the_patches(small_graph: onnx.ModelProto, small_images: CalibrationImages) -> None:
    crops = small_images.read(0, 6)
    nodes = quantizable_nodes(small_graph)
    told: list[tuple[int, int]] = []
    found = input_moments(small_graph, nodes, crops, progress=lambda done, total: told.append((done, total)))
    assert set(found) == {"conv1", "a.conv", "b.conv", "fc"}
    assert told[-1] == (6, 6)
    assert found["a.conv"] is not None
    values = SimulatedNetwork(small_graph, show=["pool1", "flatten"]).tensors(crops)
    # pool1 has 15 x 15 = 225 places, fewer than are drawn: so all of them are in.
    by_channel = np.moveaxis(values["pool1"], 1, 0).reshape(4, -1).astype(np.float64)
    assert per_trace(found["a.conv"]) == pytest.approx(per_trace(by_channel @ by_channel.T), rel=1e-4)
    flat = values["flatten"].astype(np.float64)
    assert per_trace(found["fc"]) == pytest.approx(per_trace(flat.T @ flat), rel=1e-4)
    # conv1 has 900: a sample, in the order of its weights, so that weights times moments are an output's square.
    assert found["conv1"].shape == (27, 27)
    editor = GraphEditor(small_graph)
    conv1 = next(node for node in editor.nodes if node.name == "conv1")
    weight = weight_of(editor, conv1).reshape(4, -1).astype(np.float64)
    bias = np.asarray(editor.constant(conv1.input[2]), np.float64)
    output = SimulatedNetwork(small_graph, show=["conv1"]).tensors(crops)["conv1"] - bias[None, :, None, None]
    squares = np.square(np.moveaxis(output, 1, 0).reshape(4, -1).astype(np.float64)).mean(axis=1)
    estimated = np.einsum("oi,ij,oj->o", weight, found["conv1"], weight)
    assert estimated / estimated.sum() == pytest.approx(squares / squares.sum(), rel=0.1)


def test_grouped_and_dilated_convolutions_are_left_out(
    small_graph: onnx.ModelProto, small_images: CalibrationImages
) -> None:
    for name, value in (("dilations", [2, 2]), ("auto_pad", "VALID")):
        model = onnx.ModelProto()
        model.CopyFrom(small_graph)
        conv1 = next(node for node in model.graph.node if node.name == "conv1")
        conv1.attribute.append(onnx.helper.make_attribute(name, value))
        assert set(input_moments(model, ("conv1", "a.conv"), small_images.read(0, 2))) == {"a.conv"}


def test_huge_values_do_not_overflow(small_graph: onnx.ModelProto, small_images: CalibrationImages) -> None:
    """Squares of 1e25 pass float32's end; the moments are those of the same network with values around 1."""
    crops = small_images.read(0, 6)
    model = onnx.ModelProto()
    model.CopyFrom(small_graph)
    for tensor in model.graph.initializer:
        if tensor.name in ("conv1.weight", "conv1.bias"):
            huge = onnx.numpy_helper.to_array(tensor) * np.float32(2.0**83)
            tensor.CopyFrom(onnx.numpy_helper.from_array(huge, tensor.name))
    plain = input_moments(small_graph, ("a.conv", "conv1"), crops)
    found = input_moments(model, ("a.conv", "conv1"), crops)
    assert found["a.conv"].tolist() == plain["a.conv"].tolist()
    assert found["conv1"].tolist() == plain["conv1"].tolist()
