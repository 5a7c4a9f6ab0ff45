"""The builder's settings for our options, and what a flavour does not have of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from googlenet_edge.engine.dla import check_dla, use_dla
from googlenet_edge.engine.host import ROOT
from googlenet_edge.errors import EngineError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["check_supported", "make_config", "price_of"]

VERSION_PRICE = (
    "version compatible: newer TensorRT versions load this plan, older ones do not; the plan is larger, for it carries "
    "a runtime, and it may be slower, for it does without the tactics of one version"
)
HARDWARE_PRICE = (
    "hardware compatible: every GPU from Ampere on loads this plan; it may be slower, for it uses only the tactics "
    "and the shared memory that all of them have"
)
TARGET_PRICE = (
    "{count} targets share one engine, made of what all of them have: with Turing (7.5) among them, an INT8 graph is "
    "computed in FP16 on every one; build for each alone where that matters"
)


def check_supported(flavour: Flavour, options: BuildOptions, root: Path = ROOT) -> None:
    """Raise :class:`UsageError` for options that this flavour does not have, with what to do instead.

    ``root`` is the root of the file system, where it is seen whether this is a Jetson.
    """
    if options.targets and not flavour.has_targets:
        raise UsageError(
            f"targets: got {', '.join(options.targets)}, but {flavour.title} builds for the device it runs on; build "
            "there, or use --flavour tensorrt-rtx for GeForce RTX cards"
        )
    if options.version_compatible and not flavour.has_version_compatibility:
        raise UsageError(
            f"version compatible: {flavour.title} has no such plans: its plans are for one version; keep the bundle "
            "and build again with the other version, which takes seconds"
        )
    if options.hardware_compatible and not flavour.has_hardware_compatibility(root):
        instead = "name the targets, with --target" if flavour.is_rtx else "JetPack has none: build on each board"
        raise UsageError(f"hardware compatible: {flavour.title} has no such plans here; {instead}")
    if options.dla_core is not None:
        check_dla(flavour)


def price_of(options: BuildOptions) -> tuple[str, ...]:
    """Return what the options cost, for a user to read; () if nothing."""
    price = []
    if options.version_compatible:
        price.append(VERSION_PRICE)
    if options.hardware_compatible:
        price.append(HARDWARE_PRICE)
    if len(options.targets) > 1:
        price.append(TARGET_PRICE.format(count=len(options.targets)))
    return tuple(price)


def make_config(
    flavour: Flavour, builder: trt.Builder, network: trt.INetworkDefinition, options: BuildOptions
) -> trt.IBuilderConfig:
    """Return the settings for this network. The workspace, the monitor and the timing cache are the caller's."""
    api = flavour.api
    config = builder.create_builder_config()
    # Names of layers and tactics go into the plan, so that a profile on the device can be read.
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED
    # Precision lives in the graph: FP32 there is not TF32 here.
    config.clear_flag(api.BuilderFlag.TF32)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.version_compatible:
        config.set_flag(api.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = api.HardwareCompatibilityLevel.AMPERE_PLUS
    if flavour.has_targets:
        _set_targets(flavour, config, options.targets)
    if options.dla_core is not None:
        use_dla(flavour, builder, config, options.dla_core)
    image = network.get_input(0)
    profile = builder.create_optimization_profile()
    sizes = tuple(image.shape)[1:]
    batches = (options.min_batch, options.opt_batch, options.max_batch)
    least, best, most = ((batch, *sizes) for batch in batches)
    profile.set_shape(image.name, least, best, most)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"{flavour.title} refuses the batch sizes {batches} for {image.name!r} {tuple(image.shape)}")
    return config


def _set_targets(flavour: Flavour, config: trt.IBuilderConfig, targets: tuple[str, ...]) -> None:
    known = flavour.api.ComputeCapability.__members__
    names = [f"SM{target.replace('.', '')}" for target in targets] or ["CURRENT"]
    for name in names:
        if name not in known:
            offered = ", ".join(sorted(set(known) - {"NONE", "CURRENT"}))
            raise UsageError(f"target: got {name}, but {flavour.title} offers {offered}")
    config.num_compute_capabilities = len(names)
    for index, name in enumerate(names):
        config.set_compute_capability(known[name], index)
