"""Every precision of every form as a strongly typed TensorRT-RTX engine, built without a GPU.

At 64 pixels: nothing that TensorRT parses or refuses depends on the size (types, Q/DQ pairs, padding, the free batch),
and each pool still has something to halve, down to 2x2 before the mean. FP32 and FP16 at 224 are built in
``tests/graph/test_half.py``.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import pytest
import torch

from googlenet_edge.errors import GraphError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.export import export_onnx
from googlenet_edge.graph.half import to_half
from googlenet_edge.graph.simplify import simplify_onnx
from googlenet_edge.model.googlenet import GoogLeNet
from googlenet_edge.model.keras_inception import KerasInception
from googlenet_edge.model.table import FORMS
from googlenet_edge.quantization.cache_ranges import all_ranges, tensors_to_observe
from googlenet_edge.quantization.images import CalibrationImages, ImageOptions, collect_images
from googlenet_edge.quantization.placement import scale_groups
from googlenet_edge.quantization.quantize import QuantizeConfig, quantize_int8
from googlenet_edge.types import CropRule, Normalization

trt: Any = pytest.importorskip("tensorrt_rtx")

Precision = Literal["fp32", "fp16", "int8+fp16", "int8+fp32"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8+fp16", "int8+fp32")

INPUT_PX = 64
CLASSES = 5
BATCHES = (1, 4, 8)
IMAGES = Path(__file__).parents[2] / "calibration"


@dataclass(frozen=True)
class Form:
    """One form of the network in every precision."""

    graphs: dict[Precision, onnx.ModelProto]
    convolutions: tuple[str, ...]
    kept: tuple[str, ...]
    """Convolutions that were to stay in floating point: the first one, and one by name."""


@dataclass(frozen=True)
class Parsed:
    """What TensorRT made of a graph."""

    inputs: dict[str, tuple[Any, tuple[int, ...]]]
    """Type and shape by name."""
    outputs: dict[str, tuple[Any, tuple[int, ...]]]
    layers: Counter[str]
    convolutions: tuple[tuple[str, bool, bool, Any], ...]
    """Of each convolution: its name, whether its data and its weights come from int8, and the type of its result."""
    tensors: tuple[str, ...]
    """The names of all tensors that a layer makes."""
    plan_bytes: int


@pytest.fixture(scope="session")
def engine_images() -> Iterator[CalibrationImages]:
    """Six photographs."""
    rule = CropRule(resize_px=72, crop_px=INPUT_PX)
    with collect_images(IMAGES, rule, ImageOptions(count=6)) as images:
        assert len(images) == 6
        yield images


@pytest.fixture(scope="session")
def make_form(tmp_path_factory: pytest.TempPathFactory, engine_images: CalibrationImages) -> Callable[[str], Form]:
    """Export, simplify and quantize a form, once for all tests."""
    made: dict[str, Form] = {}

    def make(name: str) -> Form:
        if name not in made:
            made[name] = _form(name, tmp_path_factory.mktemp(name), engine_images)
        return made[name]

    return make


def _form(name: str, folder: Path, images: CalibrationImages) -> Form:
    torch.manual_seed(0)
    keras = name == "keras-inception"
    network = KerasInception(CLASSES) if keras else GoogLeNet(FORMS[name], CLASSES, auxiliary=False)
    normalization = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    exported, simplified = folder / "exported.onnx", folder / "simplified.onnx"
    export_onnx(network, exported, normalization=normalization, input_px=INPUT_PX)
    simplify_onnx(exported, simplified)
    model = onnx.load(simplified)
    convolutions = tuple(node.name for node in model.graph.node if node.op_type == "Conv")
    # One whose data others read in INT8: its tensor is there with and without a pair.
    shared = next(group.readers for group in scale_groups(model) if len(group.readers) > 1)
    kept = next(reader for reader in shared if reader in convolutions[1:])

    def config(last: Literal["float", "int8"], *, half_scales: bool) -> QuantizeConfig:
        """The quick way: what else can be chosen changes numbers, not nodes."""
        return QuantizeConfig(
            method="max",
            weight_method="max",
            rounding="nearest",
            equalization=0,
            bias_correction=False,
            half_scales=half_scales,
            keep=(kept,),
            first="float",
            last=last,
        )

    with_half = quantize_int8(model, images, config("float", half_scales=True))
    with_float = quantize_int8(model, images, config("int8", half_scales=False), table=with_half.table)
    graphs: dict[Precision, onnx.ModelProto] = {
        "fp32": model,
        "fp16": to_half(model),
        "int8+fp16": to_half(with_half.model),
        "int8+fp32": with_float.model,
    }
    return Form(graphs, convolutions, (convolutions[0], kept))


@pytest.fixture(scope="session")
def build() -> Callable[[onnx.ModelProto], Parsed]:
    """Parse a graph and build an engine of it for compute capability 8.6; raises GraphError with TensorRT's errors."""
    logger = trt.Logger(trt.Logger.ERROR)  # only the first one of a process counts
    builder = trt.Builder(logger)

    def run(model: onnx.ModelProto) -> Parsed:
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        parsed = parser.parse(model.SerializeToString())
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        if not parsed or errors:
            raise GraphError(
                "; ".join(f"{error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors)
            )
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        profile = builder.create_optimization_profile()
        rest = tuple(network.get_input(0).shape[1:])
        profile.set_shape(network.get_input(0).name, *((batch, *rest) for batch in BATCHES))
        config.add_optimization_profile(profile)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            plan = builder.build_serialized_network(network, config)
        assert plan is not None
        return _describe(network, int(plan.nbytes))

    return run


def _describe(network: Any, plan_bytes: int) -> Parsed:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    maker = {layer.get_output(index).name: layer for layer in layers for index in range(layer.num_outputs)}

    def from_int8(tensor: Any) -> bool:
        """Whether a tensor is the restored value of an int8 one."""
        layer = None if tensor is None else maker.get(tensor.name)
        return (
            layer is not None
            and layer.type.name == "DEQUANTIZE"
            and bool(layer.get_input(0).dtype == trt.DataType.INT8)
        )

    convolutions = tuple(
        (
            layer.name,
            from_int8(layer.get_input(0)),
            layer.num_inputs > 1 and from_int8(layer.get_input(1)),
            layer.get_output(0).dtype,
        )
        for layer in layers
        if layer.type.name == "CONVOLUTION"
    )
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    return Parsed(
        {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in inputs},
        {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in outputs},
        Counter(layer.type.name for layer in layers),
        convolutions,
        tuple(maker),
        plan_bytes,
    )


FORM_NAMES = [*(pytest.param(name, marks=pytest.mark.slow) for name in FORMS), "keras-inception"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", FORM_NAMES)
def test_every_precision_of_every_form_becomes_an_engine(
    name: str, precision: Precision, make_form: Callable[[str], Form], build: Callable[[onnx.ModelProto], Parsed]
) -> None:
    form = make_form(name)
    model = form.graphs[precision]
    parsed = build(model)
    assert parsed.plan_bytes > 100_000
    assert parsed.inputs == {"image": (trt.DataType.UINT8, (-1, INPUT_PX, INPUT_PX, 3))}
    assert parsed.outputs == dict.fromkeys(("logits", "probabilities"), (trt.DataType.FLOAT, (-1, CLASSES)))

    high = trt.DataType.HALF if precision.endswith("fp16") else trt.DataType.FLOAT
    found = {layer: (data, weights, dtype) for layer, data, weights, dtype in parsed.convolutions}
    int8 = precision.startswith("int8")
    expected = {
        layer: (int8 and layer not in form.kept, int8 and layer not in form.kept, high) for layer in form.convolutions
    }
    assert found == expected
    # A pair before each of the layers' data, and one DequantizeLinear more for each one's weights; none lost, none new.
    operators = Counter(node.op_type for node in model.graph.node)
    assert parsed.layers["QUANTIZE"] == operators["QuantizeLinear"]
    assert parsed.layers["DEQUANTIZE"] == operators["DequantizeLinear"]
    # The linear layer is in INT8 too where the rest is FP32.
    in_int8 = len(form.convolutions) - len(form.kept) + (precision == "int8+fp32") if int8 else 0
    assert parsed.layers["DEQUANTIZE"] - parsed.layers["QUANTIZE"] == in_int8
    assert (parsed.layers["QUANTIZE"] > 0) == int8


@pytest.mark.parametrize("name", FORM_NAMES)
def test_a_kept_convolution_reads_the_same_tensor_without_a_pair(name: str, make_form: Callable[[str], Form]) -> None:
    form = make_form(name)
    editor = GraphEditor(form.graphs["int8+fp32"])
    shared = next(node for node in editor.nodes if node.name == form.kept[1]).input[0]
    assert editor.producer(shared, "DequantizeLinear") is None
    assert [node.op_type for node in editor.readers(shared)].count("QuantizeLinear") == 1


@pytest.mark.parametrize("name", FORM_NAMES)
def test_a_cache_of_every_form_has_a_line_for_every_tensor_that_tensorrt_sees(
    name: str, make_form: Callable[[str], Form], build: Callable[[onnx.ModelProto], Parsed]
) -> None:
    model = make_form(name).graphs["fp32"]
    groups = [group.tensor for group in scale_groups(model)]
    ranges = all_ranges(model, dict.fromkeys(tensors_to_observe(model, groups), 1.0))
    made = {output for node in model.graph.node for output in node.output}
    assert set(ranges) == made | {"image"}
    # TensorRT names its tensors as ONNX does; it adds some of its own, around constants, shapes and Gemm.
    assert made <= set(build(model).tensors)


def test_the_default_way_of_quantizing_builds_as_well(
    make_form: Callable[[str], Form], build: Callable[[onnx.ModelProto], Parsed], engine_images: CalibrationImages
) -> None:
    """With everything that is measured and corrected on the way."""
    found = quantize_int8(make_form("keras-inception").graphs["fp32"], engine_images)
    parsed = build(to_half(found.model))
    assert parsed.plan_bytes > 100_000
    in_int8 = {layer for layer, data, weights, _ in parsed.convolutions if data and weights}
    assert in_int8 == set(found.weights) - {"fc"}
    assert in_int8


def test_what_tensorrt_refuses_is_an_error_here(
    make_form: Callable[[str], Form], build: Callable[[onnx.ModelProto], Parsed]
) -> None:
    """A scale of 0, which the tests above would hide if a refusal passed for an engine."""
    model = onnx.ModelProto()
    model.CopyFrom(make_form("keras-inception").graphs["int8+fp32"])
    scale = next(node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear")
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == scale)
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 0, scale))
    with pytest.raises(GraphError, match=r"[Ss]cale"):
        build(model)
