"""Folding of per-channel scale and shift, on small graphs with random shapes and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from googlenet_edge.graph.affine import fold_affine_into_producer, replace_batch_norm
from googlenet_edge.graph.affine_pool import fold_affine_through_pool
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.simplify import infer_shapes

Make = Callable[..., onnx.ModelProto]
Run = Callable[[onnx.ModelProto, dict[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]]
FEW = settings(max_examples=15, deadline=None)


def batch_norm(random: np.random.Generator, channels: int) -> dict[str, npt.NDArray[np.float32]]:
    values = {
        "gamma": random.normal(1, 0.5, channels),
        "beta": random.normal(0, 1, channels),
        "mean": random.normal(0, 1, channels),
        "var": random.uniform(0.1, 2, channels),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}


def floats(random: np.random.Generator, *shape: int) -> npt.NDArray[np.float32]:
    return random.normal(0, 1, shape).astype(np.float32)


def same_after(
    model: onnx.ModelProto, step: Callable[[GraphEditor], int], run: Run, x: npt.NDArray[np.float32], count: int = 1
) -> list[str]:
    """Check that a pass applies and changes nothing; return the operators that are left."""
    infer_shapes(model)
    before = run(model, {"x": x})
    assert step(GraphEditor(model)) == count
    GraphEditor(model).prune()
    infer_shapes(model)
    onnx.checker.check_model(model, full_check=True)
    for a, b in zip(before, run(model, {"x": x}), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)
    return [node.op_type for node in model.graph.node]


BN = make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["y"], name="bn", epsilon=0.001)


class TestIntoProducer:
    @FEW
    @given(seed=st.integers(0, 999), channels=st.integers(1, 5), bias=st.booleans(), kernel=st.sampled_from([1, 3]))
    def test_batch_norm_behind_a_convolution(
        self, small_model: Make, run_model: Run, seed: int, channels: int, bias: bool, kernel: int
    ) -> None:
        random = np.random.default_rng(seed)
        constants = {"w.weight": floats(random, channels, 2, kernel, kernel), **batch_norm(random, channels)}
        inputs = ["x", "w.weight"]
        if bias:
            constants["w.bias"] = floats(random, channels)
            inputs.append("w.bias")
        conv = make_node("Conv", inputs, ["c"], name="conv", pads=[kernel // 2] * 4)
        model = small_model([conv, BN], {"x": ("N", 2, 5, 5)}, {"y": ("N", channels, 5, 5)}, constants)
        assert same_after(model, fold_affine_into_producer, run_model, floats(random, 2, 2, 5, 5)) == ["Conv"]
        assert list(model.graph.node[0].input) == ["x", "w.weight", "w.bias"]
        assert list(model.graph.node[0].output) == ["y"]

    @pytest.mark.parametrize("operator", ["Mul", "Add", "Sub", "Div"])
    @pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 1, 1), (), (1,)])
    def test_elementwise_by_constants(
        self, small_model: Make, run_model: Run, operator: str, shape: tuple[int, ...]
    ) -> None:
        random = np.random.default_rng(5)
        constants = {"w": floats(random, 3, 2, 3, 3), "k": (floats(random, *shape) + 3).astype(np.float32)}
        nodes = [make_node("Conv", ["x", "w"], ["c"]), make_node(operator, ["c", "k"], ["y"])]
        model = small_model(nodes, {"x": (1, 2, 5, 5)}, {"y": (1, 3, 3, 3)}, constants)
        assert same_after(model, fold_affine_into_producer, run_model, floats(random, 1, 2, 5, 5)) == ["Conv"]

    @pytest.mark.parametrize("transposed", [0, 1])
    def test_behind_a_linear_layer(self, small_model: Make, run_model: Run, transposed: int) -> None:
        random = np.random.default_rng(6)
        weight = floats(random, 4, 6) if transposed else floats(random, 6, 4)
        nodes = [make_node("Gemm", ["x", "w", "b"], ["c"], transB=transposed), BN]
        constants = {"w": weight, "b": floats(random, 4), **batch_norm(random, 4)}
        model = small_model(nodes, {"x": ("N", 6)}, {"y": ("N", 4)}, constants)
        assert same_after(model, fold_affine_into_producer, run_model, floats(random, 3, 6)) == ["Gemm"]

    def test_weights_that_two_convolutions_share_stay_apart(self, small_model: Make, run_model: Run) -> None:
        random = np.random.default_rng(7)
        constants = {"w": floats(random, 2, 2, 1, 1), "zero": np.zeros(2, np.float32), **batch_norm(random, 2)}
        nodes = [
            make_node("Conv", ["x", "w", "zero"], ["c"]),
            BN,
            make_node("Conv", ["x", "w", "zero"], ["z"]),
        ]
        model = small_model(nodes, {"x": (1, 2, 4, 4)}, {"y": (1, 2, 4, 4), "z": (1, 2, 4, 4)}, constants)
        assert same_after(model, fold_affine_into_producer, run_model, floats(random, 1, 2, 4, 4)) == ["Conv", "Conv"]

    def test_not_where_others_see_the_tensor_in_between(self, small_model: Make, run_model: Run) -> None:
        random = np.random.default_rng(8)
        constants = {"w": floats(random, 2, 2, 1, 1), **batch_norm(random, 2)}
        model = small_model(
            [make_node("Conv", ["x", "w"], ["c"]), BN],
            {"x": (1, 2, 4, 4)},
            {"y": (1, 2, 4, 4), "c": (1, 2, 4, 4)},
            constants,
        )
        same_after(model, fold_affine_into_producer, run_model, floats(random, 1, 2, 4, 4), count=0)

    def test_not_along_the_rows(self, small_model: Make, run_model: Run) -> None:
        # (4,) is broadcast over the columns, not the channels, though there are as many of these.
        random = np.random.default_rng(9)
        constants = {"w": floats(random, 4, 2, 1, 1), "k": floats(random, 4)}
        nodes = [make_node("Conv", ["x", "w"], ["c"]), make_node("Mul", ["c", "k"], ["y"])]
        model = small_model(nodes, {"x": (1, 2, 4, 4)}, {"y": (1, 4, 4, 4)}, constants)
        same_after(model, fold_affine_into_producer, run_model, floats(random, 1, 2, 4, 4), count=0)


POOLS = {
    "global": [make_node("GlobalAveragePool", ["a"], ["p"])],
    "mean": [make_node("ReduceMean", ["a", "axes"], ["p"], keepdims=1)],
    "windows": [make_node("AveragePool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2])],
    "padded, not counted": [make_node("AveragePool", ["a"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)],
}
SHAPERS = {
    "flatten": make_node("Flatten", ["p"], ["f"], axis=1),
    "reshape": make_node("Reshape", ["p", "target"], ["f"]),
}
LINEARS = {
    "gemm": [make_node("Gemm", ["f", "w", "b"], ["y"])],
    "gemm without bias": [make_node("Gemm", ["f", "w"], ["y"])],
    "gemm, transposed": [make_node("Gemm", ["f", "wt", "b"], ["y"], transB=1)],
    "matmul and add": [make_node("MatMul", ["f", "w"], ["m"]), make_node("Add", ["m", "b"], ["y"])],
}


def pooled(small_model: Make, pool: str, shaper: str, linear: str, random: np.random.Generator) -> onnx.ModelProto:
    features = 3 if pool in ("global", "mean") else 12
    weight = floats(random, features, 5)
    constants: dict[str, npt.NDArray[Any]] = {
        "w": weight,
        "wt": weight.T.copy(),
        "b": floats(random, 5),
        "target": np.array([-1, features]),
        "axes": np.array([2, 3]),
        **batch_norm(random, 3),
    }
    bn = make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "var"], ["a"], name="bn")
    nodes = [bn, *POOLS[pool], SHAPERS[shaper], *LINEARS[linear]]
    used = {name for node in nodes for name in node.input}
    constants = {name: value for name, value in constants.items() if name in used}
    return small_model(nodes, {"x": ("N", 3, 4, 4)}, {"y": ("N", 5)}, constants)


class TestThroughPool:
    @pytest.mark.parametrize("pool", POOLS)
    @pytest.mark.parametrize("shaper", SHAPERS)
    @pytest.mark.parametrize("linear", LINEARS)
    def test_it_lands_in_the_linear_layer(
        self, small_model: Make, run_model: Run, pool: str, shaper: str, linear: str
    ) -> None:
        random = np.random.default_rng(11)
        model = pooled(small_model, pool, shaper, linear, random)
        left = same_after(model, fold_affine_through_pool, run_model, floats(random, 2, 3, 4, 4))
        assert "BatchNormalization" not in left
        # Other values, other names.
        assert not {"p", "f"} & {name for node in model.graph.node for name in node.output}

    def test_a_matmul_without_bias_gets_one(self, small_model: Make, run_model: Run) -> None:
        random = np.random.default_rng(12)
        nodes = [
            make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "var"], ["a"], name="bn"),
            POOLS["global"][0],
            SHAPERS["flatten"],
            make_node("MatMul", ["f", "w"], ["m"], name="fc"),
            make_node("Relu", ["m"], ["y"]),
        ]
        model = small_model(
            nodes, {"x": ("N", 3, 4, 4)}, {"y": ("N", 5)}, {"w": floats(random, 3, 5), **batch_norm(random, 3)}
        )
        left = same_after(model, fold_affine_through_pool, run_model, floats(random, 2, 3, 4, 4))
        assert left == ["GlobalAveragePool", "Flatten", "MatMul", "Add", "Relu"]

    def test_not_through_a_pool_that_counts_its_padding(self, small_model: Make, run_model: Run) -> None:
        random = np.random.default_rng(13)
        model = pooled(small_model, "padded, not counted", "flatten", "gemm", random)
        model.graph.node[1].attribute.append(onnx.helper.make_attribute("count_include_pad", 1))
        same_after(model, fold_affine_through_pool, run_model, floats(random, 2, 3, 4, 4), count=0)

    def test_not_through_a_relu(self, small_model: Make, run_model: Run) -> None:
        random = np.random.default_rng(14)
        model = pooled(small_model, "global", "flatten", "gemm", random)
        model.graph.node[0].output[0] = "r"
        model.graph.node.insert(1, make_node("Relu", ["r"], ["a"]))
        same_after(model, fold_affine_through_pool, run_model, floats(random, 2, 3, 4, 4), count=0)


def test_a_batch_norm_that_cannot_be_folded_becomes_two_plain_nodes(small_model: Make, run_model: Run) -> None:
    random = np.random.default_rng(15)
    nodes = [make_node("Relu", ["x"], ["c"]), BN, make_node("Relu", ["y"], ["z"])]
    model = small_model(nodes, {"x": ("N", 3, 2, 2)}, {"z": ("N", 3, 2, 2)}, batch_norm(random, 3))
    left = same_after(model, replace_batch_norm, run_model, floats(random, 2, 3, 2, 2))
    assert left == ["Relu", "Mul", "Add", "Relu"]
