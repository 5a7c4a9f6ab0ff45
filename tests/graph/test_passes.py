from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.helper import make_node

from googlenet_edge.graph import passes
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.simplify import infer_shapes

Make = Callable[..., onnx.ModelProto]
Run = Callable[[onnx.ModelProto, dict[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]]


@pytest.fixture
def apply(run_model: Run) -> Callable[..., list[str]]:
    """Apply a pass, check that the results stay the same, and return the operators that are left."""

    def check(
        model: onnx.ModelProto,
        step: Callable[[GraphEditor], int],
        shape: tuple[int, ...],
        count: int = 1,
        exact: bool = True,
    ) -> list[str]:
        infer_shapes(model)
        x = np.random.default_rng(2).normal(0, 2, shape).astype(np.float32)
        before = run_model(model, {"x": x})
        assert step(GraphEditor(model)) == count
        GraphEditor(model).prune()
        infer_shapes(model)
        onnx.checker.check_model(model, full_check=True)
        for a, b in zip(before, run_model(model, {"x": x}), strict=True):
            np.testing.assert_allclose(b, a, rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)
        return [node.op_type for node in model.graph.node]

    return check


def weights(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(4).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "size"), [(1, 1, 8), (1, 1, 7), (3, 2, 11), (3, 1, 8)])
def test_the_stride_of_a_pool_of_kernel_1_goes_into_the_convolution(
    small_model: Make, apply: Callable[..., list[str]], relu: bool, kernel: int, stride: int, size: int
) -> None:
    nodes = [make_node("Conv", ["x", "w"], ["c"], name="conv", strides=[stride] * 2, pads=[kernel // 2] * 4)]
    if relu:
        nodes.append(make_node("Relu", ["c"], ["r"], name="relu"))
    nodes.append(make_node("AveragePool", ["r" if relu else "c"], ["p"], kernel_shape=[1, 1], strides=[2, 2]))
    nodes.append(make_node("Relu", ["p"], ["y"], name="last"))
    model = small_model(nodes, {"x": (1, 2, size, size)}, {"y": (1, 4, "h", "w")}, {"w": weights(4, 2, kernel, kernel)})
    left = apply(model, passes.fold_subsampling, (1, 2, size, size), exact=False)
    assert left == ["Conv", *(["Relu"] if relu else []), "Relu"]
    # The tensor in front of the pool had another size; what the pool made keeps its name.
    outputs = [name for node in model.graph.node for name in node.output]
    assert outputs == (["c.strided", "p", "y"] if relu else ["p", "y"])


def test_subsampling_stays_where_others_read_the_full_size(small_model: Make, apply: Callable[..., list[str]]) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["c"]),
        make_node("AveragePool", ["c"], ["y"], kernel_shape=[1, 1], strides=[2, 2]),
        make_node("Relu", ["c"], ["z"]),
    ]
    shapes = {"y": (1, 4, 4, 4), "z": (1, 4, 8, 8)}
    apply(
        small_model(nodes, {"x": (1, 2, 8, 8)}, shapes, {"w": weights(4, 2, 1, 1)}),
        passes.fold_subsampling,
        (1, 2, 8, 8),
        0,
    )


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0], [-1, 0, 1]])
def test_a_channel_order_goes_into_every_convolution_that_reads_it(
    small_model: Make, apply: Callable[..., list[str]], order: list[int]
) -> None:
    nodes = [
        make_node("Gather", ["x", "order"], ["g"], axis=1),
        make_node("Conv", ["g", "w"], ["a"], pads=[1] * 4),
        make_node("Conv", ["g", "w"], ["b"], pads=[1] * 4, strides=[2, 2]),
    ]
    constants = {"w": weights(4, 3, 3, 3), "order": np.array(order)}
    model = small_model(nodes, {"x": (1, 3, 8, 8)}, {"a": (1, 4, 8, 8), "b": (1, 4, 4, 4)}, constants)
    assert apply(model, passes.fold_channel_order, (1, 3, 8, 8), exact=False) == ["Conv", "Conv"]


@pytest.mark.parametrize(("order", "group"), [([2, 1, 0], 3), ([0, 0, 1], 1)])
def test_a_channel_order_stays_where_it_cannot_be_folded(
    small_model: Make, apply: Callable[..., list[str]], order: list[int], group: int
) -> None:
    nodes = [make_node("Gather", ["x", "order"], ["g"], axis=1), make_node("Conv", ["g", "w"], ["y"], group=group)]
    constants = {"w": weights(3, 3 // group, 1, 1), "order": np.array(order)}
    model = small_model(nodes, {"x": (1, 3, 4, 4)}, {"y": (1, 3, 4, 4)}, constants)
    apply(model, passes.fold_channel_order, (1, 3, 4, 4), 0)


@pytest.mark.parametrize("size", [3, 5])
def test_local_response_normalisation_becomes_one_node(
    small_model: Make, apply: Callable[..., list[str]], size: int
) -> None:
    """The nodes are those that PyTorch's exporter writes for nn.LocalResponseNorm."""
    half = size // 2
    nodes = [
        make_node("Mul", ["x", "x"], ["s"]),
        make_node("Reshape", ["s", "deep"], ["s5"]),
        make_node("Pad", ["s5", "pads"], ["padded"]),
        make_node(
            "AveragePool", ["padded"], ["mean"], kernel_shape=[size, 1, 1], strides=[1, 1, 1], count_include_pad=1
        ),
        make_node("Squeeze", ["mean", "one"], ["m4"]),
        make_node("Reshape", ["m4", "flat"], ["m"]),
        make_node("Mul", ["m", "alpha"], ["am"]),
        make_node("Add", ["am", "k"], ["kam"]),
        make_node("Pow", ["kam", "beta"], ["d"]),
        make_node("Div", ["x", "d"], ["y"], name="lrn"),
    ]
    constants = {
        "deep": np.array([-1, 1, 6, 4, 4]),
        "flat": np.array([-1, 6, 4, 4]),
        "one": np.array([1]),
        "pads": np.array([0, 0, half, 0, 0, 0, 0, half, 0, 0]),
        "alpha": np.float32(0.7),
        "k": np.float32(1.5),
        "beta": np.float32(0.75),
    }
    model = small_model(nodes, {"x": (2, 6, 4, 4)}, {"y": (2, 6, 4, 4)}, constants)
    assert apply(model, passes.fuse_lrn, (2, 6, 4, 4), exact=False) == ["LRN"]


@pytest.mark.parametrize(
    ("node", "left"),
    [
        (make_node("ReduceMean", ["x", "axes"], ["p"], keepdims=1), "GlobalAveragePool"),
        (make_node("AveragePool", ["x"], ["p"], kernel_shape=[6, 6]), "GlobalAveragePool"),
        (make_node("AveragePool", ["x"], ["p"], kernel_shape=[5, 5]), "AveragePool"),
    ],
)
def test_a_mean_over_everything_is_a_global_pool(
    small_model: Make, apply: Callable[..., list[str]], node: onnx.NodeProto, left: str
) -> None:
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    constants = {"axes": np.array([-1, -2])} if len(node.input) > 1 else {}
    model = small_model(
        [copy, make_node("Relu", ["p"], ["y"])], {"x": (1, 3, 6, 6)}, {"y": (1, 3, "h", "w")}, constants
    )
    counted = int(left == "GlobalAveragePool")
    assert apply(model, passes.use_global_pool, (1, 3, 6, 6), counted, exact=False) == [left, "Relu"]


def test_flattening_by_reshape_leaves_the_batch_free(small_model: Make, apply: Callable[..., list[str]]) -> None:
    nodes = [make_node("Reshape", ["x", "t"], ["f"], name="reshape_1"), make_node("Relu", ["f"], ["y"])]
    model = small_model(nodes, {"x": ("N", 3, 2, 2)}, {"y": ("N", 12)}, {"t": np.array([-1, 12])})
    assert apply(model, passes.shape_to_flatten, (5, 3, 2, 2)) == ["Flatten", "Relu"]
    assert model.graph.node[0].output[0] == "flatten"


def test_identities_go_and_outputs_keep_their_names(small_model: Make, apply: Callable[..., list[str]]) -> None:
    nodes = [
        make_node("Identity", ["x"], ["a"]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Dropout", ["b"], ["c"]),
        make_node("Identity", ["c"], ["y"]),
    ]
    model = small_model(nodes, {"x": (1, 2)}, {"y": (1, 2)})
    assert apply(model, passes.drop_identities, (1, 2), 3) == ["Relu"]


def test_casts_that_widen_first_go_and_casts_that_round_stay(
    small_model: Make, apply: Callable[..., list[str]]
) -> None:
    kinds = onnx.TensorProto
    nodes = [
        make_node("Cast", ["x"], ["wide"], to=kinds.DOUBLE),
        make_node("Cast", ["wide"], ["back"], to=kinds.FLOAT),
        make_node("Cast", ["back"], ["half"], to=kinds.FLOAT16),
        make_node("Cast", ["half"], ["y"], to=kinds.FLOAT),
    ]
    model = small_model(nodes, {"x": (1, 2)}, {"y": (1, 2)})
    assert apply(model, passes.drop_identities, (1, 2), 2) == ["Cast", "Cast"]
    assert [node.output[0] for node in model.graph.node] == ["half", "y"]
