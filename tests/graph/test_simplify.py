from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx.helper import make_node
from torch import nn

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.export import export_onnx
from googlenet_edge.graph.head import DeployableNetwork
from googlenet_edge.graph.simplify import check_simplified, simplify_model, simplify_onnx
from googlenet_edge.graph.verify import compare
from googlenet_edge.types import Normalization

Make = Callable[..., onnx.ModelProto]


@pytest.mark.parametrize(
    ("node", "left"),
    [
        (make_node("Identity", ["x"], ["a"], name="same"), "'same' .Identity.: got a Identity"),
        (make_node("Dropout", ["x"], ["a"], name="drop"), "'drop' .Dropout.: got a Dropout"),
        (make_node("BatchNormalization", ["x", "k", "k", "k", "k"], ["a"], name="bn"), "got a BatchNormalization"),
        (make_node("Add", ["k", "k"], ["a"], name="sum"), "got an operation on constants only"),
    ],
)
def test_what_is_left_over_is_named(small_model: Make, node: onnx.NodeProto, left: str) -> None:
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    constants = {"k": np.ones(2, np.float32)} if "k" in node.input else {}
    model = small_model([copy, make_node("Add", ["a", "x"], ["y"])], {"x": (1, 2)}, {"y": (1, 2)}, constants)
    with pytest.raises(GraphError, match=left):
        check_simplified(model)


def test_a_cast_too_many_is_left_over(small_model: Make) -> None:
    nodes = [
        make_node("Cast", ["x"], ["a"], to=onnx.TensorProto.DOUBLE),
        make_node("Cast", ["a"], ["y"], to=1, name="second"),
    ]
    with pytest.raises(GraphError, match=r"'second' .Cast.: got a cast too many"):
        check_simplified(small_model(nodes, {"x": (1, 2)}, {"y": (1, 2)}))


def test_simplifying_twice_changes_nothing(tmp_path: Path, steps: Any) -> None:
    made = steps("keras-inception")
    simplify_onnx(made.simplified, tmp_path / "twice.onnx")
    once, twice = onnx.load(made.simplified), onnx.load(tmp_path / "twice.onnx")
    assert [node.name for node in twice.graph.node] == [node.name for node in once.graph.node]
    assert (tmp_path / "twice.onnx").read_bytes() == made.simplified.read_bytes()


def test_the_small_inception_network_folds_to_convolutions_and_one_linear_layer(steps: Any) -> None:
    model = onnx.load(steps("keras-inception").simplified)
    nodes = {node.name: node for node in model.graph.node}
    # The pool of kernel 1 and stride 2 became the stride of the convolution before it.
    assert "a.1" not in nodes
    assert [list(a.ints) for a in nodes["a.0.0"].attribute if a.name == "strides"] == [[2, 2]]
    assert "bn" not in nodes
    assert [node.op_type for node in model.graph.node][-5:] == [
        "Concat",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    ]


def test_turning_the_channels_costs_nothing(steps: Any) -> None:
    made = steps("keras-inception")
    model = onnx.load(made.simplified)
    assert not any(node.op_type == "Gather" for node in model.graph.node)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    trained = dict(made.network.state_dict())["b.0.weight"].numpy()
    np.testing.assert_array_equal(stored["b.0.weight"], trained[:, ::-1])


def test_local_response_normalisation_as_torch_exports_it(
    tmp_path: Path, normalization: Normalization, make_frames: Callable[..., npt.NDArray[np.uint8]]
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.LocalResponseNorm(5, alpha=0.5, beta=0.75, k=1.0),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(32, 4),
    )
    network[2].running_mean.normal_()  # type: ignore[operator]
    exported, simplified = tmp_path / "e.onnx", tmp_path / "s.onnx"
    export_onnx(network, exported, normalization=normalization, input_px=18)
    simplify_onnx(exported, simplified)
    operators = [node.op_type for node in onnx.load(simplified).graph.node]
    assert operators.count("LRN") == 1
    assert "Pow" not in operators
    assert "BatchNormalization" not in operators
    compare(exported, simplified, make_frames(5, 18))
    compare(DeployableNetwork(network, normalization), simplified, make_frames(5, 18))


def test_a_failure_of_onnxsim_is_a_graph_error(small_model: Make) -> None:
    model = small_model([make_node("Relu", ["missing"], ["y"])], {"x": (1, 2)}, {"y": (1, 2)})
    with pytest.raises(GraphError):
        simplify_model(model)


def test_control_flow_is_refused(small_model: Make) -> None:
    def branch(name: str) -> onnx.GraphProto:
        out = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2))
        return onnx.helper.make_graph([make_node("Relu" if name == "t" else "Neg", ["x"], [name])], name, [], [out])

    nodes = [
        make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        make_node("Cast", ["sum"], ["flag"], to=onnx.TensorProto.BOOL),
        make_node("If", ["flag"], ["y"], name="choice", then_branch=branch("t"), else_branch=branch("e")),
    ]
    with pytest.raises(GraphError, match=r"'choice' .If.: got control flow"):
        simplify_model(small_model(nodes, {"x": (1, 2)}, {"y": (1, 2)}))
