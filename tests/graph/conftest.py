"""Networks with telling weights, exported and simplified once a session, and a TensorRT-RTX builder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from torch import nn

from googlenet_edge.graph.export import export_onnx
from googlenet_edge.graph.head import DeployableNetwork
from googlenet_edge.graph.simplify import simplify_onnx
from googlenet_edge.model.googlenet import GoogLeNet
from googlenet_edge.model.keras_inception import KerasInception
from googlenet_edge.model.table import FORMS
from googlenet_edge.types import Normalization


@dataclass(frozen=True)
class Steps:
    """One network along the path."""

    network: nn.Module
    deployable: DeployableNetwork
    exported: Path
    simplified: Path
    input_px: int


@pytest.fixture(scope="session")
def normalization() -> Normalization:
    """ImageNet's, which is different for each channel."""
    return Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., npt.NDArray[np.uint8]]:
    """Crops with edges, colours and noise, uint8 (count, size, size, 3), BGR."""

    def make(count: int, size: int = 224) -> npt.NDArray[np.uint8]:
        random = np.random.default_rng(7)
        frames = []
        for _ in range(count):
            small = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            frame = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
            for _ in range(4):
                x, y = (int(v) for v in random.integers(0, size, 2))
                color = tuple(int(v) for v in random.integers(0, 256, 3))
                cv2.circle(frame, (x, y), size // 6, color, -1)
            noise = random.normal(0, 6, frame.shape)
            frames.append(np.clip(frame + noise, 0, 255).astype(np.uint8))
        return np.stack(frames)

    return make


@pytest.fixture(scope="session")
def randomize() -> Callable[[nn.Module], nn.Module]:
    """Give a network weights and statistics of which none is 0 or 1, so that leaving one out shows."""

    def apply(network: nn.Module) -> nn.Module:
        torch.manual_seed(3)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
                module.running_var.uniform_(0.6, 1.6)  # type: ignore[union-attr]
                nn.init.uniform_(module.weight, 0.7, 1.4)
                nn.init.normal_(module.bias, 0, 0.3)
            elif isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        return network

    return apply


@pytest.fixture(scope="session")
def steps(
    tmp_path_factory: pytest.TempPathFactory, normalization: Normalization, randomize: Callable[[nn.Module], nn.Module]
) -> Callable[[str], Steps]:
    """Export and simplify a form of the network, once for all tests. Full width: an export takes about ten seconds."""
    made: dict[str, Steps] = {}

    def make(form: str) -> Steps:
        if form not in made:
            folder = tmp_path_factory.mktemp(form)
            keras = form == "keras-inception"
            network = KerasInception(10) if keras else GoogLeNet(FORMS[form], 10, auxiliary=form == "torchvision")
            size = 64 if keras else 224
            randomize(network)
            exported, simplified = folder / "exported.onnx", folder / "simplified.onnx"
            export_onnx(network, exported, normalization=normalization, input_px=size)
            simplify_onnx(exported, simplified)
            made[form] = Steps(network, DeployableNetwork(network, normalization), exported, simplified, size)
        return made[form]

    return make


@pytest.fixture(scope="session")
def build_engine() -> Callable[[Path], int]:
    """Build a strongly typed TensorRT-RTX engine for batches of 1 to 8 without a GPU; the size of the plan in bytes."""
    trt: Any = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)  # only the first one of a process counts

    def build(path: Path) -> int:
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(path.read_bytes()):
            errors = [parser.get_error(i) for i in range(parser.num_errors)]
            pytest.fail("; ".join(f"{error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors))
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        image = network.get_input(0)
        assert image.dtype == trt.DataType.UINT8
        assert image.shape[0] == -1
        profile = builder.create_optimization_profile()
        rest = tuple(image.shape[1:])
        profile.set_shape("image", (1, *rest), (4, *rest), (8, *rest))
        config.add_optimization_profile(profile)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            plan = builder.build_serialized_network(network, config)
        assert plan is not None
        return int(plan.nbytes)

    return build


@pytest.fixture(scope="session")
def small_model() -> Callable[..., onnx.ModelProto]:
    """Make a model of a few nodes; ``constants`` become initializers, ``shapes`` are those of inputs and outputs."""

    def make(
        nodes: list[onnx.NodeProto],
        inputs: dict[str, tuple[int | str, ...]],
        outputs: dict[str, tuple[int | str, ...]],
        constants: dict[str, npt.NDArray[Any]] | None = None,
        opset: int = 19,
    ) -> onnx.ModelProto:
        def values(shapes: dict[str, tuple[int | str, ...]]) -> list[onnx.ValueInfoProto]:
            floating = onnx.TensorProto.FLOAT
            return [onnx.helper.make_tensor_value_info(name, floating, shape) for name, shape in shapes.items()]

        initializers = [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
        graph = onnx.helper.make_graph(nodes, "small", values(inputs), values(outputs), initializers)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
        model.ir_version = 9
        return model

    return make


@pytest.fixture(scope="session")
def run_model() -> Callable[[onnx.ModelProto, dict[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]]:
    """Run a model in ONNX Runtime and return its outputs."""
    import onnxruntime

    def run(model: onnx.ModelProto, feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
        return list(session.run(None, feeds))

    return run
