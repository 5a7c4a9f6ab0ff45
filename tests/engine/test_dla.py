"""DLA, which only ``tensorrt`` on a Jetson has: its builder, config and network are stood in for at the calls made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from googlenet_edge.engine.api import TensorRT
from googlenet_edge.engine.dla import calibrated_commands, check_dla, fallen_back, use_dla
from googlenet_edge.engine.flavour import Flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.errors import EngineError, UsageError

if TYPE_CHECKING:
    import tensorrt_rtx as trt

API = cast(
    "TensorRT",
    SimpleNamespace(DeviceType=SimpleNamespace(DLA="DLA"), BuilderFlag=SimpleNamespace(GPU_FALLBACK="GPU_FALLBACK")),
)
TYPED = Flavour("tensorrt", "11.4.1.2", API)


@dataclass
class Config:
    """IBuilderConfig."""

    gpu_only: tuple[str, ...] = ()
    default_device_type: str = "GPU"
    DLA_core: int = -1
    flags: list[str] = field(default_factory=list)

    def set_flag(self, flag: str) -> None:
        self.flags.append(flag)

    def can_run_on_DLA(self, layer: SimpleNamespace) -> bool:  # noqa: N802
        return layer.name not in self.gpu_only


def network(*names: str) -> trt.INetworkDefinition:
    """INetworkDefinition with layers of these names."""
    layers = [SimpleNamespace(name=name) for name in names]
    return cast("trt.INetworkDefinition", SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__))


def builder(cores: int) -> trt.Builder:
    return cast("trt.Builder", SimpleNamespace(num_DLA_cores=cores))


def test_a_core_is_used_with_the_gpu_for_the_rest() -> None:
    config = Config()
    use_dla(TYPED, builder(2), cast("trt.IBuilderConfig", config), 1)
    assert (config.default_device_type, config.DLA_core, config.flags) == ("DLA", 1, ["GPU_FALLBACK"])


def test_a_board_without_a_dla_and_a_core_that_it_does_not_have_are_refused() -> None:
    config = cast("trt.IBuilderConfig", Config())
    with pytest.raises(EngineError, match="a device without one, expected AGX Orin"):
        use_dla(TYPED, builder(0), config, 0)
    with pytest.raises(UsageError, match="got 2, expected 0 to 1"):
        use_dla(TYPED, builder(2), config, 2)


@pytest.mark.parametrize(
    ("version", "why"),
    [("10.3.0", "only from a calibration cache"), ("10.13.0", "has no DLA"), ("11.4.0.106", "has no DLA")],
)
def test_versions_without_a_strongly_typed_dla_are_refused(version: str, why: str) -> None:
    with pytest.raises(EngineError, match=why):
        check_dla(Flavour("tensorrt", version, API))


def test_layers_that_fall_back_are_those_that_cannot_run_there_and_those_that_the_builder_moved() -> None:
    layers = network("head/Cast", "conv1", "conv10", "softmax")
    warnings = (
        "Layer conv10 (CONVOLUTION) is not supported on DLA, falling back to GPU.",
        "Layer conv1 has an unusual shape.",
    )
    config = cast("trt.IBuilderConfig", Config(gpu_only=("head/Cast", "softmax")))
    assert fallen_back(layers, config, warnings) == ("head/Cast", "conv10", "softmax")
    assert fallen_back(layers, cast("trt.IBuilderConfig", Config())) == ()


@pytest.mark.parametrize(
    ("found", "program"), [(None, "/usr/src/tensorrt/bin/trtexec"), ("/opt/bin/trtexec", "/opt/bin/trtexec")]
)
def test_the_commands_for_tensorrt_10_are_complete_and_quoted(
    found: str | None, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: found)
    flavour = Flavour("tensorrt", "10.3.0.30", API)
    options = BuildOptions(
        min_batch=2, opt_batch=2, max_batch=2, dla_core=1, workspace_bytes=512 << 20, optimization_level=4
    )
    graph = Path("/data/my bundle/model.onnx")
    calibrate, build = map(shlex.split, calibrated_commands(flavour, graph, 160, options))
    assert calibrate == [
        *("googlenet-edge", "calibrate", "/data/my bundle", "--images", "YOUR_IMAGES"),
        *("--cache", "/data/my bundle.cache", "--cache-version", "100300"),
    ]
    assert build == [
        *(program, "--onnx=/data/my bundle/model.onnx", "--int8", "--fp16", "--calib=/data/my bundle.cache"),
        *("--useDLACore=1", "--allowGPUFallback", "--shapes=image:2x160x160x3"),
        *("--saveEngine=/data/my bundle.dla1.plan", "--memPoolSize=workspace:512", "--builderOptimizationLevel=4"),
    ]
