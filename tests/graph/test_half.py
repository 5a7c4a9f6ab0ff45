from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.helper import make_node

from googlenet_edge.errors import GraphError, InputError, UsageError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.half import HALF_MAX, SCALE_FLOOR, convert_to_half, round_scale_to_half, to_half
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.simplify import infer_shapes
from googlenet_edge.graph.store import check_graph, describe, save_graph
from googlenet_edge.graph.verify import Tolerance, compare

Frames = Callable[..., npt.NDArray[np.uint8]]
SLOW = pytest.mark.slow
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def network(gain: float = 1.0, opset: int = 19) -> onnx.ModelProto:
    """A deployable network of 4 classes at 16 pixels: two branches, a concat, a mean and a linear layer."""
    random = np.random.default_rng(5)

    def weight(*shape: int) -> npt.NDArray[np.float32]:
        return random.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)

    constants: dict[str, npt.NDArray[Any]] = {
        "input.multiplier": np.full((1, 3, 1, 1), 1 / 127.5, np.float32),
        "input.offset": np.full((1, 3, 1, 1), -1, np.float32),
        "conv1.conv.weight": weight(8, 3, 3, 3) * np.float32(gain),
        "conv1.conv.bias": random.normal(0, 0.1, 8).astype(np.float32),
        "a.conv.weight": weight(4, 8, 1, 1),
        "b.conv.weight": weight(4, 8, 1, 1),
        "fc.weight": weight(4, 8),
        "fc.bias": np.zeros(4, np.float32),
    }
    nodes = [
        make_node("Cast", ["image"], ["input.cast"], "input.cast", to=FLOAT),
        make_node("Transpose", ["input.cast"], ["input.transpose"], "input.transpose", perm=[0, 3, 1, 2]),
        make_node("Mul", ["input.transpose", "input.multiplier"], ["input.mul"], "input.mul"),
        make_node("Add", ["input.mul", "input.offset"], ["input.add"], "input.add"),
        make_node("Conv", ["input.add", "conv1.conv.weight", "conv1.conv.bias"], ["conv1.conv"], "conv1.conv"),
        make_node("Relu", ["conv1.conv"], ["conv1.relu"], "conv1.relu"),
        make_node("Conv", ["conv1.relu", "a.conv.weight"], ["a.conv"], "a.conv"),
        make_node("MaxPool", ["conv1.relu"], ["b.pool"], "b.pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make_node("Conv", ["b.pool", "b.conv.weight"], ["b.conv"], "b.conv"),
        make_node("Concat", ["a.conv", "b.conv"], ["concat"], "concat", axis=1),
        make_node("GlobalAveragePool", ["concat"], ["avgpool"], "avgpool"),
        make_node("Flatten", ["avgpool"], ["flatten"], "flatten"),
        make_node("Gemm", ["flatten", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
        make_node("Softmax", ["logits"], ["probabilities"], "output.softmax", axis=1),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", 16, 16, 3])],
        [onnx.helper.make_tensor_value_info(name, FLOAT, ["N", 4]) for name in ("logits", "probabilities")],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)
    infer_shapes(model)
    return model


def quantized(scale: float = 0.01, weight_scale: float = 0.005, opset: int = 19) -> onnx.ModelProto:
    """The network with a.conv in INT8: a pair on its data, int8 weights with a scale for each channel, float bias."""
    model = network(opset=opset)
    editor = GraphEditor(model)
    conv = next(node for node in editor.nodes if node.name == "a.conv")
    weight = editor.constant("a.conv.weight")
    assert weight is not None
    scales = np.float32(weight_scale) * np.arange(1, 5, dtype=np.float32)
    values = np.clip(np.rint(weight / scales.reshape(4, 1, 1, 1)), -127, 127).astype(np.int8)
    one, zero = editor.add_constant("data.scale", np.float32(scale)), editor.add_constant("data.zero", np.int8(0))
    int8, each = editor.add_constant("a.conv.int8", values), editor.add_constant("a.conv.scale", scales)
    zeros = editor.add_constant("a.conv.zero", np.zeros(4, np.int8))
    pair = [
        make_node("QuantizeLinear", ["conv1.relu", one, zero], ["data.q"], "data.quantize"),
        make_node("DequantizeLinear", ["data.q", one, zero], ["data.dq"], "data.dequantize"),
        make_node("DequantizeLinear", [int8, each, zeros], ["weight.dq"], "weight.dequantize", axis=0),
    ]
    editor.insert_before(conv, pair)
    target = next(node for node in editor.nodes if node.name == "a.conv")
    target.input[0], target.input[1] = "data.dq", "weight.dq"
    editor.refresh()
    editor.prune()
    infer_shapes(model)
    return model


def casts(model: onnx.ModelProto) -> list[str]:
    return [node.output[0] for node in model.graph.node if node.op_type == "Cast"]


def types(model: onnx.ModelProto) -> dict[str, int]:
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def frames(count: int = 4) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "form",
    [
        "torchvision",
        "keras-inception",
        pytest.param("paper", marks=SLOW),
        pytest.param("factorized", marks=SLOW),
        pytest.param("factorized-asymmetric", marks=SLOW),
    ],
)
def test_every_form_builds_runs_and_is_half_as_large(
    form: str, steps: Any, make_frames: Frames, build_engine: Callable[[Path], int], tmp_path: Path
) -> None:
    made = steps(form)
    model = onnx.load(made.simplified)
    converted, report = convert_to_half(model)
    path = tmp_path / "half.onnx"
    save_graph(converted, path)
    share = path.stat().st_size / made.simplified.stat().st_size
    assert share < (0.6 if form == "keras-inception" else 0.51)
    spec = describe(path)
    assert (spec.input.dtype, *(value.dtype for value in spec.outputs)) == ("uint8", "float32", "float32")
    assert build_engine(path) < 0.7 * build_engine(made.simplified) or form == "keras-inception"
    loose = Tolerance(max_abs_error=1, min_sqnr_db=40, min_top1_agreement=0)
    compare(made.simplified, path, make_frames(5, made.input_px), batches=(1, 4), tolerance=loose)
    # All that is FP32 are the head, the mean, LRN and the softmax; a cast stands only where the type changes.
    kept = {node.op_type for node in model.graph.node if node.name in report.float_nodes}
    assert kept <= {"Cast", "Transpose", "Mul", "Add", "GlobalAveragePool", "ReduceMean", "LRN", "Softmax"}
    assert len(casts(converted)) == 5 + (4 if form == "paper" else 0)
    assert report.zeroed_share < 1e-4
    assert report.subnormal_share < 0.02


def test_types_between_head_and_tail() -> None:
    converted = to_half(network())
    kinds = types(converted)
    assert casts(converted) == ["input.cast", "input.add.half", "concat.float", "avgpool.half", "logits"]
    floats = {name for name, kind in kinds.items() if kind == FLOAT}
    head = {"input.cast", "input.transpose", "input.multiplier", "input.mul", "input.offset", "input.add"}
    assert floats == head | {"concat.float", "avgpool", "logits", "probabilities"}
    assert {name for name, kind in kinds.items() if kind not in (FLOAT, HALF)} == {"image"}
    check_graph(converted, "test")


def test_what_squares_inside_reads_and_writes_fp32() -> None:
    """TensorRT-RTX squares an LRN's input in the type of that input: 256 would overflow."""
    model = network()
    editor = GraphEditor(model)
    pool = next(node for node in editor.nodes if node.name == "b.pool")
    editor.insert_before(pool, [make_node("LRN", ["conv1.relu"], ["lrn"], "lrn", size=5)])
    pool = next(node for node in editor.nodes if node.name == "b.pool")
    pool.input[0] = "lrn"
    infer_shapes(model)
    converted, report = convert_to_half(model)
    kinds = types(converted)
    lrn = next(node for node in converted.graph.node if node.op_type == "LRN")
    assert [kinds[name] for name in (*lrn.input, *lrn.output)] == [FLOAT, FLOAT]
    assert "lrn" in report.float_nodes
    assert kinds["b.pool"] == kinds["lrn.half"] == HALF


def test_the_same_graph_gives_the_same_bytes_and_is_left_alone() -> None:
    model = quantized()
    before = model.SerializeToString(deterministic=True)
    first, second = (to_half(model, keep=["b.conv"]).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert model.SerializeToString(deterministic=True) == before


class TestKeep:
    def test_a_kept_node_has_casts_around_it(self) -> None:
        converted = to_half(network(), keep=["b.conv"])
        kinds = types(converted)
        assert kinds["b.conv"] == kinds["b.conv.weight"] == FLOAT
        assert kinds["b.pool"] == kinds["a.conv"] == kinds["concat"] == HALF
        assert {"b.pool.float", "b.conv.half"} <= set(casts(converted))

    def test_no_cast_goes_down_and_up_again(self) -> None:
        """Between two nodes in FP32, those that only select stay in FP32 too."""
        converted = to_half(network(), keep=["conv1.conv", "b.conv"])
        kinds = types(converted)
        assert kinds["conv1.relu"] == kinds["b.pool"] == kinds["b.conv"] == FLOAT
        assert kinds["a.conv"] == kinds["conv1.relu.half"] == HALF
        assert "input.add.half" not in kinds

    def test_all_in_fp32_is_the_graph_itself(self) -> None:
        model = network()
        converted = to_half(model, keep=[node.name for node in model.graph.node])
        assert [node.output[0] for node in converted.graph.node] == [node.output[0] for node in model.graph.node]
        assert HALF not in types(converted).values()

    def test_one_cast_serves_all_readers(self) -> None:
        converted = to_half(network(), keep=["a.conv", "b.pool"])
        assert casts(converted).count("conv1.relu.float") == 1
        assert not [name for name in casts(converted) if name.endswith("_1")]

    def test_a_weight_read_in_both_types_is_there_twice(self) -> None:
        model = network()
        next(node for node in model.graph.node if node.name == "b.conv").input[1] = "a.conv.weight"
        kinds = types(to_half(model, keep=["b.conv"]))
        assert (kinds["a.conv.weight"], kinds["a.conv.weight.half"]) == (FLOAT, HALF)

    def test_it_runs_and_is_nearer_to_fp32(self) -> None:
        model = network()
        loose = Tolerance(max_abs_error=1, min_sqnr_db=40)
        kept = to_half(model, keep=["conv1.conv", "a.conv", "b.conv", "fc"])
        assert compare(model, kept, frames(), tolerance=loose)[0].sqnr_db > 55

    def test_names_that_do_not_exist(self) -> None:
        with pytest.raises(UsageError, match=r"'b\.conf'.*did you mean 'b\.conv'"):
            to_half(network(), keep=["b.conf"])
        with pytest.raises(UsageError, match="collection of node names"):
            to_half(network(), keep="b.conv")


class TestRanges:
    def test_a_range_beyond_fp16(self) -> None:
        with pytest.raises(GraphError, match=r"'conv1\.conv' in row 'conv1'.*96000.*65504.*keep=\['conv1\.conv'"):
            to_half(network(), amax={"conv1.conv": 96_000.0, "concat": 1.0})

    def test_the_input_of_fp16_counts_and_a_kept_node_does_not(self) -> None:
        ranges = {"input.add": 70_000.0}
        with pytest.raises(GraphError, match=r"'input\.add' in row 'input'"):
            to_half(network(), amax=ranges)
        to_half(network(), amax=ranges, keep=["conv1.conv"])
        to_half(network(), amax={"avgpool": 65_000.0, "input.mul": 1e6})

    def test_a_range_near_the_end_is_remarked_on(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            report = convert_to_half(network(), amax={"a.conv": 40_000.0, "b.conv": 32_000.0})[1]
        assert [(note.tensor, note.row, note.amax) for note in report.near_overflow] == [("a.conv", "a", 40_000.0)]
        assert "40000" in caplog.text
        assert "concat" in report.unchecked
        assert not {"a.conv", "b.conv"} & set(report.unchecked)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
    def test_what_is_no_range(self, value: float) -> None:
        with pytest.raises(GraphError, match=r"'a\.conv', expected a finite number"):
            to_half(network(), amax={"a.conv": value})

    def test_a_table_of_another_graph(self) -> None:
        with pytest.raises(GraphError, match="'stranger', which the graph does not have"):
            to_half(network(), amax={"stranger": 1.0})


class TestWeights:
    @staticmethod
    def with_weight(name: str, change: Callable[[npt.NDArray[np.float32]], None]) -> onnx.ModelProto:
        model = network()
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(tensor).copy()
        change(values)
        tensor.CopyFrom(numpy_helper.from_array(values, name))
        return model

    def test_too_large(self) -> None:
        model = self.with_weight("a.conv.weight", lambda values: values.__setitem__((0, 0), -65_505.0))
        with pytest.raises(
            GraphError, match=r"'a\.conv\.weight' of node 'a\.conv' \(Conv\): got 65505.*keep=\['a\.conv'\]"
        ):
            to_half(model)
        to_half(model, keep=["a.conv"])

    def test_not_finite(self) -> None:
        model = self.with_weight("fc.bias", lambda values: values.__setitem__(0, np.nan))
        with pytest.raises(GraphError, match=r"'fc\.bias'.*NaN"):
            to_half(model)

    def test_what_is_lost_is_counted(self) -> None:
        def shrink(values: npt.NDArray[np.float32]) -> None:
            values[0] = 1e-9
            values[1] = 1e-5
            values[2] = 0

        report = convert_to_half(self.with_weight("fc.weight", shrink))[1]
        loss = next(loss for loss in report.weights if loss.tensor == "fc.weight")
        assert (loss.node, loss.size, loss.zeroed, loss.subnormal) == ("fc", 32, 8, 8)
        total = sum(loss.size for loss in report.weights)
        assert report.zeroed_share == 8 / total
        assert report.subnormal_share >= 8 / total

    def test_a_tensor_that_vanishes_is_remarked_on(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            to_half(self.with_weight("fc.weight", lambda values: values.fill(1e-9)))
        assert "'fc.weight'" in caplog.text
        assert "it becomes zero" in caplog.text


class TestScales:
    @given(st.floats(0, HALF_MAX, allow_nan=False))
    @settings(max_examples=60, deadline=None)
    def test_rounding(self, scale: float) -> None:
        rounded = round_scale_to_half(scale)
        assert rounded >= SCALE_FLOOR
        assert scale <= rounded <= max(SCALE_FLOOR, scale * (1 + 2**-10))
        assert float(np.float16(rounded)) == rounded
        assert round_scale_to_half(rounded) == rounded

    def test_arrays_keep_type_and_shape(self) -> None:
        scales = np.array([[0.0, 1e-8], [0.1, 3.0]], np.float32)
        rounded = round_scale_to_half(scales)
        assert rounded.dtype == np.float32
        np.testing.assert_array_equal(rounded.ravel(), [round_scale_to_half(float(value)) for value in scales.ravel()])
        assert round_scale_to_half(np.float64(0.1) * np.ones(2)).dtype == np.float64

    @pytest.mark.parametrize("scale", [-1.0, float("nan"), float("inf"), 65_505.0])
    def test_what_is_no_scale(self, scale: float) -> None:
        with pytest.raises(InputError, match="expected finite numbers of 0 to 65504"):
            round_scale_to_half(np.array([1.0, scale]))

    def test_pairs_in_fp16(self, build_engine: Callable[[Path], int], tmp_path: Path) -> None:
        model = quantized(scale=0.03)
        converted = to_half(model)
        kinds, before = types(converted), types(model)
        assert kinds["data.scale"] == kinds["a.conv.scale"] == kinds["data.dq"] == kinds["weight.dq"] == HALF
        assert kinds["data.q"] == kinds["a.conv.int8"] == before["a.conv.int8"] == onnx.TensorProto.INT8
        old, new = GraphEditor(model), GraphEditor(converted)
        np.testing.assert_array_equal(new.constant("a.conv.int8"), old.constant("a.conv.int8"))
        for name in ("data.scale", "a.conv.scale"):
            scale = old.constant(name)
            assert scale is not None
            np.testing.assert_array_equal(new.constant(name), round_scale_to_half(scale))
        save_graph(converted, tmp_path / "int8.onnx")
        assert build_engine(tmp_path / "int8.onnx") > 1000
        logits, _ = OnnxRunner(converted).run(frames())
        assert np.isfinite(logits).all()

    def test_a_small_scale_of_activations_gets_the_floor(self) -> None:
        scale = GraphEditor(to_half(quantized(scale=1e-9))).constant("data.scale")
        assert scale == np.float16(SCALE_FLOOR)

    def test_weights_quantized_by_a_scale_that_fp16_does_not_hold(self) -> None:
        with pytest.raises(GraphError, match=r"'weight\.dequantize'.*1e-05 for 4 of 4 channels.*round_scale_to_half"):
            to_half(quantized(weight_scale=1e-5))

    def test_a_subnormal_scale_that_fp16_holds_stays_and_is_remarked_on(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            converted = to_half(quantized(weight_scale=2.0**-16))
        scales = GraphEditor(converted).constant("a.conv.scale")
        assert scales is not None
        np.testing.assert_array_equal(scales, 2.0**-16 * np.arange(1, 5))
        assert "subnormal" in caplog.text

    @pytest.mark.parametrize(("scale", "message"), [(0.0, "got 0.0, expected positive"), (1e6, "1000000.0, expected")])
    def test_impossible_scales(self, scale: float, message: str) -> None:
        with pytest.raises(GraphError, match=rf"'data\.quantize'.*{message}"):
            to_half(quantized(scale=scale))

    def test_an_opset_without_fp16_scales(self) -> None:
        with pytest.raises(GraphError, match="got opset 17, expected 19 or later"):
            to_half(quantized(opset=17))
        to_half(network(opset=17))


class TestOtherGraphs:
    def test_a_graph_that_is_fp16_already(self) -> None:
        with pytest.raises(GraphError, match="got FLOAT16, expected an FP32 graph"):
            to_half(to_half(network()))

    def test_a_graph_that_is_not_simplified(self) -> None:
        model = network()
        constant = make_node("Constant", [], ["c"], "c", value=numpy_helper.from_array(np.ones(1, np.float32)))
        model.graph.node.insert(0, constant)
        with pytest.raises(GraphError, match="run simplify_onnx first"):
            to_half(model)

    def test_an_input_that_onnx_wants_in_float32_stays(self) -> None:
        model = network()
        editor = GraphEditor(model)
        scales = editor.add_constant("sizes", np.array([1, 1, 1, 1], np.float32))
        pool = next(node for node in editor.nodes if node.name == "b.pool")
        editor.insert_before(pool, [make_node("Resize", ["conv1.relu", "", scales], ["resized"], "resize")])
        pool = next(node for node in editor.nodes if node.name == "b.pool")
        pool.input[0] = "resized"
        infer_shapes(model)
        kinds = types(to_half(model))
        assert (kinds["resized"], kinds["sizes"]) == (HALF, FLOAT)
