"""What follows from an engine's layers: kinds, rows, totals, causes and findings, on recorded engines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from googlenet_edge.engine.layer_kind import CONVERSIONS
from googlenet_edge.engine.layer_report import EngineFacts, EngineReport, report_engine
from googlenet_edge.engine.layers import EngineLayer, LayerTensor
from googlenet_edge.types import NodeRow

RECORDED = [("fp32", "sm86"), ("fp16", "sm86"), ("fp16", "sm75"), ("int8", "sm86"), ("int8", "sm75")]
RecordedReport = Callable[[str, str], EngineReport]
RecordedNodes = Callable[[str], tuple[NodeRow, ...]]


@pytest.mark.parametrize(("precision", "target"), RECORDED)
def test_no_node_is_lost_and_none_counts_twice(
    precision: str, target: str, recorded_report: RecordedReport, recorded_nodes: RecordedNodes
) -> None:
    report, nodes = recorded_report(precision, target), recorded_nodes(precision)
    in_layers = {name for layer in report.layers for name in layer.layer.onnx_nodes}
    folded = {folded.node.node for folded in report.folded}
    assert in_layers | folded == {node.node for node in nodes}
    assert not in_layers & folded
    assert report.strangers == ()
    assert {folded.node.operator for folded in report.folded} <= {"Concat", "Flatten"}
    assert all(folded.reason.startswith("no work: ") for folded in report.folded)
    assert report.total().macs == sum(node.macs for node in nodes)


@pytest.mark.parametrize(("precision", "target"), RECORDED)
def test_each_kernel_is_in_one_row_and_the_rows_add_up(
    precision: str, target: str, recorded_report: RecordedReport, recorded_nodes: RecordedNodes
) -> None:
    report, rows = recorded_report(precision, target), recorded_report(precision, target).rows()
    assert [row.row for row in rows] == list(dict.fromkeys(node.row for node in recorded_nodes(precision)))
    total = report.total()
    assert sum(row.layers for row in rows) == total.layers == len(report.kernels)
    assert sum(row.frame_bytes for row in rows) == total.frame_bytes
    assert sum(row.conversions for row in rows) == total.conversions
    by_row = {row.row: row.macs for row in rows}
    for name, macs in by_row.items():
        assert macs == sum(node.macs for node in recorded_nodes(precision) if node.row == name)


def test_int8_convolutions_leave_their_epilogue_unfused_on_rtx(recorded_report: RecordedReport) -> None:
    report = recorded_report("int8", "sm86")
    assert dict(report.kinds()) == {
        "convolution": 57, "matrix product": 1, "pooling": 13, "pointwise": 2, "epilogue": 30, "quantize": 1,
        "synchronization": 85,
    }  # fmt: skip
    assert {layer.dtype for layer in report.layers if layer.kind == "convolution"} == {"Int8"}
    assert report.findings[0] == "convolutions: 57 of 57 found; 57 compute in Int8"
    assert "leaves the epilogue of INT8 convolutions unfused: 57 of 57 write Float, and 30 more" in report.findings[-1]
    assert "FP16 is the better choice here" in report.findings[-1]


def test_turing_computes_an_int8_graph_in_half(recorded_report: RecordedReport) -> None:
    report = recorded_report("int8", "sm75")
    kinds = dict(report.kinds())
    assert kinds["weights"] == kinds["convolution"] == 57
    assert {layer.dtype for layer in report.layers if layer.kind == "convolution"} == {"Half"}
    assert "none of the convolutions computes in Int8" in report.findings[-1]
    assert "for 7.5; FP16 is the better choice here" in report.findings[-1]


def test_one_turing_target_decides_for_all(recorded_report: RecordedReport, recorded_nodes: RecordedNodes) -> None:
    layers = [layer.layer for layer in recorded_report("int8", "sm75").layers]
    facts = EngineFacts("road-signs", "int8", "TensorRT-RTX 1.7.1.116", is_rtx=True, targets=("7.5", "8.6"))
    assert "without sm75 the convolutions may compute in Int8" in report_engine(
        layers, recorded_nodes("int8"), facts
    ).findings[-1]  # fmt: skip


@pytest.mark.parametrize(("precision", "target"), [("fp32", "sm86"), ("fp16", "sm86"), ("fp16", "sm75")])
def test_floating_point_engines_fuse_and_get_no_advice(
    precision: str, target: str, recorded_report: RecordedReport
) -> None:
    report = recorded_report(precision, target)
    assert "FP16" not in " ".join(report.findings)
    assert report.total().conversions <= 1
    convolutions = [layer for layer in report.layers if layer.kind == "convolution"]
    assert len(convolutions) == 57
    assert all(any(node.endswith("relu") for node in layer.layer.onnx_nodes) for layer in convolutions)


def test_tensorrt_itself_gets_no_advice_against_int8(
    recorded_report: RecordedReport, recorded_nodes: RecordedNodes
) -> None:
    layers = [layer.layer for layer in recorded_report("int8", "sm86").layers]
    report = report_engine(layers, recorded_nodes("int8"), EngineFacts("m", "int8", "TensorRT 10.3.0", is_rtx=False))
    assert "FP16" not in " ".join(report.findings)
    assert report.findings[0] == "convolutions: 57 of 57 found; 57 compute in Int8"


@pytest.mark.parametrize(("precision", "target"), RECORDED)
def test_every_kernel_that_only_converts_says_why(precision: str, target: str, recorded_report: RecordedReport) -> None:
    for layer in recorded_report(precision, target).layers:
        assert bool(layer.cause) == (layer.kind in CONVERSIONS)


def test_causes_name_the_layers_beside_them(recorded_report: RecordedReport) -> None:
    ampere = {(layer.row, layer.kind): layer.cause for layer in recorded_report("int8", "sm86").layers}
    assert ampere["conv1", "quantize"] == "input.add gives Half, and conv1.conv takes Int8"
    assert ampere["conv3", "epilogue"] == (
        "conv3.conv multiplies Int8 and gives Float: bias, ReLU, requantization to Int8 come in a kernel of their own"
    )
    concat = ampere["inception5b", "epilogue"]
    assert concat is not None
    assert "multiply Int8 and give Float: bias, ReLU, concat, mean to Half" in concat
    turing = {(layer.row, layer.kind): layer.cause for layer in recorded_report("int8", "sm75").layers}
    assert turing["conv1", "weights"] == "Int8 weights are widened to Half for conv1.conv, at each inference"
    assert turing["maxpool1", "dequantize"] == "maxpool1 gives Int8, and conv2.conv takes Half"
    assert "rounded to the INT8 grid" in str(turing["conv2", "requantize"])


def test_a_row_that_another_rows_kernel_computes_says_where(recorded_report: RecordedReport) -> None:
    row = next(row for row in recorded_report("int8", "sm86").rows() if row.row == "avgpool")
    assert (row.layers, row.elsewhere) == (0, ("inception5b",))


# A piece of an engine as TensorRT fuses it, by hand: two INT8 convolutions, one of them requantized into a concat.
NODES = (
    NodeRow("input.quantize", "QuantizeLinear", "input", 0),
    NodeRow("a.conv", "Conv", "m", 1000),
    NodeRow("a.relu", "Relu", "m", 0),
    NodeRow("b.conv", "Conv", "m", 500),
    NodeRow("b.quantize", "QuantizeLinear", "m", 0),
    NodeRow("m.concat", "Concat", "m", 0),
    NodeRow("fc", "Gemm", "fc", 7),
    NodeRow("drop", "Dropout", "fc", 0),
)


def tensor(name: str, dtype: str, layout: str = "linear") -> LayerTensor:
    return LayerTensor(name, dtype, (-1, 8, 4, 4), layout)


def engine(*layers: tuple[str, str, str, str, tuple[str, ...]]) -> EngineReport:
    """Layers as (name, type, "input:dtype input:dtype", "output:dtype", nodes)."""

    def side(text: str) -> tuple[LayerTensor, ...]:
        parts = [each.split(":") for each in text.split()]
        return tuple(tensor(part[0], part[1], part[2] if len(part) > 2 else "linear") for part in parts)

    made = [EngineLayer(name, kind, side(left), side(right), nodes, None) for name, kind, left, right, nodes in layers]
    return report_engine(made, NODES, EngineFacts("m", "int8", "TensorRT 10.3.0", is_rtx=False))


def test_kernels_of_tensorrt_are_told_apart() -> None:
    report = engine(
        ("input.quantize", "Reformat", "image:Float", "q:Int8", ("input.quantize",)),
        ("a.conv + a.relu || b.conv", "CaskConvolution", "q:Int8", "ab:Int8 b:Int8", ("a.conv", "a.relu", "b.conv")),
        ("b.quantize", "Reformat", "b:Int8", "bq:Int8", ("b.quantize",)),
        ("Reformatting CopyNode for Input Tensor 0 to fc", "Reformat", "ab:Int8", "abh:Half", ()),
        ("copy", "Reformat", "bq:Int8", "bq32:Int8:packed", ()),
        ("again", "Reformat", "bq32:Int8:packed", "bq33:Int8:packed", ()),
        ("scale", "Constant", "", "scale:Float", ()),
        ("fc", "gemm", "abh:Half bq33:Int8", "logits:Float", ("fc",)),
        ("extra", "kgen", "logits:Float", "y:Float", ("made up",)),
    )  # fmt: skip
    kinds = [layer.kind for layer in report.layers]
    assert kinds == [
        "quantize", "convolution", "requantize", "dequantize", "reformat", "reformat", "synchronization",
        "matrix product", "reformat",
    ]  # fmt: skip
    causes = [layer.cause for layer in report.layers]
    assert causes[0] == "the input is Float, and a.conv takes Int8"
    assert causes[2] == "a.conv gives Int8, and copy takes Int8 in another scale"
    assert causes[3] == "a.conv gives Int8, and fc takes Half"
    assert causes[4] == "between b.quantize and again, Int8 is laid out anew: from linear to packed"
    assert "a copy, such as into the output of a concat, or to another scale" in str(causes[5])
    assert report.findings[0] == "convolutions: 2 of 2 found, in 1 layer; 1 compute in Int8"
    assert report.layers[1].macs == 1500
    assert report.strangers == ("made up",)
    assert {folded.node.node: folded.reason for folded in report.folded} == {
        "m.concat": "no work: the layers before it write into its output",
        "drop": "no work: it is for training",
    }


def test_requantizing_for_a_concat_says_that_scales_differ() -> None:
    report = engine(
        ("b.conv", "CaskConvolution", "q:Int8", "b:Int8", ("b.conv",)),
        ("requantize", "Reformat", "b:Int8", "bq:Int8", ("b.quantize",)),
        ("concat", "kgen", "bq:Int8", "out:Int8", ("m.concat",)),
    )
    assert report.layers[1].cause == (
        "b.conv gives Int8, and m.concat takes Int8 in another scale: the inputs of a concat have different scales"
    )
    assert report.layers[2].kind == "concat"


def test_an_engine_of_another_network_is_all_folded_or_strange() -> None:
    report = engine(("x", "CaskConvolution", "a:Half", "b:Half", ("x.conv",)))
    assert len(report.folded) == len(NODES)
    assert report.strangers == ("x.conv",)
    assert report.layers[0].row == ""
    assert [row.row for row in report.rows()][-1] == ""
    assert report.total().macs == 0
