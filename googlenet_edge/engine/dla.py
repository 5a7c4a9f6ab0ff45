"""The deep-learning accelerators (DLA) of Jetson Orin: where a build can use them, and what falls back to the GPU."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING

from googlenet_edge.errors import EngineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["calibrated_commands", "check_dla", "fallen_back", "use_dla"]

JETPACK_TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
"""JetPack does not put it on the path."""


def check_dla(flavour: Flavour) -> None:
    """Raise :class:`EngineError` unless this TensorRT has a DLA in a strongly typed build."""
    if flavour.dla == "strongly typed":
        return
    if flavour.dla == "calibration cache":
        raise EngineError(
            f"{flavour.title} takes INT8 on a DLA only from a calibration cache, in a weakly typed build, which is "
            "trtexec's: `googlenet-edge build BUNDLE --dla N` prints the commands"
        )
    raise EngineError(
        f"{flavour.title} has no DLA: it is in TensorRT up to 10.7, and from 11.4.1 on AGX Orin (Thor has none); build "
        "without --dla"
    )


def calibrated_commands(flavour: Flavour, graph: Path, crop_px: int, options: BuildOptions) -> tuple[str, str]:
    """Return the two commands, for a shell, that make an engine with INT8 on a DLA in TensorRT up to 10.7.

    The first writes the calibration cache of the bundle that ``graph``, a float32 ONNX file for crops of ``crop_px``
    pixels, is in; the second is
    trtexec's build with it. What it saves is for trtexec and programs of TensorRT's own: it is no engine of the bundle.
    """
    bundle, core = graph.parent, options.dla_core or 0
    cache, plan = bundle.with_name(f"{bundle.name}.cache"), bundle.with_name(f"{bundle.name}.dla{core}.plan")
    major, minor, patch = (*flavour.numbers, 0, 0)[:3]
    calibrate = ["googlenet-edge", "calibrate", str(bundle), "--images", "YOUR_IMAGES", "--cache", str(cache)]
    build = [
        shutil.which("trtexec") or JETPACK_TRTEXEC,
        f"--onnx={graph}",
        "--int8",
        "--fp16",
        f"--calib={cache}",
        f"--useDLACore={core}",
        "--allowGPUFallback",
        f"--shapes=image:{options.opt_batch}x{crop_px}x{crop_px}x3",
        f"--saveEngine={plan}",
    ]
    if options.workspace_bytes is not None:
        build.append(f"--memPoolSize=workspace:{max(1, options.workspace_bytes >> 20)}")
    if options.optimization_level is not None:
        build.append(f"--builderOptimizationLevel={options.optimization_level}")
    version = major * 10_000 + minor * 100 + patch
    return shlex.join([*calibrate, "--cache-version", str(version)]), shlex.join(build)


def use_dla(flavour: Flavour, builder: trt.Builder, config: trt.IBuilderConfig, core: int) -> None:
    """Have a config put on this DLA core what can run there, and the rest on the GPU.

    Raises :class:`EngineError` where there is no DLA, :class:`UsageError` where there is no such core.
    """
    check_dla(flavour)
    cores = builder.num_DLA_cores
    if cores < 1:
        raise EngineError("DLA: got a device without one, expected AGX Orin; build without --dla")
    if core >= cores:
        raise UsageError(f"DLA core: got {core}, expected 0 to {cores - 1}")
    config.default_device_type = flavour.api.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(flavour.api.BuilderFlag.GPU_FALLBACK)


def fallen_back(
    network: trt.INetworkDefinition, config: trt.IBuilderConfig, warnings: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the layers that run on the GPU though a DLA was asked for, in the network's order.

    What cannot run there is known before the build; what the builder itself moved is in its ``warnings``.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    said = [line for line in warnings if re.search(r"fall(ing|s|en)?\s*back", line, re.IGNORECASE)]
    moved = {layer.name for layer in layers if any(_names(line, layer.name) for line in said)}
    return tuple(layer.name for layer in layers if layer.name in moved or not config.can_run_on_DLA(layer))


def _names(line: str, layer: str) -> bool:
    """Whether a line of the log names this layer, and not one whose name only begins the same."""
    return bool(layer) and re.search(rf"(?<![\w/.]){re.escape(layer)}(?![\w/])", line) is not None
