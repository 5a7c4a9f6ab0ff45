from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper
from onnx.helper import make_node

from googlenet_edge.errors import UsageError, VerificationError
from googlenet_edge.graph.editor import GraphEditor, attribute
from googlenet_edge.graph.emulate import emulate_half
from googlenet_edge.graph.half import convert_to_half, round_scale_to_half, to_half
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.simplify import infer_shapes
from googlenet_edge.graph.verify import Tolerance, compare

Frames = Callable[..., npt.NDArray[np.uint8]]
Array = npt.NDArray[np.float32]
FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
SCALE = 0.05

RANDOM = np.random.default_rng(9)
W1 = (RANDOM.uniform(0.5, 1, (6, 3)) * RANDOM.choice([-1, 1], (6, 3))).astype(np.float32)
B1 = RANDOM.normal(0, 0.3, 6).astype(np.float32)
W2 = RANDOM.integers(-127, 128, (5, 6)).astype(np.int8)
S2 = round_scale_to_half(RANDOM.uniform(0.003, 0.01, 5).astype(np.float32))


def network(gain: float = 1.0, *, pairs: bool = True) -> onnx.ModelProto:
    """A deployable network of 1x1 convolutions, 5 classes; the second one is in INT8 if ``pairs``."""
    constants: dict[str, npt.NDArray[Any]] = {
        "multiplier": np.full((1, 3, 1, 1), 1 / 127.5, np.float32),
        "offset": np.full((1, 3, 1, 1), -1, np.float32),
        "w1": (W1 * np.float32(gain)).reshape(6, 3, 1, 1),
        "b1": B1,
    }
    nodes = [
        make_node("Cast", ["image"], ["input.cast"], "input.cast", to=FLOAT),
        make_node("Transpose", ["input.cast"], ["input.transpose"], "input.transpose", perm=[0, 3, 1, 2]),
        make_node("Mul", ["input.transpose", "multiplier"], ["input.mul"], "input.mul"),
        make_node("Add", ["input.mul", "offset"], ["input.add"], "input.add"),
        make_node("Conv", ["input.add", "w1", "b1"], ["conv1"], "conv1"),
        make_node("Relu", ["conv1"], ["relu1"], "relu1"),
    ]
    if pairs:
        constants |= {
            "s": np.array(SCALE, np.float32),
            "z": np.array(0, np.int8),
            "w2": W2.reshape(5, 6, 1, 1),
            "s2": S2,
        }
        constants["z2"] = np.zeros(5, np.int8)
        nodes += [
            make_node("QuantizeLinear", ["relu1", "s", "z"], ["q"], "q"),
            make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], "dq"),
            make_node("DequantizeLinear", ["w2", "s2", "z2"], ["weight"], "weight", axis=0),
            make_node("Conv", ["dq", "weight"], ["conv2"], "conv2"),
        ]
    else:
        # Undoes the gain, so that only the tensors in between are out of reach.
        constants["w2"] = (W2 * S2[:, None] / np.float32(gain)).reshape(5, 6, 1, 1)
        nodes.append(make_node("Conv", ["relu1", "w2"], ["conv2"], "conv2"))
    nodes += [
        make_node("GlobalAveragePool", ["conv2"], ["mean"], "mean"),
        make_node("Flatten", ["mean"], ["logits"], "flatten"),
        make_node("Softmax", ["logits"], ["probabilities"], "output.softmax", axis=1),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", 7, 7, 3])],
        [onnx.helper.make_tensor_value_info(name, FLOAT, ["N", 5]) for name in ("logits", "probabilities")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9)
    infer_shapes(model)
    return model


def images(count: int = 6) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (count, 7, 7, 3), dtype=np.uint8)


def rounded(values: npt.ArrayLike) -> Array:
    return np.asarray(values).astype(np.float16).astype(np.float32)


def conv(x: Array, weight: Array) -> Array:
    return np.asarray(np.einsum("oc,nchw->nohw", weight, x, dtype=np.float32))


def by_hand(image: npt.NDArray[np.uint8]) -> dict[str, Array]:
    """What a card computes, in numpy: FP32 inside an operation, FP16 between operations."""
    pixels = image.astype(np.float32).transpose(0, 3, 1, 2)
    x = rounded(pixels * np.float32(1 / 127.5) - np.float32(1))
    conv1 = rounded(conv(x, rounded(W1)) + rounded(B1).reshape(1, 6, 1, 1))
    relu1 = np.maximum(conv1, 0)
    scale = np.float32(round_scale_to_half(SCALE))
    dq = rounded(np.clip(np.rint(relu1 / scale), -128, 127) * scale)
    weight = rounded(W2.astype(np.float32) * S2[:, None])
    conv2 = rounded(conv(dq, weight))
    mean = conv2.mean(axis=(2, 3), keepdims=True, dtype=np.float32)  # and so the logits: nothing rounds on the way
    return {"input.add.half": x, "conv1": conv1, "relu1": relu1, "dq": dq, "conv2": conv2, "logits": mean[:, :, 0, 0]}


def test_it_is_what_numpy_computes_by_rounding_after_every_operation() -> None:
    image = images()
    found = OnnxRunner(emulate_half(network())).tensors(image)
    for name, expected in by_hand(image).items():
        got = found[name]
        assert name == "logits" or np.array_equal(got, rounded(got)), name
        # float32 sums in another order may round to the next FP16 number, in few places.
        np.testing.assert_allclose(got, expected, rtol=2**-9, atol=2**-11, err_msg=name)
        assert name == "logits" or (got == expected).mean() > 0.99, name


@pytest.mark.parametrize("keep", [[], ["conv1"], ["conv1", "conv2"], ["q", "dq", "weight", "conv2"]])
@pytest.mark.parametrize("pairs", [True, False])
def test_every_float16_tensor_has_its_pair_of_casts(keep: list[str], *, pairs: bool) -> None:
    model = network(pairs=pairs)
    keep = [name for name in keep if pairs or name in ("conv1", "conv2")]
    half, report = convert_to_half(model, keep=keep)
    emulated = emulate_half(model, keep=keep)
    editor = GraphEditor(emulated)
    assert bool(report.half_tensors) != (not pairs and keep == ["conv1", "conv2"])
    for name in report.half_tensors:
        up = editor.producer(name, "Cast")
        assert up is not None, name
        down = editor.producer(up.input[0], "Cast")
        assert down is not None, name
        assert (attribute(up, "to"), attribute(down, "to")) == (FLOAT, HALF)
    # And no other: as many roundings as there are float16 tensors.
    downs = [node for node in editor.nodes if node.op_type == "Cast" and attribute(node, "to") == HALF]
    assert len(downs) == len(report.half_tensors)
    lowered = {tensor.name for tensor in half.graph.initializer if tensor.data_type == HALF}
    for tensor in emulated.graph.initializer:
        assert tensor.data_type != HALF
        if tensor.name in lowered:
            values = numpy_helper.to_array(tensor)
            np.testing.assert_array_equal(values, rounded(values))
    for node in half.graph.node:
        assert node.op_type in ("Cast", "Flatten") or node.name in {other.name for other in emulated.graph.node}


def test_a_whole_network(steps: Any, make_frames: Frames) -> None:
    made = steps("keras-inception")
    model = onnx.load(made.simplified)
    loose = Tolerance(max_abs_error=1, min_sqnr_db=50)
    agreement = compare(model, emulate_half(model), make_frames(8, made.input_px), tolerance=loose)[0]
    assert 50 < agreement.sqnr_db < 90


def test_the_fp16_graph_itself_can_be_judged() -> None:
    model = network()
    direct = emulate_half(model, keep=["conv1"]).SerializeToString(deterministic=True)
    assert emulate_half(to_half(model, keep=["conv1"])).SerializeToString(deterministic=True) == direct
    with pytest.raises(UsageError, match="FP16 already"):
        emulate_half(to_half(model), keep=["conv1"])


class TestOverflow:
    """Activations reach 96,000 behind conv1 and come back behind conv2."""

    GAIN = 50_000.0

    @pytest.fixture
    def overflowing(self) -> onnx.ModelProto:
        model = network(self.GAIN, pairs=False)
        assert np.abs(OnnxRunner(model).tensors(images())["conv1"]).max() > 96_000
        return model

    def test_onnx_runtime_hides_it(self, overflowing: onnx.ModelProto) -> None:
        logits, probabilities = OnnxRunner(to_half(overflowing)).run(images())
        assert np.isfinite(logits).all()
        assert np.isfinite(probabilities).all()

    def test_the_emulation_shows_it(self, overflowing: onnx.ModelProto) -> None:
        with pytest.raises(VerificationError, match=r"first in tensor 'conv1'"):
            compare(overflowing, emulate_half(overflowing), images())

    def test_at_every_optimisation_level(self, overflowing: onnx.ModelProto, run_model: Any) -> None:
        assert not np.isfinite(run_model(emulate_half(overflowing), {"image": images()})[0]).all()

    def test_keeping_the_nodes_in_fp32_mends_it(self, overflowing: onnx.ModelProto) -> None:
        emulated = emulate_half(overflowing, keep=["conv1", "conv2"])
        loose = Tolerance(max_abs_error=1, min_sqnr_db=50)
        compare(overflowing, emulated, images(), tolerance=loose)
