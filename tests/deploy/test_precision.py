"""The whole flow to FP16 and INT8 on a small network with real images: what is decided, kept, judged and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.deploy import AccuracyError, DeployConfig, deploy, inputs
from googlenet_edge.deploy.verdict import check_selection
from googlenet_edge.errors import GraphError, OutputError, UsageError
from googlenet_edge.evaluation.dataset import Dataset, open_dataset
from googlenet_edge.evaluation.evaluate import evaluate
from googlenet_edge.graph.editor import GraphEditor
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.store import load_graph
from googlenet_edge.quantization.budget import search_budget
from googlenet_edge.runtime.classifier import Classifier

RUIN, OVERFLOW = 4000.0, 1e5

Colors = Callable[[float], Path]
Config = Callable[..., DeployConfig]


def int8_layers(bundle: Bundle) -> set[str]:
    """The convolutions whose weights are int8 in the file."""
    editor = GraphEditor(load_graph(bundle.graph_path))
    return {
        node.name
        for node in editor.nodes
        if node.op_type == "Conv" and editor.producer(node.input[1], "DequantizeLinear") is not None
    }


def beside(bundle: Path, kind: str) -> Path:
    return bundle.with_name(f"{bundle.name}.{kind}.json")


def test_int8_within_the_budget(colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path) -> None:
    told: list[str] = []
    options = config("int8", select_on=str(sets["selection"]), sensitivity=True)
    deployment = deploy(colors(1.0), tmp_path / "b", options, progress=told.append)
    outcome, manifest = deployment.outcome, Bundle.open(tmp_path / "b").manifest
    assert outcome is not None
    assert outcome.int8 is not None
    assert outcome.int8.selection is not None
    assert outcome.int8.kept == ()
    assert len(outcome.int8.selection.search.measurements) == 1
    assert int8_layers(deployment.bundle) >= {"conv2.conv", "conv3.conv"}  # the ends are the quantizer's to decide
    assert manifest.precision == "int8"
    assert [step.name for step in manifest.steps] == ["adapt", "simplify", "quantize", "half"]
    for before, after in zip(manifest.steps, manifest.steps[1:], strict=False):
        assert after.parent == before.artefact
    assert manifest.steps[-1].artefact.sha256 == deployment.bundle.graph_sha256
    assert 15 < manifest.steps[2].agreements[0].sqnr_db < 80
    (accuracy,) = manifest.accuracy
    assert (accuracy.dataset, accuracy.count, accuracy.top1_percent) == (str(sets["test"]), 40, 100)
    comparison = manifest.comparison
    assert comparison is not None
    assert [row.precision for row in comparison.rows] == ["fp32", "fp16", "int8"]
    assert comparison.rows[2].size_bytes == manifest.record(manifest.graph).size_bytes
    assert comparison.rows[0].sqnr_db == float("inf")
    assert comparison.rows[1].sqnr_db > comparison.rows[2].sqnr_db > 10
    table = json.loads(beside(tmp_path / "b", "calibration").read_text())
    assert manifest.lineage.calibration_images_sha256 == table["images_sha256"]
    record = json.loads(beside(tmp_path / "b", "quantization").read_text())
    assert record["graph_sha256"] == deployment.bundle.graph_sha256
    assert {"choices", "sqnr_db", "seconds", "scales", "options", "sensitivity", "kept"} <= set(record)
    assert {layer["node"] for layer in record["sensitivity"]} >= {"conv1.conv", "conv2.conv", "conv3.conv"}
    assert record["kept"] == []
    assert len(told) > 6


def test_the_bundle_classifies_as_it_was_judged(
    colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path
) -> None:
    for precision in ("fp16", "int8"):
        deployment = deploy(colors(1.0), tmp_path / precision, config(precision))
        with Classifier(tmp_path / precision, golden_frames=None) as classifier:
            assert classifier.verify() <= deployment.bundle.manifest.golden.tolerance
            report = evaluate(classifier, open_dataset(sets["test"], classifier.labels))
        assert deployment.accuracy is not None
        assert report.top1.percent == deployment.accuracy.top1_percent == 100


def test_the_search_keeps_the_ruined_layer_and_no_other(
    colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path
) -> None:
    deployment = deploy(colors(RUIN), tmp_path / "b", config("int8", select_on=str(sets["selection"])))
    outcome = deployment.outcome
    assert outcome is not None
    assert outcome.int8 is not None
    assert outcome.int8.selection is not None
    search = outcome.int8.selection.search
    (layer,) = search.kept
    assert (layer.node, layer.row) == ("conv2.conv", "conv2")
    assert search.before_percent == 50
    assert search.after_percent == 100
    assert layer.top1_percent_without == 50
    assert layer.gain_db > 10
    assert {"conv2.conv", "conv3.conv"} & int8_layers(deployment.bundle) == {"conv3.conv"}
    macs = {row.node: row.macs for row in deployment.bundle.manifest.nodes}
    assert layer.macs / sum(macs.values()) - 1e-9 <= outcome.int8.float_share < 1
    assert outcome.verdict is not None
    assert outcome.verdict.row.top1_percent == 100
    (kept,) = json.loads(beside(tmp_path / "b", "quantization").read_text())["kept"]
    record = json.loads(beside(tmp_path / "b", "quantization").read_text())
    assert set(record["layers"]) == int8_layers(deployment.bundle)
    assert {choice["tensor"] for choice in record["choices"]} == set(record["scales"])
    assert kept["node"] == "conv2.conv"
    assert kept["macs"] == layer.macs == 6 * 32 * 32


def test_the_record_goes_with_the_bundle_that_it_tells_of(
    colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path
) -> None:
    record = beside(tmp_path / "b", "quantization")
    deploy(colors(1.0), tmp_path / "b", config("int8"))
    assert record.exists()
    deploy(colors(1.0), tmp_path / "b", replace(config("fp16"), overwrite=True))
    assert not record.exists()
    record.write_text('{"mine": true}')
    with pytest.raises(OutputError, match="something else"):
        deploy(colors(1.0), tmp_path / "b", replace(config("int8"), overwrite=True))
    deploy(colors(1.0), tmp_path / "b", replace(config("fp16"), overwrite=True))
    assert record.read_text() == '{"mine": true}'


def test_an_image_that_cannot_be_read_is_left_out_and_named(
    colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(sets["test"], tmp_path / "set")
    (tmp_path / "set" / "red" / "3.png").write_bytes(b"torn")
    options = replace(config("fp16"), evaluate_on=str(tmp_path / "set"))
    deployment = deploy(colors(1.0), tmp_path / "b", options)
    assert deployment.accuracy is not None
    assert deployment.accuracy.count == 39
    assert "1 images are left out" in caplog.text
    assert "red/3.png: not an image" in caplog.text


def test_a_layer_kept_by_hand(colors: Colors, config: Config, tmp_path: Path) -> None:
    deployment = deploy(colors(RUIN), tmp_path / "b", config("int8", keep=("conv2.conv",), method="max"))
    assert {"conv2.conv", "conv3.conv"} & int8_layers(deployment.bundle) == {"conv3.conv"}
    assert deployment.accuracy is not None
    assert deployment.accuracy.top1_percent == 100


def test_what_falls_short_is_not_written(colors: Colors, config: Config, tmp_path: Path) -> None:
    with pytest.raises(AccuracyError, match=r"-50\.00 points .* --select DATASET.* too few") as caught:
        deploy(colors(RUIN), tmp_path / "b", config("int8"))
    assert caught.value.verdict is not None
    assert [row.precision for row in caught.value.verdict.comparison.rows] == ["fp32", "fp16", "int8"]
    assert [path.name for path in tmp_path.iterdir()] == ["b.calibration.json"]
    # What was there before stays.
    good = deploy(colors(1.0), tmp_path / "b", config("fp32")).bundle
    with pytest.raises(AccuracyError):
        deploy(colors(RUIN), tmp_path / "b", config("int8", overwrite=True))
    assert Bundle.open(tmp_path / "b").manifest == good.manifest
    # A budget that allows it lets it pass.
    generous = config("int8", accuracy_budget=50, overwrite=True)
    assert deploy(colors(RUIN), tmp_path / "b", generous).bundle.manifest.precision == "int8"


def test_a_selection_that_misleads(colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path) -> None:
    """A selection set of one class, which the ruined network gets right: the test set finds it out, and decides."""
    with pytest.raises(AccuracyError) as caught:
        deploy(colors(RUIN), tmp_path / "b", config("int8"))
    verdict = caught.value.verdict
    assert verdict is not None
    wrong = {image.truth for image in verdict.report.images if image.best[2] != image.truth}
    label = next(label for truth, label in enumerate(("dark", "green", "red", "yellow")) if truth not in wrong)
    shutil.copytree(sets["selection"] / label, tmp_path / "selection" / label)
    with pytest.raises(AccuracyError, match="more images in --select") as caught:
        deploy(colors(RUIN), tmp_path / "b", config("int8", select_on=str(tmp_path / "selection")))
    assert caught.value.search is not None
    assert caught.value.search.met
    assert caught.value.search.kept == ()


class Spy:
    """A data set that writes down when it is read."""

    def __init__(self, inner: Dataset, name: str, told: list[str]) -> None:
        self._inner, self._name, self._told = inner, name, told
        self.description = inner.description
        self.files = getattr(inner, "files", ())

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> object:
        self._told.append(f"read {self._name}")
        return iter(self._inner)


def test_the_test_set_is_read_once_and_last(
    colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        inputs, "open_dataset", lambda spec, labels: Spy(open_dataset(spec, labels), Path(spec).name, told)
    )
    options = config("int8", select_on=str(sets["selection"]))
    deploy(colors(RUIN), tmp_path / "b", options, progress=told.append)
    reads = [line for line in told if line.startswith("read ")]
    assert reads.count("read test") == 1
    assert reads[-1] == "read test"
    assert reads.count("read selection") >= 2
    assert told.index("read test") > next(i for i, line in enumerate(told) if line.startswith("judging"))


def test_a_second_run_reuses_the_table(colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path) -> None:
    first = deploy(colors(1.0), tmp_path / "b", config("int8"))
    table = beside(tmp_path / "b", "calibration").read_bytes()
    told: list[str] = []
    again = deploy(colors(1.0), tmp_path / "b", config("int8", overwrite=True), progress=told.append)
    assert any("reused, graph, images and settings are the same" in line for line in told)
    assert beside(tmp_path / "b", "calibration").read_bytes() == table
    assert again.bundle.graph_sha256 == first.bundle.graph_sha256
    told.clear()
    deploy(colors(1.0), tmp_path / "b", config("int8", overwrite=True, count=12), progress=told.append)
    assert any("made, " in line and "images sha256" in line for line in told)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_overflow_is_found_before_anything_is_written(
    precision: str, colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path
) -> None:
    images = str(sets["images"])
    with pytest.raises(GraphError, match=r"'conv1\.clip'.* 65504.*command line: --") as caught:
        deploy(colors(OVERFLOW), tmp_path / "b", config(precision, images=images))
    assert ("--high-precision fp32" in str(caught.value)) == (precision == "int8")
    assert not (tmp_path / "b").exists()


def test_overflow_without_ranges_is_found_by_the_judge(colors: Colors, config: Config, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"infinite values, first in tensor 'conv1\.out' \(row 'conv1'.*--keep NODE"):
        deploy(colors(OVERFLOW), tmp_path / "b", config("fp16"))
    assert not (tmp_path / "b").exists()
    # The remedy that the message names.
    kept = config("fp16", keep=("conv1.conv", "conv1.clip", "conv2.conv"))
    assert deploy(colors(OVERFLOW), tmp_path / "b", kept).accuracy is not None


def test_int8_with_fp32_besides(colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path) -> None:
    """What FP16 cannot hold, FP32 can: its row is then missing from the table, and there is no cast in the graph."""
    options = config("int8", high_precision="fp32", select_on=str(sets["selection"]))
    deployment = deploy(colors(OVERFLOW), tmp_path / "b", options)
    assert [step.name for step in deployment.steps] == ["adapt", "simplify", "quantize"]
    comparison = deployment.bundle.manifest.comparison
    assert comparison is not None
    assert [row.precision for row in comparison.rows] == ["fp32", "int8"]
    model = load_graph(deployment.bundle.graph_path)
    assert not any(tensor.data_type == 10 for tensor in model.graph.initializer)  # FLOAT16


def test_golden_frames_are_the_judges(colors: Colors, config: Config, tmp_path: Path) -> None:
    """Not those of ONNX Runtime's FP16 kernels, which do not round as a card does."""
    deployment = deploy(colors(1.0), tmp_path / "b", config("fp16", test=False))
    assert deployment.outcome is not None
    golden = deployment.bundle.golden()
    _, probabilities = OnnxRunner(deployment.outcome.lowered.judged).run(golden.images)
    assert np.array_equal(probabilities, golden.probabilities)
    assert deployment.bundle.manifest.golden.tolerance == 0.01
    assert deployment.bundle.manifest.comparison is None


def test_a_selection_set_alone(colors: Colors, config: Config, sets: dict[str, Path], tmp_path: Path) -> None:
    """It chooses, but it gives no accuracy: what was chosen on it looks better on it than it is."""
    options = config("int8", test=False, select_on=str(sets["selection"]))
    deployment = deploy(colors(RUIN), tmp_path / "b", options)
    assert "conv2.conv" not in int8_layers(deployment.bundle)
    manifest = deployment.bundle.manifest
    assert (manifest.accuracy, manifest.comparison, deployment.accuracy) == ((), None, None)


def test_a_budget_that_no_choice_meets(config: Config, sets: dict[str, Path]) -> None:
    search = search_budget(lambda kept: 40.0, list, float_percent=90, budget_points=1)
    with pytest.raises(AccuracyError, match=r"top-1 40\.00 %, FP32 has 90\.00 %.*within 0\.1 points.*--precision fp16"):
        check_selection(search, config("int8", select_on=str(sets["selection"])).precision)
    check_selection(search_budget(lambda kept: 89.0, list, float_percent=90, budget_points=1), config("int8").precision)


def test_names_that_are_not_in_the_graph(colors: Colors, config: Config, tmp_path: Path) -> None:
    for precision, name in (("int8", "conv9"), ("int8", "conv2.relu"), ("fp16", "conv9")):
        with pytest.raises(UsageError, match=f"--keep: got {name!r}"):
            deploy(colors(1.0), tmp_path / "b", config(precision, keep=(name,)))
    assert list(tmp_path.iterdir()) == []
