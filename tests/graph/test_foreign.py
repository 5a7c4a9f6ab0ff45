"""Classifiers as others export them: the ONNX zoo's GoogLeNet, PyTorch's, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx.helper import make_node, make_tensor_value_info

from googlenet_edge.errors import GraphError, VerificationError
from googlenet_edge.graph.foreign import ForeignRunner, adapt_onnx
from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.simplify import simplify_onnx
from googlenet_edge.graph.store import load_graph
from googlenet_edge.graph.verify import compare
from googlenet_edge.types import Normalization

Frames = Callable[..., npt.NDArray[np.uint8]]
FLOAT = onnx.TensorProto.FLOAT
CAFFE = Normalization((104 / 255, 117 / 255, 123 / 255), (1 / 255, 1 / 255, 1 / 255), "bgr")
"""BGR pixels of 0 to 255 less a mean: what the zoo's GoogLeNet was trained on."""


def weights(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    scale = 2 / float(np.sqrt(np.prod(shape[1:])))
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def save(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def model_of(
    nodes: list[onnx.NodeProto],
    constants: dict[str, npt.NDArray[Any]],
    *,
    opset: int,
    ir: int,
    output: tuple[str, list[int | str]],
    input_shape: tuple[int | str, ...] = (1, 3, 32, 32),
) -> onnx.ModelProto:
    image = make_tensor_value_info("data_0", FLOAT, input_shape)
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    inputs = [image]
    if ir < 4:
        # Old files list every initializer as an input too.
        inputs += [make_tensor_value_info(i.name, i.data_type, list(i.dims)) for i in initializers]
    graph = onnx.helper.make_graph(
        nodes, "inception", inputs, [make_tensor_value_info(output[0], FLOAT, output[1])], initializers
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = ir
    return model


def zoo_like(opset: int = 9, ir: int = 3) -> onnx.ModelProto:
    """A few layers like the zoo's GoogLeNet: LRN, Dropout with a mask, a fixed batch, softmax behind a Reshape."""
    constants: dict[str, npt.NDArray[Any]] = {
        "conv1/7x7_s2_w_0": weights(1, 8, 3, 7, 7) * np.float32(0.01),
        "conv1/7x7_s2_b_0": weights(2, 8, 1).reshape(-1),
        "inception_3a/1x1_w_0": weights(3, 4, 8, 1, 1),
        "inception_3a/1x1_b_0": weights(4, 4, 1).reshape(-1),
        "inception_3a/3x3_w_0": weights(5, 6, 8, 3, 3),
        "inception_3a/3x3_b_0": weights(6, 6, 1).reshape(-1),
        "OC2_DUMMY_1": np.array([1, 10]),
        "loss3/classifier_w_0": weights(7, 5, 10),
        "loss3/classifier_b_0": weights(8, 5, 1).reshape(-1),
    }
    dropout: dict[str, Any] = {"ratio": 0.4} if opset < 12 else {}
    nodes = [
        make_node(
            "Conv", ["data_0", "conv1/7x7_s2_w_0", "conv1/7x7_s2_b_0"], ["conv1/7x7_s2_1"], pads=[3] * 4, strides=[2, 2]
        ),
        make_node("Relu", ["conv1/7x7_s2_1"], ["conv1/7x7_s2_2"]),
        make_node(
            "MaxPool", ["conv1/7x7_s2_2"], ["pool1/3x3_s2_1"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 2, 2]
        ),
        make_node("LRN", ["pool1/3x3_s2_1"], ["pool1/norm1_1"], alpha=1e-4, beta=0.75, bias=1.0, size=5),
        make_node("Conv", ["pool1/norm1_1", "inception_3a/1x1_w_0", "inception_3a/1x1_b_0"], ["inception_3a/1x1_1"]),
        make_node("Relu", ["inception_3a/1x1_1"], ["inception_3a/1x1_2"]),
        make_node(
            "Conv",
            ["pool1/norm1_1", "inception_3a/3x3_w_0", "inception_3a/3x3_b_0"],
            ["inception_3a/3x3_1"],
            pads=[1] * 4,
        ),
        make_node("Relu", ["inception_3a/3x3_1"], ["inception_3a/3x3_2"]),
        make_node("Concat", ["inception_3a/1x1_2", "inception_3a/3x3_2"], ["inception_3a/output_1"], axis=1),
        make_node("AveragePool", ["inception_3a/output_1"], ["pool5/7x7_s1_1"], kernel_shape=[8, 8], strides=[1, 1]),
        make_node("Dropout", ["pool5/7x7_s1_1"], ["pool5/7x7_s1_2", "_pool5/mask"], **dropout),
        make_node("Reshape", ["pool5/7x7_s1_2", "OC2_DUMMY_1"], ["pool5/flat"]),
        make_node(
            "Gemm", ["pool5/flat", "loss3/classifier_w_0", "loss3/classifier_b_0"], ["loss3/classifier_1"], transB=1
        ),
        make_node("Softmax", ["loss3/classifier_1"], ["prob_1"]),
    ]
    return model_of(nodes, constants, opset=opset, ir=ir, output=("prob_1", [1, 5]))


def fully_convolutional(opset: int) -> onnx.ModelProto:
    """Old batch norm with its training outputs, and probabilities of shape (1, classes, 1, 1)."""
    constants = {"w": weights(1, 6, 3, 3, 3), "v": weights(2, 6, 1).reshape(-1), "s": np.full(6, 1.5, np.float32)}
    nodes = [
        make_node("Conv", ["data_0", "w"], ["c"]),
        make_node("BatchNormalization", ["c", "s", "v", "v", "s"], ["n", "", "", "", ""][: 1 if opset > 8 else 5]),
        make_node("GlobalAveragePool", ["n"], ["g"]),
        make_node("Softmax", ["g"], ["prob_1"], axis=1),
    ]
    return model_of(nodes, constants, opset=opset, ir=3, output=("prob_1", [1, 6, 1, 1]))


@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (9, 3), (12, 7), (13, 8), (17, 8), (19, 9)])
def test_the_manner_of_the_zoo(
    tmp_path: Path, make_frames: Frames, build_engine: Callable[[Path], int], opset: int, ir: int
) -> None:
    source = save(tmp_path / "inception.onnx", zoo_like(opset, ir))
    adapted, simplified = tmp_path / "adapted.onnx", tmp_path / "simplified.onnx"
    spec = adapt_onnx(source, adapted, normalization=CAFFE)
    assert str(spec.input) == "'image': uint8 (N, 32, 32, 3)"
    assert (spec.class_count, spec.input_px, spec.opset) == (5, 32, 19)
    simplify_onnx(adapted, simplified)
    frames = make_frames(5, 32)
    compare(ForeignRunner(source, CAFFE), simplified, frames)
    compare(adapted, simplified, frames)
    logits, probabilities = OnnxRunner(simplified).run(frames)
    assert probabilities.max() < 0.999
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), probabilities, atol=1e-5)
    model = load_graph(simplified)
    assert model.ir_version <= 10
    assert {"LRN", "GlobalAveragePool", "Flatten"} <= {node.op_type for node in model.graph.node}
    assert {row.row for row in node_rows(model)} == {
        "input",
        "conv1",
        "pool1",
        "inception_3a",
        "pool5",
        "loss3",
        "output",
    }
    if opset in (9, 12):
        assert build_engine(simplified) > 1000


@pytest.mark.parametrize("opset", [7, 9, 13])
def test_scores_of_shape_n_classes_1_1(
    tmp_path: Path, make_frames: Frames, opset: int, normalization: Normalization
) -> None:
    source = save(tmp_path / "f.onnx", fully_convolutional(opset))
    spec = adapt_onnx(source, tmp_path / "a.onnx", normalization=normalization)
    assert spec.class_count == 6
    simplify_onnx(tmp_path / "a.onnx", tmp_path / "s.onnx")
    compare(ForeignRunner(source, normalization), tmp_path / "s.onnx", make_frames(3, 32))
    assert "BatchNormalization" not in {node.op_type for node in load_graph(tmp_path / "s.onnx").graph.node}


def test_logits_without_softmax_an_open_size_and_both_outputs(tmp_path: Path, normalization: Normalization) -> None:
    model = zoo_like(13, 8)
    del model.graph.node[-1]
    model.graph.output[0].name = "loss3/classifier_1"
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    source = save(tmp_path / "l.onnx", model)
    with pytest.raises(GraphError, match="height and width are open: say input_px"):
        adapt_onnx(source, tmp_path / "a.onnx", normalization=normalization)
    assert adapt_onnx(source, tmp_path / "a.onnx", normalization=normalization, input_px=32).input_px == 32
    both = zoo_like(13, 8)
    both.graph.output.append(make_tensor_value_info("loss3/classifier_1", FLOAT, [1, 5]))
    adapt_onnx(save(tmp_path / "b.onnx", both), tmp_path / "b2.onnx", normalization=normalization)


@pytest.mark.parametrize("taken", ["input", "inside"])
def test_names_that_are_taken(tmp_path: Path, normalization: Normalization, taken: str) -> None:
    """A graph with a tensor called image, whose scores are called probabilities, and which has inner logits."""
    constants = {"w": weights(1, 4, 3, 1, 1), "v": weights(2, 4, 4)}
    nodes = [
        make_node("Conv", ["image" if taken == "input" else "data_0", "w"], ["logits"]),
        make_node("GlobalAveragePool", ["logits"], ["input.cast"]),
        make_node("Flatten", ["input.cast"], ["image" if taken == "inside" else "f"]),
        make_node("MatMul", ["image" if taken == "inside" else "f", "v"], ["probabilities"]),
    ]
    model = model_of(nodes, constants, opset=13, ir=8, output=("probabilities", ["b", 4]), input_shape=("b", 3, 8, 8))
    model.graph.input[0].name = "image" if taken == "input" else "data_0"
    spec = adapt_onnx(save(tmp_path / "n.onnx", model), tmp_path / "a.onnx", normalization=normalization)
    assert [output.name for output in spec.outputs] == ["logits", "probabilities"]


def test_external_data(tmp_path: Path) -> None:
    onnx.save(zoo_like(), tmp_path / "e.onnx", save_as_external_data=True, location="e.data", size_threshold=0)
    adapt_onnx(tmp_path / "e.onnx", tmp_path / "a.onnx", normalization=CAFFE)
    (tmp_path / "e.data").unlink()
    with pytest.raises(GraphError, match="external data"):
        adapt_onnx(tmp_path / "e.onnx", tmp_path / "b.onnx", normalization=CAFFE)
    assert not (tmp_path / "b.onnx").exists()


def test_a_wrong_normalisation_is_for_the_user_to_see_but_the_arithmetic_is_proved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "i.onnx", zoo_like())

    def swapped(normalization: Normalization) -> tuple[Any, Any]:
        return np.ones(3, np.float32), np.array([-123, -117, -104], np.float32)

    monkeypatch.setattr("googlenet_edge.graph.head.factors_bgr", swapped)
    with pytest.raises(VerificationError, match="worst for frame"):
        adapt_onnx(source, tmp_path / "a.onnx", normalization=CAFFE)
    assert not (tmp_path / "a.onnx").exists()


def alter_input(shape: list[int | str], kind: int = FLOAT) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(make_tensor_value_info("data_0", kind, shape))
        del model.graph.node[:]
        model.graph.node.append(make_node("Flatten", ["data_0"], ["prob_1"]))
        model.graph.output[0].CopyFrom(make_tensor_value_info("prob_1", kind, [1, "features"]))

    return change


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(make_tensor_value_info("scale", FLOAT, [1]))
    model.graph.node.append(make_node("Mul", ["prob_1", "scale"], ["y"]))
    model.graph.output[0].name = "y"


def detector(model: onnx.ModelProto) -> None:
    model.graph.output.append(make_tensor_value_info("inception_3a/output_1", FLOAT, [1, 10, 8, 8]))


def heat_map(model: onnx.ModelProto) -> None:
    model.graph.output[0].CopyFrom(make_tensor_value_info("inception_3a/output_1", FLOAT, [1, 10, 8, 8]))


def quantized(model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    for name, value in (("scale", np.float32(0.1)), ("zero", np.int8(0))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    nodes.insert(0, make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"], name="dq"))
    nodes.insert(0, make_node("QuantizeLinear", ["data_0", "scale", "zero"], ["q"], name="quantize"))
    nodes[2].input[0] = "dq"


def sigmoid(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Sigmoid"
    del model.graph.node[-1].attribute[:]


def custom(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model.graph.node[1].domain = "com.microsoft"


def training(model: onnx.ModelProto) -> None:
    model.graph.output.append(make_tensor_value_info("_pool5/mask", onnx.TensorProto.BOOL, [1, 10, 1, 1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (alter_input([1, 32, 32, 3]), r"channels last \(NHWC\), expected channels first"),
        (alter_input([1, 32, 32, 3], onnx.TensorProto.UINT8), "has a uint8 head already"),
        (alter_input([1, 3, 32, 32], onnx.TensorProto.FLOAT16), "float16 .*expected float32"),
        (alter_input([1, 1, 32, 32]), "expected three channels"),
        (alter_input([1, 3, 32, 48]), "expected a square image"),
        (alter_input([1, 3072]), "expected float32 .N, 3, height, width"),
        (second_input, "got 2 inputs .*expected one image"),
        (detector, "got 2 outputs .*a detector is no classifier"),
        (heat_map, "scores for each place in the image"),
        (quantized, "'quantize' .QuantizeLinear.: the graph is quantized already"),
        (sigmoid, "sigmoid scores"),
        (custom, "com.microsoft.Relu, expected ONNX's own"),
        (training, "training mode|got 2 outputs"),
    ],
)
def test_what_is_no_classifier_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str, normalization: Normalization
) -> None:
    model = zoo_like(13, 8)
    change(model)
    with pytest.raises(GraphError, match=message):
        adapt_onnx(save(tmp_path / "m.onnx", model), tmp_path / "a.onnx", normalization=normalization)
    assert not (tmp_path / "a.onnx").exists()


def test_a_size_that_is_not_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="expected 224 x 224 pixels; leave input_px out, or say 32"):
        adapt_onnx(save(tmp_path / "m.onnx", zoo_like()), tmp_path / "a.onnx", normalization=CAFFE, input_px=224)


@pytest.mark.slow
def test_the_papers_network_as_the_zoo_has_it(
    tmp_path: Path, steps: Any, make_frames: Frames, normalization: Normalization
) -> None:
    """Our own full-width export, brought back to opset 12 with a fixed batch, and adapted from there."""
    model = load_graph(steps("paper").simplified)
    graph = model.graph
    for name in ("input.gather", "input.add", "input.mul", "input.transpose", "input.cast"):
        for node in [node for node in graph.node if node.name == name]:
            graph.node.remove(node)
    first = next(node for node in graph.node if node.op_type == "Conv")
    first.input[0] = "data_0"
    graph.input[0].CopyFrom(make_tensor_value_info("data_0", FLOAT, [1, 3, 224, 224]))
    flatten = next(node for node in graph.node if node.op_type == "Flatten")
    flatten.op_type = "Reshape"
    del flatten.attribute[:]
    flatten.input.append("shape")
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1024]), "shape"))
    del graph.output[:]
    graph.output.append(make_tensor_value_info("probabilities", FLOAT, [1, 10]))
    del graph.value_info[:]
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    for tensor in graph.initializer:
        graph.input.append(make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    model.opset_import[0].version, model.ir_version = 12, 3
    # The first convolution's weights are in BGR order since simplifying turned the head's channels into them.
    mean, std = normalization.mean[::-1], normalization.std[::-1]
    bgr = Normalization((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), "bgr")
    source = save(tmp_path / "googlenet.onnx", model)
    adapt_onnx(source, tmp_path / "a.onnx", normalization=bgr)
    simplify_onnx(tmp_path / "a.onnx", tmp_path / "s.onnx")
    compare(steps("paper").deployable, tmp_path / "s.onnx", make_frames(3), batches=(3,), threads=1)
