"""The judge and its golden frames; and the CPU backend of INT8 bundles, which must compute what is judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from googlenet_edge.deploy import golden_tolerance
from googlenet_edge.deploy.judge import Judge, choose_golden
from googlenet_edge.errors import GraphError
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig


def graph(nodes: list[onnx.NodeProto], constants: dict[str, object]) -> onnx.ModelProto:
    """Return image uint8 (N, 8, 8, 3) -> ``scaled``, float32 (N, 3, 8, 8) of 0 to 1 -> the nodes -> two classes."""
    constants = {"scale": np.float32(1 / 255), "axes": np.array([2, 3], np.int64), **constants}
    make = helper.make_node
    head = [
        make("Cast", ["image"], ["cast"], name="input.cast", to=TensorProto.FLOAT),
        make("Mul", ["cast", "scale"], ["nhwc"], name="input.mul"),
        make("Transpose", ["nhwc"], ["scaled"], name="input.transpose", perm=[0, 3, 1, 2]),
    ]
    tail = [
        make("ReduceMean", ["last", "axes"], ["logits"], name="avgpool.mean", keepdims=0),
        make("Softmax", ["logits"], ["probabilities"], name="output.softmax", axis=1),
    ]
    model = helper.make_model(
        helper.make_graph(
            [*head, *nodes, *tail],
            "graph",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 3])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("logits", "probabilities")],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 19)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    return onnx.shape_inference.infer_shapes(model)


def test_the_backend_computes_int8_as_it_is_written() -> None:
    """ONNX Runtime's fused kernels round the bias of 0.4 to a multiple of the scales' product, 1, and so to 0."""
    make = helper.make_node
    model = graph(
        [
            make("QuantizeLinear", ["scaled", "s", "z"], ["q"]),
            make("DequantizeLinear", ["q", "s", "z"], ["dq"]),
            make("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
            make("Conv", ["dq", "wd", "b"], ["y"]),
            make("QuantizeLinear", ["y", "s2", "z"], ["q2"]),
            make("DequantizeLinear", ["q2", "s2", "z"], ["dq2"]),
            make("Conv", ["dq2", "w2"], ["last"]),
        ],
        {
            "s": np.float32(1), "z": np.int8(0), "s2": np.float32(0.01), "w": np.ones((4, 3, 1, 1), np.int8),
            "ws": np.ones(4, np.float32), "wz": np.zeros(4, np.int8), "b": np.full(4, 0.4, np.float32),
            "w2": np.ones((2, 4, 1, 1), np.float32),
        },
    )  # fmt: skip
    black = np.zeros((1, 8, 8, 3), np.uint8)
    for config in (OrtConfig(), OrtConfig(optimization="off")):
        with OrtBackend(model.SerializeToString(), config) as backend:
            assert backend.infer(black)[0] == pytest.approx(np.full((1, 2), 1.6), abs=1e-5)


def test_the_judge_names_the_tensor_that_overflows() -> None:
    make = helper.make_node
    model = graph(
        [
            make("Conv", ["scaled", "w"], ["conv1.out"], name="conv1.conv"),
            make("Mul", ["conv1.out", "huge"], ["conv1.huge"], name="conv1.mul"),
            make("Mul", ["conv1.huge", "huge"], ["last"], name="conv2.mul"),
        ],
        {"w": np.ones((2, 3, 1, 1), np.float32), "huge": np.float32(1e30)},
    )
    frames = np.zeros((9, 8, 8, 3), np.uint8)
    with Judge("fp16", model) as judge:
        assert judge.probabilities(frames).shape == (9, 2)
        frames[8] = 255
        with pytest.raises(GraphError, match=r"first in tensor 'last' \(row 'conv2' of Table 1\).*--keep NODE"):
            judge.probabilities(frames)


def test_golden_frames_are_spread_and_say_what_the_judge_says() -> None:
    model = graph(
        [helper.make_node("Conv", ["scaled", "w"], ["last"], name="conv1.conv")],
        {"w": np.random.default_rng(0).normal(size=(2, 3, 1, 1)).astype(np.float32)},
    )
    crops = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 3), np.uint8)
    with Judge("fp32", model) as judge:
        golden = choose_golden(judge, crops)
        assert np.array_equal(golden.images, crops[[0, 5, 10, 15]])
        assert golden.probabilities == pytest.approx(judge.probabilities(crops)[[0, 5, 10, 15]])


def test_the_tolerance_follows_the_noise() -> None:
    assert golden_tolerance("fp32") == golden_tolerance("fp16", (0.001,)) == 0.01
    assert golden_tolerance("int8", (0.004,)) == 0.05
    assert golden_tolerance("int8", (0.01, 0.06)) == pytest.approx(0.12)
    assert golden_tolerance("int8", (0.9,)) == 0.25


def test_the_float32_judge_takes_a_path(tmp_path: Path) -> None:
    model = graph(
        [helper.make_node("Conv", ["scaled", "w"], ["last"], name="conv1.conv")],
        {"w": np.full((2, 3, 1, 1), np.float32(3e38))},
    )
    onnx.save(model, tmp_path / "model.onnx")
    with (
        Judge("fp32", tmp_path / "model.onnx") as judge,
        pytest.raises(GraphError, match=r"fp32 graph: .*check the weights"),
    ):
        judge.infer(np.full((1, 8, 8, 3), 255, np.uint8))
