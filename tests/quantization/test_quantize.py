"""From a graph and images to INT8: the simulation, the choice of thresholds, bias correction, sensitivity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest

from googlenet_edge.errors import GraphError, UsageError
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.verify import sqnr_db
from googlenet_edge.quantization.bias import corrected_biases, depth_levels
from googlenet_edge.quantization.choose import choose_methods, scale_of
from googlenet_edge.quantization.ends import WORTH_DB_PER_PERCENT
from googlenet_edge.quantization.images import CalibrationImages, ImageOptions, collect_images
from googlenet_edge.quantization.placement import place, quantizable_nodes, scale_groups
from googlenet_edge.quantization.quantize import QuantizeConfig, Quantized, quantize_int8
from googlenet_edge.quantization.sensitivity import measure_sensitivity
from googlenet_edge.quantization.simulate import SimulatedNetwork
from googlenet_edge.quantization.threshold import METHODS
from googlenet_edge.types import CropRule

Floats = npt.NDArray[np.float32]


@pytest.fixture
def images(make_images: Callable[..., Path], small_rule: CropRule, tmp_path: Path) -> Iterator[CalibrationImages]:
    with collect_images(make_images(tmp_path / "images", 24), small_rule, ImageOptions(count=24)) as found:
        yield found


@pytest.fixture
def quantized(small_graph: onnx.ModelProto, images: CalibrationImages) -> Quantized:
    return quantize_int8(small_graph, images, QuantizeConfig(first="int8"))


def float_logits(model: onnx.ModelProto, images: CalibrationImages) -> Floats:
    return OnnxRunner(model).run(images.read(0, len(images)))[0]


def test_the_simulation_computes_what_the_graph_computes(quantized: Quantized, images: CalibrationImages) -> None:
    crops = images.read(0, len(images))
    expected = OnnxRunner(quantized.model).run(crops)[0]
    assert SimulatedNetwork(quantized.model).logits(crops) == pytest.approx(expected, abs=1e-4)


def test_a_changed_scale_is_a_graph_placed_with_that_scale(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    crops = images.read(0, 8)
    network = SimulatedNetwork(place(quantized.base, quantized.scales, quantized.weights))
    wide = {tensor: 3 * scale for tensor, scale in quantized.scales.items()}
    changed = network.logits(crops, {network.scales[tensor]: scale for tensor, scale in wide.items()})
    placed = SimulatedNetwork(place(quantized.base, wide, quantized.weights)).logits(crops)
    assert changed == pytest.approx(placed, abs=1e-5)
    assert not np.allclose(changed, network.logits(crops))


def test_the_result_is_near_float_and_says_how_it_came_about(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    reference = float_logits(small_graph, images)
    assert sqnr_db(reference, SimulatedNetwork(quantized.model).logits(images.read(0, len(images)))) > 25
    assert {choice.tensor for choice in quantized.choices} == {"input.add", "pool1"}
    assert all(choice.method in METHODS and choice.threshold > 0 for choice in quantized.choices)
    assert list(quantized.seconds) == ["table", "equalization", "weights", "choice", "bias", "ends"]
    steps = [step for step in quantized.sqnr_db if step != "weights rounded to nearest"]  # there if gptq did harm
    assert steps[:4] == [
        "weight scales by max", "weights rounded by gptq", "thresholds chosen", "thresholds of all images",
    ]  # fmt: skip
    assert set(quantized.amax) == {"input.add", "pool1", "flatten"}
    # FP16 holds every scale; the linear layer stays float.
    for scale in (*quantized.scales.values(), *(float(s) for w in quantized.weights.values() for s in w.scales)):
        assert float(np.float16(scale)) == scale
    assert set(quantized.weights) == {"conv1", "a.conv", "b.conv"}


def test_the_choice_is_no_worse_than_any_single_method(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    crops, reference = images.read(0, len(images)), float_logits(small_graph, images)
    groups = [group for group in scale_groups(small_graph) if group.tensor in quantized.scales]
    ranges = {tensor: quantized.table[tensor] for tensor in quantized.scales}
    weights = quantize_int8(small_graph, images, QuantizeConfig(equalization=0, method="max", first="int8")).weights
    network = SimulatedNetwork(place(small_graph, quantized.scales, weights))
    choices = choose_methods(network, ranges, groups, crops, reference, rounding=float)

    def error(thresholds: dict[str, float]) -> float:
        feeds = {network.scales[tensor]: scale_of(t, float) for tensor, t in thresholds.items()}
        return float(np.square(network.logits(crops, feeds) - reference).sum())

    chosen = error({choice.tensor: choice.threshold for choice in choices})
    for method in METHODS:
        single = error({group.tensor: quantized.table.threshold(group.tensor, method) for group in groups})
        assert chosen <= single * (1 + 1e-6), method


def test_bias_correction_brings_the_means_back(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    crops, nodes = images.read(0, len(images)), ("conv1", "a.conv", "b.conv")
    # Thresholds that clip far too much, so that the means move.
    model = place(quantized.base, {tensor: 0.3 * s for tensor, s in quantized.scales.items()}, quantized.weights)
    expected = SimulatedNetwork(quantized.base, means_of=nodes).channel_means(crops)
    network = SimulatedNetwork(model, means_of=nodes)
    before = network.channel_means(crops)
    biases = corrected_biases(network, expected, model, crops)
    after = network.channel_means(crops, {network.biases[name]: value for name, value in biases.items()})
    for name in nodes:
        assert np.abs(after[name] - expected[name]).max() < 1e-4
    assert max(np.abs(before[name] - expected[name]).max() for name in nodes) > 0.01
    placed = place(model=quantized.base, scales=quantized.scales, weights=quantized.weights, biases=biases)
    editor = GraphEditor(placed)
    conv1 = next(node for node in editor.nodes if node.name == "conv1")
    assert np.asarray(editor.constant(conv1.input[2])) == pytest.approx(biases["conv1"])


def test_levels_follow_the_graph(small_graph: onnx.ModelProto) -> None:
    levels = depth_levels(small_graph, quantizable_nodes(small_graph))
    assert levels == [["conv1"], ["a.conv", "b.conv"], ["fc"]]


def test_options(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    config = QuantizeConfig(
        method="max", weight_method="mse", rounding="nearest", equalization=0, bias_correction=False, keep=("conv1",),
        last="int8", half_scales=False,
    )  # fmt: skip
    found = quantize_int8(small_graph, images, config)
    assert {choice.method for choice in found.choices} == {"max"}
    assert set(found.weights) == {"a.conv", "b.conv", "fc"}
    assert set(found.scales) == {"pool1", "flatten"}
    assert found.scales["pool1"] == pytest.approx(found.table.threshold("pool1", "max") / 127)
    assert list(found.sqnr_db) == ["weight scales by max", "weight scales by mse", "thresholds of all images"]
    assert found.ends == ()
    assert found.base.SerializeToString(deterministic=True) == small_graph.SerializeToString(deterministic=True)
    again = quantize_int8(small_graph, images, config, table=found.table)
    assert again.model.SerializeToString(deterministic=True) == found.model.SerializeToString(deterministic=True)


def test_the_ends_are_measured(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    found = quantize_int8(small_graph, images, QuantizeConfig(method="expected-max"))
    first, last = found.ends
    assert (first.node, last.node) == ("conv1", "fc")
    crops = images.read(0, len(images))
    reference = float_logits(small_graph, images)
    for end in (first, last):
        assert end.in_int8 == (end.node in found.weights)
        assert 0 < end.macs_percent < 100
        assert end.in_int8 == (end.float_sqnr_db - end.int8_sqnr_db <= WORTH_DB_PER_PERCENT * end.macs_percent)
    assert first.macs_percent > 10 * last.macs_percent
    # The last one does more harm than the thousandth of the work that it is: what was measured is what one measures.
    forced = quantize_int8(small_graph, images, QuantizeConfig(method="expected-max", last="int8"), table=found.table)
    assert "fc" in forced.weights
    assert "flatten" in forced.scales
    quality = [sqnr_db(reference, SimulatedNetwork(q.model).logits(crops)) for q in (found, forced)]
    assert quality[0] > quality[1]


def test_biases_that_do_harm_are_not_corrected(
    small_graph: onnx.ModelProto, images: CalibrationImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = quantize_int8(small_graph, images, QuantizeConfig(method="max", bias_correction=False, first="int8"))
    monkeypatch.setattr(
        "googlenet_edge.quantization.steps.corrected_biases",
        lambda *_, **__: {"conv1": np.full(4, 9.0, np.float32)},
    )
    found = quantize_int8(small_graph, images, QuantizeConfig(method="max", first="int8"), table=plain.table)
    assert found.sqnr_db["biases corrected"] < found.sqnr_db["biases as they were"]
    assert found.biases == {}
    assert found.model.SerializeToString(deterministic=True) == plain.model.SerializeToString(deterministic=True)


def test_thresholds_are_judged_on_images_that_they_do_not_come_from(
    small_graph: onnx.ModelProto, make_images: Callable[..., Path], small_rule: CropRule, tmp_path: Path
) -> None:
    """Every second image is flat grey: thresholds from these would ruin the others, which only judging those tells."""
    folder = make_images(tmp_path / "images", 16)
    for index, path in enumerate(sorted(folder.iterdir(), key=lambda path: path.name)):
        if index % 2 == 0:
            cv2.imwrite(str(path), np.full((40, 40, 3), 128 + index % 3, np.uint8))
    with collect_images(folder, small_rule, ImageOptions(count=16)) as mixed:
        found = quantize_int8(small_graph, mixed)
        reference = SimulatedNetwork(small_graph).logits(mixed.read(0, 16))
        assert sqnr_db(reference, SimulatedNetwork(found.model).logits(mixed.read(0, 16))) > 20
    # On the held-out images, the grey ones' thresholds were as bad as they look; those of all images are not.
    assert found.sqnr_db["thresholds chosen"] < 10 < found.sqnr_db["thresholds of all images"]


def test_layers_can_be_left_out_afterwards(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    crops, reference = images.read(0, len(images)), float_logits(small_graph, images)
    assert quantized.without([]).SerializeToString(deterministic=True) == quantized.model.SerializeToString(
        deterministic=True
    )
    fewer = quantized.without(["conv1"])
    assert [node.name for node in fewer.graph.node if node.op_type == "QuantizeLinear"] == ["pool1.quantize"]
    everything = SimulatedNetwork(quantized.without(list(quantized.weights))).logits(crops)
    assert everything == pytest.approx(reference, abs=1e-4)
    with pytest.raises(UsageError, match="'fc'"):
        quantized.without(["fc"])


def test_what_is_asked_wrongly() -> None:
    with pytest.raises(UsageError, match="expected one of max"):
        QuantizeConfig(method="median")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected 1 or more"):
        QuantizeConfig(choice_images=0)
    for wrong in ({"rounding": "GPTQ"}, {"weight_method": "MSE"}, {"first": "fp16"}, {"keep": "conv1"}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            QuantizeConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"equalization: got 1\.5"):
        QuantizeConfig(equalization=1.5)


def test_a_name_that_is_not_in_the_graph(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    with pytest.raises(UsageError, match="'conv9'"):
        quantize_int8(small_graph, images, QuantizeConfig(keep=("conv9",)))


def test_sensitivity_names_the_layer_that_hurts(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    crops, reference = images.read(0, len(images)), float_logits(small_graph, images)
    # The first layer's input is clipped to a tenth: it alone costs more than the others.
    scales = {**quantized.scales, "input.add": quantized.scales["input.add"] / 10}
    told: list[tuple[int, int]] = []
    found = measure_sensitivity(
        quantized.base,
        scales,
        quantized.weights,
        crops,
        reference,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [layer.node for layer in found] == ["conv1", "a.conv", "b.conv"]
    worst = min(found, key=lambda layer: layer.alone_sqnr_db)
    assert worst.node == "conv1"
    assert worst.kept_sqnr_db == max(layer.kept_sqnr_db for layer in found)
    assert all(layer.macs > 0 and 0 <= layer.alone_agreement <= 1 for layer in found)
    assert told[-1] == (3, 3)


def test_sensitivity_measures_what_would_be_deployed(
    small_graph: onnx.ModelProto, quantized: Quantized, images: CalibrationImages
) -> None:
    """Corrected biases are part of the graph: a layer that is kept has its own back, and only that one."""
    crops, reference = images.read(0, len(images)), float_logits(small_graph, images)
    biases = {"conv1": np.full(4, 0.05, np.float32), "a.conv": np.full(5, -0.02, np.float32)}
    changed = replace(quantized, biases=biases)
    found = measure_sensitivity(
        changed.base, changed.scales, changed.weights, crops, reference, biases=changed.biases
    )  # fmt: skip
    for layer in found:
        deployed = SimulatedNetwork(changed.without([layer.node])).logits(crops)
        assert layer.kept_sqnr_db == pytest.approx(sqnr_db(reference, deployed), abs=1e-3)


def test_something_stays_in_int8(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    found = quantize_int8(small_graph, images, QuantizeConfig(keep=("a.conv", "b.conv"), method="max"))
    assert "conv1" in found.weights
    for keep, first in ((("conv1", "a.conv", "b.conv", "fc"), "measure"), (("a.conv", "b.conv", "fc"), "float")):
        with pytest.raises(UsageError, match="at least one for INT8"):
            quantize_int8(small_graph, images, QuantizeConfig(keep=keep, first=first))  # type: ignore[arg-type]


def test_a_shared_bias_is_corrected_for_each_layer(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(small_graph)
    random = np.random.default_rng(5)
    changed = {"b.weight": random.normal(0, 0.4, (5, 4, 1, 1)), "fc.weight": random.normal(0, 0.4, (3, 10))}
    for tensor in model.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed[tensor.name].astype(np.float32), tensor.name))
    next(node for node in model.graph.node if node.name == "b.conv").input[2] = "a.bias"
    nodes, crops = ("conv1", "a.conv", "b.conv"), images.read(0, len(images))
    found = quantize_int8(model, images, QuantizeConfig(method="max", equalization=0, first="int8"))
    placed = place(model, {tensor: 0.3 * scale for tensor, scale in found.scales.items()}, found.weights)
    network = SimulatedNetwork(placed, means_of=nodes)
    expected = SimulatedNetwork(model, means_of=nodes).channel_means(crops)
    biases = corrected_biases(network, expected, placed, crops)
    corrected = place(model, {t: 0.3 * scale for t, scale in found.scales.items()}, found.weights, biases=biases)
    after = SimulatedNetwork(corrected, means_of=nodes).channel_means(crops)
    for name in nodes:
        assert np.abs(after[name] - expected[name]).max() < 1e-4


def test_a_graph_without_names_is_refused(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(small_graph)
    for node in model.graph.node:
        node.name = ""
    with pytest.raises(GraphError, match="simplify it first"):
        quantize_int8(model, images)


def test_a_scale_that_fp16_cannot_hold(small_graph: onnx.ModelProto, images: CalibrationImages) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(small_graph)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "conv1.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1e9), weight.name))
    with pytest.raises(GraphError, match=r"node 'conv1'.*half_scales=False"):
        quantize_int8(model, images)


def test_quantizing_loads_no_torch() -> None:
    """It works on graphs, and torch alone would take half of the memory that it may use."""
    code = "import sys, googlenet_edge.quantization.quantize as _; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
