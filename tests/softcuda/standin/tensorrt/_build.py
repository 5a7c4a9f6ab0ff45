"""The builder: from a network and its settings to a plan."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Final

from . import _control as control
from . import _driver as driver
from ._enums import (
    BuilderFlag,
    DeviceType,
    HardwareCompatibilityLevel,
    MemoryPoolType,
    ProfilingVerbosity,
)
from ._interfaces import ILogger, IProgressMonitor, say, say_error
from ._network import INetworkDefinition, fused_layers
from ._plan import Dims, PlanHeader, write_plan

SCRATCH_BYTES: Final = 1 << 16
"""What an execution context needs of the device's memory."""
_STEP_S: Final = 0.01
_TIMINGS: Final = b"STANDIN-TIMINGS "


class IHostMemory(bytes):
    """Bytes that TensorRT made."""

    @property
    def nbytes(self) -> int:
        return len(self)


@dataclass(eq=False)
class IOptimizationProfile:
    """The shapes that an engine takes."""

    shapes: dict[str, tuple[Dims, Dims, Dims]] = field(default_factory=dict)

    def set_shape(self, input: str, min: Dims, opt: Dims, max: Dims) -> None:  # noqa: A002 - TensorRT's names
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))

    def get_shape(self, input: str) -> list[Dims]:  # noqa: A002
        return list(self.shapes.get(input, ()))


@dataclass(eq=False)
class ITimingCache:
    """Names of tactics that were timed."""

    tactics: set[str]

    def serialize(self) -> IHostMemory:
        return IHostMemory(_TIMINGS + "\n".join([control.settings.version, *sorted(self.tactics)]).encode())

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self.tactics |= input_cache.tactics
        return True


@dataclass(eq=False)
class IBuilderConfig:
    """How to build."""

    logger: ILogger
    profiling_verbosity: ProfilingVerbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
    builder_optimization_level: int = 3
    hardware_compatibility_level: HardwareCompatibilityLevel = HardwareCompatibilityLevel.NONE
    default_device_type: DeviceType = DeviceType.GPU
    DLA_core: int = -1
    progress_monitor: IProgressMonitor | None = None
    flags: set[BuilderFlag] = field(default_factory=lambda: {BuilderFlag.TF32})
    pools: dict[MemoryPoolType, int] = field(default_factory=dict)
    profiles: list[IOptimizationProfile] = field(default_factory=list)
    timings: ITimingCache | None = None

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        for name, (least, best, most) in profile.shapes.items():
            if not len(least) == len(best) == len(most) or any(
                not 0 < a <= b <= c for a, b, c in zip(least, best, most, strict=True)
            ):
                say_error(self.logger, f"optimization profile: {name}: {least}, {best}, {most} do not rise")
                return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        content = bytes(serialized_timing_cache)
        if not content:
            return ITimingCache(set())
        version, *tactics = content.removeprefix(_TIMINGS).decode(errors="replace").split("\n")
        if not content.startswith(_TIMINGS) or version != control.settings.version:
            say_error(self.logger, "the timing cache is damaged, or another version's")
            return None
        return ITimingCache(set(tactics))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self.timings = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self.timings


class Builder:
    """Makes networks, settings and plans. TensorRT, unlike TensorRT-RTX, needs a device for that."""

    num_DLA_cores = 0  # noqa: N815 - TensorRT's name

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger
        if not driver.has_device():
            say_error(logger, "createInferBuilder: Error Code 6: API Usage Error (CUDA initialization failure)")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self.logger)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        control.calls["build"] += 1
        wrong = _what_is_wrong(network, config)
        if wrong:
            say_error(self.logger, f"IBuilder::buildSerializedNetwork: Error Code 4: {wrong}")
            return None
        say(self.logger, f"building from {len(network.nodes)} nodes")
        if not _go_through_phases(config.progress_monitor):
            say_error(self.logger, "IBuilder::buildSerializedNetwork: the build was cancelled by the monitor")
            return None
        if config.timings is not None:
            config.timings.tactics |= {node.name for node in network.nodes}
        header = PlanHeader(
            version=control.settings.version,
            compute_capability=driver.compute_capability(),
            profile=config.profiles[0].shapes,
            scratch_bytes=SCRATCH_BYTES,
            layers=fused_layers(network.nodes),
            detailed=config.profiling_verbosity == ProfilingVerbosity.DETAILED,
            version_compatible=BuilderFlag.VERSION_COMPATIBLE in config.flags,
            onnx_sha256=hashlib.sha256(network.onnx).hexdigest(),
        )
        return IHostMemory(write_plan(header, network.onnx))


def _what_is_wrong(network: INetworkDefinition, config: IBuilderConfig) -> str:
    if not network.inputs:
        return "the network has no inputs and outputs"
    if not network.strongly_typed and int(control.settings.version.split(".")[0]) < 11:
        return "the network is weakly typed, in which nobody says which type each layer computes in"
    for port in network.inputs:
        if -1 in port.shape and not any(port.name in profile.shapes for profile in config.profiles):
            return f"input {port.name} has free sizes, and no optimization profile has shapes for it"
    return ""


def _go_through_phases(monitor: IProgressMonitor | None) -> bool:
    """Take some time, as a build does, and stop when the monitor says so."""
    if monitor is None:
        return True
    outer, inner = "Building Engine", "Timing Graph Nodes"
    monitor.phase_start(outer, None, 1)
    monitor.phase_start(inner, outer, control.settings.build_steps)
    going = True
    for step in range(control.settings.build_steps):
        time.sleep(_STEP_S)
        going = monitor.step_complete(inner, step)
        if not going:
            break
    monitor.phase_finish(inner)
    going = going and monitor.step_complete(outer, 0)
    monitor.phase_finish(outer)
    return going
