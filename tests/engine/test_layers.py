"""Engine layers from the builder's log and from the engine inspector."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.layer_log import nodes_in_name
from googlenet_edge.engine.layer_types import dtype_in, nodes_in_metadata
from googlenet_edge.engine.layers import EngineLayer, LayerTensor, parse_inspector, parse_layers, rows_of
from googlenet_edge.errors import EngineError
from googlenet_edge.types import NodeRow

RECORDED = [("fp32", "sm86"), ("fp16", "sm86"), ("fp16", "sm75"), ("int8", "sm86"), ("int8", "sm75")]

# The two formats of TensorRT 10, after logs and files that users have published, with names of our own: no TensorRT 10
# can run where these tests do.
TENSORRT_10_LOG = """\
[11/01/2024-10:32:57] [I] [TRT] Engine generation completed in 8.62539 seconds.
[11/01/2024-10:32:57] [V] [TRT] Layers:
Name: input.add.quantize, LayerType: Reformat, Inputs: [ { Name: image, Location: Device, Dimensions: [1,3,224,224], \
Format/Datatype: Half }], Outputs: [ { Name: image.q, Location: Device, Dimensions: [1,3,224,224], Format/Datatype: \
Thirty-two wide channel vectorized row major Int8 format }], ParameterType: Reformat, Origin: QDQ, TacticValue: \
0x00000000000003ea, StreamId: 0, Metadata: [ONNX Layer: input.add.quantize]
Name: conv1.conv.weight + conv1.conv + PWN(conv1.relu), LayerType: CaskConvolution, Inputs: [ { Name: image.q, \
Location: Device, Dimensions: [1,3,224,224], Format/Datatype: Thirty-two wide channel vectorized row major Int8 format \
}], Outputs: [ { Name: conv1.relu, Location: Device, Dimensions: [1,64,112,112], Format/Datatype: Thirty-two wide \
channel vectorized row major Int8 format }], ParameterType: Convolution, Kernel: [7,7], PaddingMode: \
kEXPLICIT_ROUND_DOWN, Weights: {"Type": "Int8", "Count": 9408}, Bias: {"Type": "Float", "Count": 64}, HasReLU: 1, \
TacticName: sm80_xmma_fprop_implicit_gemm_i8i8_i8i32_f32, TacticValue: 0x280b0ad3c23d8442, StreamId: 0, \
Metadata: [ONNX Layer: conv1.conv]\x1e[ONNX Layer: conv1.relu]

Bindings:
image
"""

TENSORRT_10_JSON = """{"Layers": [{
  "Name": "input.add.quantize",
  "LayerType": "Reformat",
  "Inputs": [
  {
    "Name": "image",
    "Location": "Device",
    "Dimensions": [1,3,224,224],
    "Format/Datatype": "Half"
  }],
  "Outputs": [
  {
    "Name": "image.q",
    "Location": "Device",
    "Dimensions": [1,3,224,224],
    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"
  }],
  "ParameterType": "Reformat",
  "Origin": "QDQ",
  "TacticValue": "0x00000000000003ea",
  "StreamId": 0,
  "Metadata": "[ONNX Layer: input.add.quantize]"
},{
  "Name": "conv1.conv.weight + conv1.conv + PWN(conv1.relu)",
  "LayerType": "CaskConvolution",
  "Inputs": [
  {
    "Name": "image.q",
    "Location": "Device",
    "Dimensions": [1,3,224,224],
    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"
  }],
  "Outputs": [
  {
    "Name": "conv1.relu",
    "Location": "Device",
    "Dimensions": [1,64,112,112],
    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"
  }],
  "ParameterType": "Convolution",
  "Kernel": [7,7],
  "Weights": {"Type": "Int8", "Count": 9408},
  "Bias": {"Type": "Float", "Count": 64},
  "TacticName": "sm80_xmma_fprop_implicit_gemm_i8i8_i8i32_f32",
  "TacticValue": "0x280b0ad3c23d8442",
  "StreamId": 0,
  "Metadata": "[ONNX Layer: conv1.conv]\\u001e[ONNX Layer: conv1.relu]"
}],
"Bindings": ["image"]
}
"""

LAYER_NAMES_ONLY = """\
[04/18/2025-03:52:06] [V] [TRT] Engine Layer Information:
Layer(Reformat): Reformatting CopyNode for Input Tensor 0 to conv1 + relu1, Tactic: 0x00000000000003e8, \
image (Float[-1,3,28,28]) -> Reformatted Input Tensor 0 to conv1 + relu1 (Half[-1,3:4,28,28])
Layer(CaskConvolution): conv1 + PWN(relu1), Tactic: 0x4727434768e46395, Reformatted Input Tensor 0 to conv1 + relu1 \
(Half[-1,3:4,28,28]) -> (Unnamed Layer* 1) [Activation]_output[Half(-1,32,28,28)]
Layer(Constant): scale, Tactic: 0x0000000000000000,  -> scale_output (Float[1,32,1,1])
Layer(Myelin): {ForeignNode[a.b + c...d]}, Tactic: 0x0000000000000000, (Unnamed Layer* 1) [Activation]_output\
[Half(-1,32,28,28)], scale_output (Float[1,32,1,1]) -> probabilities (Float[-1,5])
"""


@pytest.mark.parametrize(("precision", "target"), RECORDED)
def test_every_line_of_a_real_log_is_read(
    precision: str, target: str, recorded_log: Callable[[str, str], tuple[str, ...]]
) -> None:
    log = recorded_log(precision, target)
    layers = parse_layers(log)
    assert len(layers) == sum(", LayerType: " in line for line in log)
    for layer, line in zip(layers, (line for line in log if ", LayerType: " in line), strict=True):
        tensors = (*layer.inputs, *layer.outputs, *layer.weights)
        assert len(tensors) == line.count("Dimensions: ")
        assert len(layer.onnx_nodes) == len(set(line.split("[ONNX Layer: ")[1:])) == line.count("[ONNX Layer: ")
        assert all(tensor.dtype and tensor.shape and tensor.layout for tensor in tensors)


def test_a_layer_of_a_real_log_reads_as_it_is_written(recorded_log: Callable[[str, str], tuple[str, ...]]) -> None:
    layer = next(layer for layer in parse_layers(recorded_log("int8", "sm86")) if layer.name.startswith("conv2.conv"))
    assert layer.type == "correlation"
    assert [(tensor.dtype, tensor.shape) for tensor in layer.inputs] == [("Int8", (-1, 64, 56, 56))]
    assert [(tensor.dtype, tensor.shape) for tensor in layer.outputs] == [("Float", (-1, 64, 56, 56))]
    assert ("Int8", (64, 64, 1, 1)) in [(tensor.dtype, tensor.shape) for tensor in layer.weights]
    assert layer.inputs[0].layout == "(NHWC) Channel major format"
    assert layer.inputs[0].frame_bytes() == 64 * 56 * 56
    assert layer.outputs[0].frame_bytes() == 4 * 64 * 56 * 56
    assert layer.onnx_nodes == ("conv2.conv", "maxpool1.dequantize", "conv2.conv.weight.dequantize")
    assert layer.tactic == "__myelin_CASK_STUB"


def test_the_log_and_the_json_of_tensorrt_10_tell_the_same() -> None:
    layers = parse_layers([TENSORRT_10_LOG])
    assert layers == parse_inspector(TENSORRT_10_JSON)
    quantize, convolution = layers
    assert quantize.inputs == (LayerTensor("image", "Half", (1, 3, 224, 224), "Half"),)
    assert quantize.outputs[0].dtype == "Int8"
    assert quantize.tactic == "0x00000000000003ea"
    assert convolution.type == "CaskConvolution"
    assert convolution.onnx_nodes == ("conv1.conv", "conv1.relu")
    assert convolution.tactic == "sm80_xmma_fprop_implicit_gemm_i8i8_i8i32_f32"
    assert convolution.weights == (LayerTensor("", "Int8", (9408,)),)


def test_type_and_layout_are_apart_in_tensorrt_11() -> None:
    tensor = '{"Name": "x", "Dimensions": [-1, 8], "Datatype": "Half", "Format": "Row major linear FP16 format"}'
    (layer,) = parse_inspector(f'{{"Layers": [{{"Name": "fc", "LayerType": "gemm", "Inputs": [{tensor}]}}]}}')
    assert layer.inputs == (LayerTensor("x", "Half", (-1, 8), "Row major linear FP16 format"),)
    assert layer.onnx_nodes == ("fc",)


def test_a_log_without_details_still_tells_types() -> None:
    reformat, convolution, constant, rest = parse_layers(LAYER_NAMES_ONLY.split("\n"))
    assert (reformat.type, reformat.onnx_nodes) == ("Reformat", ())
    assert [(tensor.dtype, tensor.shape) for tensor in reformat.outputs] == [("Half", (-1, 3, 28, 28))]
    assert (convolution.type, convolution.onnx_nodes) == ("CaskConvolution", ("conv1", "relu1"))
    assert convolution.outputs[0].name == "(Unnamed Layer* 1) [Activation]_output"
    assert convolution.tactic == "0x4727434768e46395"
    assert (constant.inputs, len(constant.outputs)) == ((), 1)
    assert [tensor.name for tensor in rest.inputs] == [convolution.outputs[0].name, "scale_output"]
    assert rest.onnx_nodes == ("a.b", "c", "d")


def test_of_two_engines_in_one_log_the_last_one_is_read(recorded_log: Callable[[str, str], tuple[str, ...]]) -> None:
    both = (*recorded_log("fp32", "sm86"), *recorded_log("fp16", "sm86"))
    assert parse_layers(both) == parse_layers(recorded_log("fp16", "sm86"))


def test_a_log_without_layers_is_refused_with_what_was_looked_for() -> None:
    with pytest.raises(EngineError, match=r"got 3 lines of log, expected 'Layers:' or 'Engine Layer Information:'"):
        parse_layers(["Engine generation completed.\nTotal Weights Memory: 3", "done"])


def test_a_list_in_a_format_that_is_not_known_is_refused() -> None:
    with pytest.raises(EngineError, match=r"got 'Layers:' with no layer below it"):
        parse_layers(["Layers:", "layer 0 = conv1"])
    with pytest.raises(EngineError, match=r"line 2 of the log: got 'Name: conv1, LayerType: kgen, Outputs: \[\]'"):
        parse_layers(["Layers:\nName: conv1, LayerType: kgen, Outputs: []"])
    with pytest.raises(EngineError, match=r"line 2 .*Dimensions: \[one\]"):
        parse_layers(
            ["Layers:\nName: a, LayerType: b, Inputs: [ { Name: x, Dimensions: [one], Format: y }], Outputs: []"]
        )


@pytest.mark.parametrize("lines", [0, 3, 17, 80])
def test_a_log_that_ends_within_a_layer_is_refused(
    lines: int, recorded_log: Callable[[str, str], tuple[str, ...]]
) -> None:
    log = recorded_log("int8", "sm86")
    start = log.index("Layers:") + 1
    with pytest.raises(EngineError, match=r"expected 'Name: \.\.\., LayerType: "):
        parse_layers([*log[: start + lines], log[start + lines][:60]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON as `trtexec --exportLayerInfo=FILE` writes it"),
        ("\x00\x01plan", "expected JSON"),
        ('{"Layers": [{"Name": 3, "LayerType": "a"}', "expected JSON"),
        ('{"Bindings": []}', "Layers"),
        ('{"Layers": []}', "got no layers"),
        ('{"Layers": ["conv1", "conv2"]}', "got the names of 2 layers only.*--profilingVerbosity=detailed"),
    ],
)
def test_json_that_tells_no_layers_is_refused(text: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        parse_inspector(text)


@given(st.text())
def test_any_text_is_read_or_refused_with_our_error(text: str) -> None:
    with contextlib.suppress(EngineError):
        assert all(isinstance(layer, EngineLayer) for layer in parse_layers(["Layers:", text]))
    with contextlib.suppress(EngineError):
        assert all(isinstance(layer, EngineLayer) for layer in parse_inspector(text))


@given(st.lists(st.text(st.characters(exclude_characters="\x1e\x1f\n"), min_size=1), unique=True))
def test_nodes_keep_their_names_whatever_these_hold(names: list[str]) -> None:
    assert nodes_in_metadata("\x1f".join(f"[ONNX Layer: {name}]" for name in names)) == tuple(names)


def test_what_is_written_behind_the_last_node_is_no_node() -> None:
    metadata = "[ONNX Layer: conv [1]]\x1f[ONNX Layer: relu]__gemm_from_conv1x1"
    assert nodes_in_metadata(metadata) == ("conv [1]", "relu")
    assert nodes_in_metadata("") == ()


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("conv1", ("conv1",)),
        ("conv1.conv + PWN(conv1.relu)", ("conv1.conv", "conv1.relu")),
        ("PWN(PWN(relu_1), add_1)", ("relu_1", "add_1")),
        ("a.conv || b.conv", ("a.conv", "b.conv")),
        ("Reformatting CopyNode for Input Tensor 0 to conv1", ()),
    ],
)
def test_a_name_tells_the_nodes_where_there_is_no_metadata(name: str, nodes: tuple[str, ...]) -> None:
    assert nodes_in_name(name) == nodes


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("Half", "Half"),
        ("Row major linear FP32", "Float"),
        ("Row major linear BF16 format", "BFloat16"),
        ("Two wide channel vectorized row major FP16 format", "Half"),
        ("Row major INT8 format", "Int8"),
        ("Row major linear UINT8 format", "UInt8"),
        ("Row major Int64 format", "Int64"),
        ("something new", ""),
    ],
)
def test_an_element_type_is_found_in_tensorrts_words(text: str, dtype: str) -> None:
    assert dtype_in(text) == dtype


def test_rows_are_those_of_the_nodes_in_the_networks_order() -> None:
    nodes = [NodeRow("a", "Conv", "conv1", 3), NodeRow("b", "Relu", "conv1", 0), NodeRow("c", "MaxPool", "pool", 0)]
    layer = EngineLayer("x", "kgen", (), (), ("c", "b", "not in the bundle"), None)
    assert rows_of(layer, nodes) == ("conv1", "pool")


def test_the_real_builder_logs_layers_that_can_be_read(tiny_bundle: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install '.[rtx]'")
    from googlenet_edge.engine.flavour import load_flavour
    from googlenet_edge.engine.layer_survey import survey_bundle
    from googlenet_edge.engine.options import BuildOptions

    bundle = Bundle.open(tiny_bundle)
    report = survey_bundle(bundle, load_flavour("tensorrt_rtx"), BuildOptions(targets=("8.6",)))
    counts = Counter(layer.kind for layer in report.layers)
    assert counts["convolution"] + counts["matrix product"] == 2
    assert report.total().macs == sum(node.macs for node in bundle.manifest.nodes)
    assert report.facts.plan_bytes is not None
    assert report.facts.plan_bytes > 1000
    assert report.facts.title.startswith("tiny, fp32, TensorRT-RTX 1.")


def test_the_documents_of_a_device_are_read_from_a_file(tiny_bundle: Path, tmp_path: Path) -> None:
    from googlenet_edge.engine.layer_survey import survey_file

    bundle, path = Bundle.open(tiny_bundle), tmp_path / "layers.json"
    layer = {"Name": "conv1/Conv", "LayerType": "CaskConvolution", "Metadata": "[ONNX Layer: conv1/Conv]"}
    tensor = {"Name": "x", "Dimensions": [1, 3, 224, 224], "Format/Datatype": "Row major linear FP32"}
    path.write_text(json.dumps({"Layers": [layer | {"Inputs": [tensor], "Outputs": [tensor]}]}), encoding="utf-8")
    report = survey_file(bundle, path)
    assert [(each.kind, each.dtype, each.row) for each in report.layers] == [("convolution", "Float", "conv1")]
    assert [folded.node.node for folded in report.folded] == ["fc/Gemm"]
    assert report.facts.builder == "an engine from elsewhere (layers.json)"

    path.write_text('{"Layers": [{"Name": "yolo.conv", "LayerType": "gemm"}]}', encoding="utf-8")
    with pytest.raises(EngineError, match=r"layers that name 'yolo.conv', expected nodes of the bundle 'tiny'"):
        survey_file(bundle, path)
    with pytest.raises(EngineError, match=r"cannot be read: .*No such file"):
        survey_file(bundle, tmp_path / "nothing.json")
    for endless in ("/dev/zero", str(tmp_path)):
        with pytest.raises(EngineError, match="got a folder, pipe or device, expected a file"):
            survey_file(bundle, Path(endless))
