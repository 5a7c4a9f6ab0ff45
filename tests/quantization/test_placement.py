"""Q/DQ pairs stand where the rules say, and the graph computes what plain numpy fake quantization computes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from googlenet_edge.errors import GraphError, InputError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.quantization.placement import place, quantizable_nodes, scale_groups, weight_of
from googlenet_edge.quantization.weights import QuantizedWeight, quantize_weight

Floats = npt.NDArray[np.float32]


def random_weight(rng: np.random.Generator, *shape: int) -> Floats:
    return np.asarray(rng.standard_normal(shape) * 0.3, np.float32)


def inception_model(seed: int = 0) -> onnx.ModelProto:
    """stem conv -> pool -> {1x1, 1x1 -> 3x3, pool -> 1x1} -> concat -> conv -> mean -> Gemm: all the cases at once."""
    rng = np.random.default_rng(seed)
    weights: dict[str, Floats] = {
        "stem.w": random_weight(rng, 6, 3, 3, 3), "b1.w": random_weight(rng, 4, 6, 1, 1),
        "b2r.w": random_weight(rng, 3, 6, 1, 1), "b2.w": random_weight(rng, 5, 3, 3, 3),
        "b4.w": random_weight(rng, 2, 6, 1, 1), "last.w": random_weight(rng, 8, 11, 1, 1),
        "fc.w": random_weight(rng, 7, 8),
    }  # fmt: skip
    biases = {name.replace(".w", ".b"): random_weight(rng, len(value)) for name, value in weights.items()}
    node = helper.make_node

    def conv(name: str, source: str, pads: int = 0) -> list[onnx.NodeProto]:
        return [
            node("Conv", [source, f"{name}.w", f"{name}.b"], [f"{name}.out"], name=name, pads=[pads] * 4),
            node("Relu", [f"{name}.out"], [f"{name}.relu"], name=f"{name}.relu"),
        ]

    nodes = [
        *conv("stem", "x", 1),
        node("MaxPool", ["stem.relu"], ["pool1"], name="pool1", kernel_shape=[2, 2], strides=[2, 2]),
        *conv("b1", "pool1"),
        *conv("b2r", "pool1"),
        *conv("b2", "b2r.relu", 1),
        node("MaxPool", ["pool1"], ["pool2"], name="pool2", kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4),
        *conv("b4", "pool2"),
        node("Concat", ["b1.relu", "b2.relu", "b4.relu"], ["concat"], name="concat", axis=1),
        *conv("last", "concat"),
        node("GlobalAveragePool", ["last.relu"], ["mean"], name="mean"),
        node("Flatten", ["mean"], ["flat"], name="flat"),
        node("Gemm", ["flat", "fc.w", "fc.b"], ["logits"], name="fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 12])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 7])],
        [numpy_helper.from_array(value, name) for name, value in {**weights, **biases}.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def run(model: onnx.ModelProto, x: Floats, *names: str) -> list[Floats]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(value, np.float32) for value in session.run(list(names), {"x": x})]


def quantized(model: onnx.ModelProto, names: tuple[str, ...], x: Floats) -> tuple[onnx.ModelProto, dict[str, float]]:
    editor = GraphEditor(model)
    groups = scale_groups(model)
    ranges = run(model, x, *(group.tensor for group in groups if group.tensor != "x"))
    by_name = dict(zip((group.tensor for group in groups if group.tensor != "x"), ranges, strict=True)) | {"x": x}
    scales = {name: float(np.abs(values).max()) / 127 for name, values in by_name.items()}
    by_node = {node.name: node for node in editor.nodes}
    weights = {name: quantize_weight(weight_of(editor, by_node[name])) for name in names}
    return place(model, scales, weights), scales


X = np.asarray(np.random.default_rng(1).standard_normal((2, 3, 12, 12)), np.float32)
CONVOLUTIONS = ("stem", "b1", "b2r", "b2", "b4", "last")


def test_groups_follow_the_rules() -> None:
    groups = {group.tensor: group for group in scale_groups(inception_model())}
    assert list(groups) == ["x", "pool1", "b2r.relu", "concat", "flat"]
    # A pool that alone reads a tensor: the pair stands behind it. One that shares it: same scale, and listed.
    assert groups["pool1"].pooled == ("pool2",)
    assert groups["pool1"].readers == ("b1", "b2r", "b4")
    # One pair behind the concat, none on its branches.
    assert groups["concat"].readers == ("last",)
    assert quantizable_nodes(inception_model()) == (*CONVOLUTIONS, "fc")


def test_every_int8_node_reads_pairs_and_everything_else_does_not() -> None:
    model, _ = quantized(inception_model(), CONVOLUTIONS, X)
    onnx.checker.check_model(model, full_check=True)
    editor = GraphEditor(model)
    for node in editor.nodes:
        if node.op_type == "Conv":
            for position in (0, 1):
                dequantize = editor.producer(node.input[position], "DequantizeLinear")
                assert dequantize is not None, node.name
            weight = editor.producer(node.input[1], "DequantizeLinear")
            assert weight is not None
            assert editor.constant(weight.input[0]).dtype == np.int8  # type: ignore[union-attr]
            assert editor.constant(node.input[2]).dtype == np.float32  # type: ignore[union-attr]
        if node.op_type in ("Concat", "GlobalAveragePool", "Gemm"):
            assert all(editor.producer(name, "DequantizeLinear") is None for name in node.input)
        if node.op_type == "QuantizeLinear":
            zero = editor.constant(node.input[2])
            assert zero is not None
            assert zero.dtype == np.int8
            assert zero == 0
    # The shared tensor and its pool have the very same scale.
    scale = {node.input[0]: node.input[1] for node in editor.nodes if node.op_type == "QuantizeLinear"}
    assert scale["pool1"] == scale["pool2"]
    assert set(scale) == {"x", "pool1", "pool2", "b2r.relu", "concat"}


def fake(values: Floats, scale: float) -> Floats:
    return np.asarray(np.clip(np.rint(values / np.float32(scale)), -128, 127) * np.float32(scale), np.float32)


def numpy_conv(x: Floats, w: Floats, b: Floats, pad: int) -> Floats:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.asarray(np.einsum("nchwij,ocij->nohw", windows, w, dtype=np.float64) + b[:, None, None], np.float32)


def numpy_pool(x: Floats, kernel: int, stride: int, pad: int) -> Floats:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.asarray(windows.max(axis=(4, 5)), np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_the_graph_equals_plain_numpy_fake_quantization(seed: int) -> None:
    source = inception_model(seed)
    model, scales = quantized(source, CONVOLUTIONS, X)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in source.graph.initializer}

    def conv(name: str, data: Floats, pad: int = 0) -> Floats:
        weight = quantize_weight(constants[f"{name}.w"]).restored()
        return np.maximum(numpy_conv(data, weight, constants[f"{name}.b"], pad), 0)

    pool1 = fake(numpy_pool(conv("stem", fake(X, scales["x"]), 1), 2, 2, 0), scales["pool1"])
    b2r = fake(conv("b2r", pool1), scales["b2r.relu"])
    branches = [conv("b1", pool1), conv("b2", b2r, 1), conv("b4", numpy_pool(pool1, 3, 1, 1))]
    last = conv("last", fake(np.concatenate(branches, axis=1), scales["concat"]))
    expected = last.mean(axis=(2, 3)) @ constants["fc.w"].T + constants["fc.b"]
    (got,) = run(model, X, "logits")
    # To float rounding; a value on the border between two levels may fall either way, which costs far less than 1 %.
    assert got == pytest.approx(expected, abs=2e-3 * float(np.abs(expected).max()))


def test_kept_nodes_read_the_float_tensor() -> None:
    model, _ = quantized(inception_model(), ("b1", "b4"), X)
    editor = GraphEditor(model)
    readers = {node.name: node.input[0] for node in editor.nodes if node.op_type == "Conv"}
    assert readers["b2r"] == "pool1"
    assert readers["b1"] == "pool1.dequantized"
    assert readers["b4"] == "pool2.dequantized"
    assert readers["last"] == "concat"
    model, _ = quantized(inception_model(), ("b1",), X)
    editor = GraphEditor(model)
    assert {node.input[0] for node in editor.nodes if node.op_type == "QuantizeLinear"} == {"pool1"}
    assert next(node for node in editor.nodes if node.name == "pool2").input[0] == "pool1"


def test_the_linear_layer_on_request() -> None:
    for trans_b in (0, 1):
        source = inception_model()
        gemm = source.graph.node[-1]
        weight = next(tensor for tensor in source.graph.initializer if tensor.name == "fc.w")
        if not trans_b:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).T.copy(), "fc.w"))
            gemm.attribute[0].i = 0
        model, _ = quantized(source, (*CONVOLUTIONS, "fc"), X)
        onnx.checker.check_model(model, full_check=True)
        (got,), (float_result,) = run(model, X, "logits"), run(source, X, "logits")
        assert np.abs(got - float_result).max() < 0.15 * np.abs(float_result).max()
        assert next(node for node in model.graph.node if node.name == "fc").attribute[-1].i == 1


def test_what_cannot_be_placed_says_why() -> None:
    source = inception_model()
    weights = {"b1": quantize_weight(np.ones((4, 6, 1, 1), np.float32))}
    with pytest.raises(GraphError, match=r"scale of 'pool1': got 0\.0"):
        place(source, {}, weights)
    with pytest.raises(GraphError, match="'nothing'"):
        place(source, {"pool1": 1.0}, {"nothing": weights["b1"]})
    with pytest.raises(GraphError, match="expected the float32 graph"):
        scale_groups(place(source, {"pool1": 1.0}, weights))
    wrong = {"b1": quantize_weight(np.ones((4, 5, 1, 1), np.float32))}
    with pytest.raises(GraphError, match=r"expected \(4, 6, 1, 1\)"):
        place(source, {"pool1": 1.0}, wrong)


# -- weights


@given(
    hnp.arrays(np.float32, (3, 10), elements=st.floats(-50, 50, width=32)), st.sampled_from([np.float32, np.float16])
)
@settings(deadline=None, max_examples=80)
def test_max_weights_are_restored_within_half_a_step(weight: Floats, dtype: type) -> None:
    found = quantize_weight(weight, method="max", scale_dtype=dtype)
    assert found.values.dtype == np.int8
    assert found.values.min() >= -127
    assert (found.scales > 0).all()
    assert (found.scales.astype(dtype) == found.scales).all()
    assert (np.abs(found.restored() - weight) <= found.scales[:, None] / 2 * (1 + 1e-5)).all()


@given(hnp.arrays(np.float32, (2, 40), elements=st.floats(-3, 3, width=32)))
@settings(deadline=None, max_examples=40)
def test_mse_weights_are_never_worse_than_max(weight: Floats) -> None:
    def error(found: QuantizedWeight) -> npt.NDArray[np.float64]:
        return np.asarray(np.square(found.restored().astype(np.float64) - weight).sum(axis=1))

    assert (error(quantize_weight(weight)) <= error(quantize_weight(weight, method="max")) * (1 + 1e-6)).all()


def test_mse_weights_gain_where_the_tails_are_long() -> None:
    weight = np.asarray(np.random.default_rng(0).laplace(size=(4, 100_000)), np.float32)
    best, plain = quantize_weight(weight).restored(), quantize_weight(weight, method="max").restored()
    assert np.square(best - weight).sum() < 0.97 * np.square(plain - weight).sum()
    # Against brute force over 400 scales for one channel.
    channel, largest = weight[0].astype(np.float64), float(np.abs(weight[0]).max())
    scales = np.linspace(0.2, 1, 400) * largest / 127
    errors = [np.square(np.clip(np.rint(channel / s), -127, 127) * s - channel).sum() for s in scales]
    assert np.square(best[0] - weight[0]).sum() <= 1.02 * min(errors)


def test_a_dead_channel_has_a_scale() -> None:
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[1] = 0.5
    found = quantize_weight(weight)
    assert (found.scales > 0).all()
    assert np.array_equal(found.restored(), weight) or np.abs(found.restored() - weight).max() < 1e-3
    tiny = quantize_weight(np.full((1, 4), 1e-9, np.float32), scale_dtype=np.float16)
    assert (tiny.scales > 0).all()


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="non-finite"):
        quantize_weight(np.array([[np.nan, 1.0]], np.float32))


def test_scales_of_activations_are_scalars() -> None:
    """One scale for a whole tensor has no dimension; one of shape (1,) would be a per-channel scale of one channel."""
    model, _ = quantized(inception_model(), CONVOLUTIONS, X)
    editor = GraphEditor(model)
    for node in editor.nodes:
        if node.op_type == "QuantizeLinear":
            for name in node.input[1:]:
                assert editor.constant(name).shape == ()  # type: ignore[union-attr]
