from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import nn

from googlenet_edge.errors import GraphError, OutputError, UsageError
from googlenet_edge.graph.export import export_onnx
from googlenet_edge.graph.head import DeployableNetwork, factors_bgr
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.graph.simplify import simplify_onnx
from googlenet_edge.graph.store import describe
from googlenet_edge.graph.verify import compare
from googlenet_edge.model.keras_inception import KerasInception
from googlenet_edge.types import Normalization

Frames = Callable[..., npt.NDArray[np.uint8]]
SLOW = pytest.mark.slow


@pytest.fixture
def tiny() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )


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
class TestEveryForm:
    def test_each_step_agrees_with_the_one_before(self, form: str, steps: Any, make_frames: Frames) -> None:
        made = steps(form)
        frames = make_frames(9, made.input_px)
        exported = compare(made.deployable, made.exported, frames, threads=1)
        simplified = compare(made.exported, made.simplified, frames)
        assert [(a.batch, a.frames) for a in (*exported, *simplified)] == [(1, 9), (8, 9)] * 2
        for agreement in (*exported, *simplified):
            assert agreement.sqnr_db > 110
            assert agreement.top1_agreement == 1

    def test_any_batch_size_runs(self, form: str, steps: Any, make_frames: Frames) -> None:
        made = steps(form)
        runner = OnnxRunner(made.simplified)
        for batch in (1, 8, 3):
            logits, probabilities = runner.run(make_frames(batch, made.input_px))
            assert logits.shape == probabilities.shape == (batch, 10)
            assert logits.dtype == probabilities.dtype == np.float32
            np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)

    def test_tensorrt_builds_it_for_dynamic_batches(
        self, form: str, steps: Any, build_engine: Callable[[Path], int]
    ) -> None:
        made = steps(form)
        assert build_engine(made.simplified) > 100_000

    def test_only_what_inference_needs_is_left(self, form: str, steps: Any) -> None:
        model = onnx.load(steps(form).simplified)
        allowed = {
            "Cast",
            "Transpose",
            "Mul",
            "Add",
            "Conv",
            "Relu",
            "MaxPool",
            "Concat",
            "GlobalAveragePool",
            "Flatten",
        }
        allowed |= {"Gemm", "Softmax"} | ({"LRN"} if form == "paper" else set())
        counts = Counter(node.op_type for node in model.graph.node)
        assert set(counts) <= allowed
        assert counts["Mul"] == counts["Add"] == counts["Cast"] == counts["Softmax"] == counts["Gemm"] == 1
        assert counts["LRN"] == (2 if form == "paper" else 0)
        assert not any("aux" in tensor.name for tensor in model.graph.initializer)

    def test_nodes_tensors_and_initializers_are_named_after_modules(self, form: str, steps: Any) -> None:
        made = steps(form)
        for path in (made.exported, made.simplified):
            model = onnx.load(path)
            names = [node.name for node in model.graph.node]
            assert len(set(names)) == len(names)
            modules = dict(made.network.named_modules())
            for node in model.graph.node:
                if node.op_type in ("Conv", "MaxPool", "Relu", "Gemm"):
                    assert node.name in modules, node.name
                if node.op_type == "Conv":
                    assert node.input[1] == f"{node.name}.weight"
                    if path == made.simplified:
                        assert node.input[2] == f"{node.name}.bias"
        if form == "torchvision":
            assert {"inception3a.branch2.1.conv", "inception3a.concat", "maxpool1", "inception3a.branch4.0"} <= set(
                names
            )

    def test_nothing_of_the_machine_is_in_the_file(self, form: str, steps: Any) -> None:
        made = steps(form)
        for path in (made.exported, made.simplified):
            model = onnx.load(path)
            assert model.ir_version <= 10
            assert model.opset_import[0].version == 19
            for tensor in model.graph.initializer:
                tensor.ClearField("raw_data")  # among so many bytes of weights, any four letters turn up
            data = model.SerializeToString()
            for trace in (b".py", str(Path.cwd()).encode(), b"stack_trace", b"site-packages", b"pkg.torch"):
                assert trace not in data


def test_describe_says_what_goes_in_and_out(steps: Any) -> None:
    spec = describe(steps("keras-inception").simplified)
    assert str(spec.input) == "'image': uint8 (N, 64, 64, 3)"
    assert [str(output) for output in spec.outputs] == ["'logits': float32 (N, 10)", "'probabilities': float32 (N, 10)"]
    assert (spec.class_count, spec.input_px, spec.opset) == (10, 64, 19)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, steps: Any, normalization: Normalization) -> None:
    made = steps("keras-inception")
    export_onnx(made.network, tmp_path / "again.onnx", normalization=normalization, input_px=64)
    simplify_onnx(tmp_path / "again.onnx", tmp_path / "again-simplified.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == made.exported.read_bytes()
    assert (tmp_path / "again-simplified.onnx").read_bytes() == made.simplified.read_bytes()


def test_exporting_is_silent_and_leaves_the_network_alone(
    tmp_path: Path, tiny: nn.Module, normalization: Normalization, capfd: pytest.CaptureFixture[str]
) -> None:
    tiny.train()
    before = logging.getLogger("torch.onnx").level
    export_onnx(tiny, tmp_path / "tiny.onnx", normalization=normalization, input_px=16)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("torch.onnx").level == before
    assert tiny.training
    assert all(parameter.requires_grad for parameter in tiny.parameters())
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.onnx"]


def test_the_input_size_can_be_chosen(tmp_path: Path, normalization: Normalization, make_frames: Frames) -> None:
    network = KerasInception(3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    spec = export_onnx(network, tmp_path / "k.onnx", normalization=normalization, input_px=50)
    assert spec.input.shape == ("N", 50, 50, 3)
    compare(DeployableNetwork(network, normalization), tmp_path / "k.onnx", make_frames(3, 50), batches=(2,))


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_the_head_normalises_as_the_definition_says(order: Any, make_frames: Frames) -> None:
    normalization = Normalization((0.1, 0.5, 0.9), (0.2, 0.3, 0.4), order)
    frames = make_frames(2, 9)
    seen = DeployableNetwork(nn.Flatten(), normalization)(torch.from_numpy(frames))[0].reshape(2, 3, 9, 9).numpy()
    channels = frames[..., ::-1] if order == "rgb" else frames
    expected = (channels / 255.0 - np.array(normalization.mean)) / np.array(normalization.std)
    np.testing.assert_allclose(seen, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
    scale, _ = factors_bgr(normalization)
    assert scale[0] == np.float32(1 / (255 * (0.4 if order == "rgb" else 0.2)))


@pytest.mark.parametrize("opset", [20, 21])
def test_newer_opsets(tmp_path: Path, tiny: nn.Module, normalization: Normalization, opset: int) -> None:
    path = tmp_path / "tiny.onnx"
    assert export_onnx(tiny, path, normalization=normalization, input_px=16, opset=opset).opset == opset
    assert onnx.load(path).ir_version <= 10


class TestRefusals:
    def test_arguments(self, tmp_path: Path, tiny: nn.Module, normalization: Normalization) -> None:
        with pytest.raises(UsageError, match="got 17, expected 19"):
            export_onnx(tiny, tmp_path / "t.onnx", normalization=normalization, opset=17)
        with pytest.raises(UsageError, match="got 0, expected 1 to 4096"):
            export_onnx(tiny, tmp_path / "t.onnx", normalization=normalization, input_px=0)

    def test_weights_that_are_not_finite_float32(
        self, tmp_path: Path, tiny: nn.Module, normalization: Normalization
    ) -> None:
        with pytest.raises(GraphError, match=r"'0.weight': got torch.float16, expected torch.float32"):
            export_onnx(tiny.half(), tmp_path / "t.onnx", normalization=normalization, input_px=8)
        tiny.float()
        torch.nn.init.constant_(tiny[4].bias, float("nan"))  # type: ignore[index]
        with pytest.raises(GraphError, match=r"'4.bias': got NaN"):
            export_onnx(tiny, tmp_path / "t.onnx", normalization=normalization, input_px=8)

    def test_networks_that_do_not_fit(self, tmp_path: Path, normalization: Normalization) -> None:
        with pytest.raises(GraphError, match=r"cannot be exported at 8 x 8 pixels.*expected a network"):
            export_onnx(nn.Conv2d(1, 4, 3), tmp_path / "t.onnx", normalization=normalization, input_px=8)
        with pytest.raises(GraphError, match=r"got a tensor of shape \(2, 4, 6, 6\), expected logits"):
            export_onnx(nn.Conv2d(3, 4, 3), tmp_path / "t.onnx", normalization=normalization, input_px=8)
        assert list(tmp_path.iterdir()) == []

    def test_places_that_cannot_be_written(self, tmp_path: Path, tiny: nn.Module, normalization: Normalization) -> None:
        for path in (tmp_path, tmp_path / "missing" / "t.onnx"):
            with pytest.raises(OutputError, match="cannot be written"):
                export_onnx(tiny, path, normalization=normalization, input_px=8)
