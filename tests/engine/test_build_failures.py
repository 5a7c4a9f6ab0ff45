"""Graphs that the real parser and builder refuse: every error is told, with its node and the rule that it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.errors import EngineError

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed for this Python")
pytest.importorskip("onnx", reason="onnx is not installed: it writes the broken graphs")

if TYPE_CHECKING:
    import onnx

PX = 32
AMPERE = BuildOptions(targets=("8.6",))


@pytest.fixture(scope="session")
def flavour() -> Flavour:
    """The real TensorRT-RTX."""
    return load_flavour("tensorrt_rtx")


def node(operator: str, inputs: str, output: str, name: str, **attributes: Any) -> onnx.NodeProto:
    """A node; ``inputs`` are separated by blanks, and ``-`` leaves one out."""
    from onnx import helper

    names = ["" if one == "-" else one for one in inputs.split()]
    return helper.make_node(operator, names, [output], name=name, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any],
    *,
    batch: str | int = "N",
    dtype: str = "UINT8",
    output: Sequence[str | int] = ("N", 4, 30, 30),
) -> bytes:
    """A graph of these nodes behind ``x``, the image as float (N, 3, 32, 32)."""
    from onnx import TensorProto, helper, numpy_helper

    head = [
        node("Cast", "image", "f", "head/Cast", to=TensorProto.FLOAT),
        node("Transpose", "f", "x", "head/Transpose", perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        [*head, *nodes],
        "broken",
        [helper.make_tensor_value_info("image", getattr(TensorProto, dtype), [batch, PX, PX, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, *output[1:]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    return bytes(made.SerializeToString())


def quantized(**changes: Any) -> bytes:
    """A convolution between Q/DQ pairs, with one thing wrong."""
    constants = {
        "s": np.float32(changes.get("scale", 0.02)),
        "z": np.int8(changes.get("zero_point", 0)),
        "w": np.ones((4, 3, 3, 3), np.int8),
        "ws": np.asarray(changes.get("weight_scales", [0.01] * 4), np.float32),
        "wz": np.zeros(4, np.int8),
    }
    nodes = [
        node("QuantizeLinear", "x s z", "q", "conv/q"),
        node("DequantizeLinear", "q s z", "dq", "conv/dq"),
        node("DequantizeLinear", "w ws wz", "wdq", "conv/weight_dq", axis=changes.get("axis", 0)),
    ]
    inputs = "dq wdq"
    if changes.get("bias"):
        constants |= {"b": np.ones(4, np.int32), "bs": np.full(4, 2e-4, np.float32), "bz": np.zeros(4, np.int32)}
        nodes.append(node("DequantizeLinear", "b bs bz", "bdq", "conv/bias_dq", axis=0))
        inputs += " bdq"
    return model([*nodes, node("Conv", inputs, "logits", "conv")], constants)


def mixed_types() -> bytes:
    """An addition of FP16 and FP32."""
    from onnx import TensorProto

    nodes = [node("Cast", "x", "h", "half", to=TensorProto.FLOAT16), node("Add", "h x", "logits", "mix")]
    return model(nodes, {}, output=("N", 3, PX, PX))


def refusal(flavour: Flavour, graph: bytes) -> str:
    """What the build of a graph is refused with."""
    with pytest.raises(EngineError) as raised:
        build_engine(flavour, graph, AMPERE)
    return str(raised.value)


def test_the_graph_without_anything_wrong_builds(flavour: Flavour) -> None:
    assert len(build_engine(flavour, quantized(), AMPERE).plan) > 100_000


@pytest.mark.parametrize(
    ("changes", "where", "rule"),
    [
        ({"scale": 0.0}, "node 'conv/q' (QuantizeLinear)", "every scale is a finite number above 0"),
        ({"scale": -1.0}, "node 'conv/q' (QuantizeLinear)", "every scale is a finite number above 0"),
        ({"scale": float("nan")}, "node 'conv/q' (QuantizeLinear)", "every scale is a finite number above 0"),
        ({"weight_scales": [0, 1, 1, 1]}, "node 'conv/weight_dq' (DequantizeLinear)", "every scale is a finite"),
        ({"zero_point": 3}, "node 'conv/q' (QuantizeLinear)", "every zero point is 0"),
        ({"axis": 1}, "node 'conv/weight_dq' (DequantizeLinear)", "one scale for each output channel"),
        ({"bias": True}, "node 'conv/bias_dq' (DequantizeLinear)", "a bias stays in floating point"),
    ],
)
def test_a_broken_pair_is_told_with_its_node_and_the_rule(
    changes: dict[str, Any], where: str, rule: str, flavour: Flavour
) -> None:
    said = refusal(flavour, quantized(**changes))
    assert where in said
    assert rule in said
    assert "cudaError" not in said  # a GPU has no part in it


def test_a_lone_dequantize_of_an_activation_is_told_although_tensorrt_takes_it(flavour: Flavour) -> None:
    from onnx import TensorProto

    nodes = [
        node("Cast", "x", "i", "to_int8", to=TensorProto.INT8),
        node("DequantizeLinear", "i s z", "logits", "lone"),
    ]
    graph = model(nodes, {"s": np.float32(0.1), "z": np.int8(0)}, output=("N", 3, PX, PX))
    said = refusal(flavour, graph)
    assert "node 'lone' (DequantizeLinear)" in said
    assert "reads a QuantizeLinear or a constant" in said


def test_two_types_in_one_operation_are_told_with_the_cast_that_is_missing(flavour: Flavour) -> None:
    said = refusal(flavour, mixed_types())
    assert "node 'mix' (Add)" in said
    assert "Cast stands wherever FP16 and FP32 meet" in said


def test_a_resize_with_antialias_is_told(flavour: Flavour) -> None:
    nodes = [node("Resize", "x - s", "logits", "resize", mode="linear", antialias=1)]
    graph = model(nodes, {"s": np.array([1, 1, 0.5, 0.5], np.float32)}, output=("N", 3, 16, 16))
    said = refusal(flavour, graph)
    assert "node 'resize' (Resize)" in said
    assert "antialias=0" in said


def test_all_errors_are_shown_each_with_its_node(flavour: Flavour) -> None:
    nodes = [
        node("Foo", "x", "a", "first"),
        node("Unique", "a", "b", "second"),
        node("Bar", "b", "logits", "third"),
    ]
    said = refusal(flavour, model(nodes, {}))
    assert "(3 errors)" in said
    assert [name in said for name in ("'first' (Foo)", "'second' (Unique)", "'third' (Bar)")] == [True] * 3


def test_a_reshape_that_fixes_the_batch_is_told(flavour: Flavour) -> None:
    nodes = [node("GlobalAveragePool", "x", "m", "mean"), node("Reshape", "m s", "logits", "reshape")]
    said = refusal(flavour, model(nodes, {"s": np.array([1, 3], np.int64)}, output=("N", 3)))
    assert "got outputs 'logits' (1, 3)" in said
    assert "a Reshape has -1 in its place" in said


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (b"", "graph: got inputs none, expected one, uint8"),
        (b"not an ONNX file", "the file is a whole ONNX model"),
    ],
)
def test_a_file_that_is_no_graph_is_told(graph: bytes, why: str, flavour: Flavour) -> None:
    assert why in refusal(flavour, graph)


def test_a_graph_that_was_cut_short_is_told(flavour: Flavour, tiny_graph_path: Path) -> None:
    assert "the file is a whole ONNX model" in refusal(flavour, tiny_graph_path.read_bytes()[:700])


def test_a_fixed_batch_and_a_float_input_are_told(flavour: Flavour) -> None:
    relu = [node("Relu", "x", "logits", "relu")]
    said = refusal(flavour, model(relu, {}, batch=2, output=(2, 3, PX, PX)))
    assert "whose batch is fixed" in said
    assert "expected one, uint8" in refusal(flavour, model(relu, {}, dtype="FLOAT", output=("N", 3, PX, PX)))
