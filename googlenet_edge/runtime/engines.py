"""From a bundle to an engine on the device: found in the store or built, and proved with the bundle's golden frames."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from googlenet_edge.errors import BackendError, DeviceError, EngineError, GoogLeNetEdgeError, MissingPackageError
from googlenet_edge.runtime.engine_source import EngineRequest, EngineSource, Obtained
from googlenet_edge.runtime.golden_record import missed_before, prove, refusal, unproved
from googlenet_edge.runtime.trt_backend import TrtBackend
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import find_device

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.build import BuiltEngine
    from googlenet_edge.engine.sidecar import GoldenCheck
    from googlenet_edge.engine.store import StoredEngine
    from googlenet_edge.runtime.trt_device import DeviceFacts

__all__ = ["EngineRequest", "LoadedEngine", "StoreResult", "build_into_store", "load_engine"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreResult:
    """What :func:`build_into_store` did."""

    engine: StoredEngine
    built: BuiltEngine | None
    """None: a whole engine of this key was there already, and nothing was built."""
    check: GoldenCheck | None
    """That the golden frames were right on this machine's device, now or before; None if they were not run."""
    unchecked: str
    """Why they were not run; empty if they were."""
    reasons: tuple[str, ...]
    """Why what was stored before did not serve."""


@dataclass(frozen=True)
class LoadedEngine:
    """An engine that is on the device, and how it got there."""

    backend: TrtBackend
    origin: str
    """For people: where the engine came from, and how the golden frames went if all were run now."""


def build_into_store(bundle: Bundle, request: EngineRequest, *, device: int = 0, rebuild: bool = False) -> StoreResult:
    """Build the bundle's engine for the targets of the options, or else for this device, and store it.

    If a whole engine of the same key is stored already, and did not miss its golden frames here, that one is kept; with
    ``rebuild`` never. Where there is a device that the engine is for, all golden frames are run on it, once.

    Raises:
        EngineError: It cannot be built, or missed the golden frames, which is noted beside the plan.
        DeviceError: The GPU failed; or there is none, and the options name no targets.
        OutputError: It cannot be stored.
    """
    facts, unchecked = _device_if_there(request, device)
    source = EngineSource(bundle, replace(request, least_batch=None), facts)
    if facts is not None and facts.compute_capability not in source.key.compute_capability.split("+"):
        unchecked = f"the GPU here, {facts.name}, has compute capability {facts.compute_capability}"
        facts = None
    here = None if facts is None else source.here

    def usable(engine: StoredEngine) -> bool:
        return not rebuild and (here is None or missed_before(engine, here) is None)

    obtained = source.obtain(usable, must_store=True)
    engine = obtained.stored()
    check = None if here is None else engine.check_like(here)
    if facts is not None and here is not None and check is None:
        config = TrtConfig(device=device)
        obtained, backend = _load(source, obtained, request, config, facts, must_store=True)
        with backend:
            proved, check = prove(backend, bundle, source.store, obtained.stored(), here)
        engine = proved or engine
    return StoreResult(engine, obtained.built, check, unchecked, obtained.reasons)


def load_engine(bundle: Bundle, request: EngineRequest, device: DeviceFacts, config: TrtConfig) -> LoadedEngine:
    """Find the bundle's engine for this device in the store, or build and store it, and load it.

    On a device, driver and TensorRT that the engine has not been on yet, all golden frames are run. A store that cannot
    be written is no obstacle: the engine is then built each time, and a warning says so.

    Raises:
        EngineError: It cannot be built, or missed the golden frames, now or before.
        DeviceError: The GPU failed.
        BackendError: TensorRT does not load the engine that it has just built.
    """
    source = EngineSource(bundle, request, device)
    here = unproved(device, request.flavour, bundle)
    obtained = source.obtain(lambda _: True)
    missed = None if obtained.engine is None else missed_before(obtained.engine, here)
    if missed is not None:
        raise refusal(obtained.engine, missed, bundle)
    obtained, backend = _load(source, obtained, request, config, device)
    origin = obtained.name if obtained.built is None else f"{obtained.name}, built in {obtained.built.seconds:.1f} s"
    try:
        if obtained.engine is None or obtained.engine.check_like(here) is None:
            _, check = prove(backend, bundle, source.store, obtained.engine, here)
            origin += f", golden frames right ({check.detail})"
    except BaseException:
        backend.close()
        raise
    return LoadedEngine(backend, origin)


def _load(
    source: EngineSource,
    obtained: Obtained,
    request: EngineRequest,
    config: TrtConfig,
    device: DeviceFacts,
    *,
    must_store: bool = False,
) -> tuple[Obtained, TrtBackend]:
    """Load a plan, or, if it is one from the store that TensorRT does not take, one that is built in its place."""
    try:
        return obtained, _open(obtained, request, config, device)
    except DeviceError:
        raise
    except BackendError as error:
        if obtained.built is not None:
            raise
        # Its hash is right, but TensorRT is the judge, and a fresh plan is to be had.
        _logger.warning("%s is built again, because it cannot be loaded: %s", obtained.name, error)
    again = source.obtain(lambda _: False, must_store=must_store)
    return again, _open(again, request, config, device)


def _open(obtained: Obtained, request: EngineRequest, config: TrtConfig, device: DeviceFacts) -> TrtBackend:
    try:
        return TrtBackend(obtained.plan, request.flavour, _config(config, request, obtained.engine, device))
    except (GoogLeNetEdgeError, MemoryError):
        raise
    except Exception as error:  # TensorRT's and CUDA's bindings raise what they like
        raise BackendError(
            f"{obtained.name}: {request.flavour.title} cannot load it: {type(error).__name__}: {error}; "
            "build it again, or run on the CPU with --backend onnxruntime"
        ) from error


def _config(config: TrtConfig, request: EngineRequest, engine: StoredEngine | None, device: DeviceFacts) -> TrtConfig:
    options = request.options if engine is None else engine.key.options
    if options.version_compatible:
        config = replace(config, allow_host_code=True)
    scratch = request.places.scratch
    if request.flavour.is_rtx and engine is not None and scratch is not None and config.runtime_cache is None:
        where = re.sub(r"[^A-Za-z0-9]+", "-", device.name).strip("-").lower()
        name = f"{request.flavour.name}-{request.flavour.version}-{where}-{engine.plan_sha256[:12]}.runtime"
        config = replace(config, runtime_cache=scratch / name)
    return config


def _device_if_there(request: EngineRequest, ordinal: int) -> tuple[DeviceFacts | None, str]:
    """Return the device, or None and why there is none, which is an error only where no targets are named."""
    try:
        return find_device(ordinal), ""
    except (MissingPackageError, DeviceError) as error:
        why = str(error).partition("; ")[0]  # the remedy is not wanted: nothing is wrong
        if request.options.targets:
            return None, why
        if request.flavour.has_targets:
            raise EngineError(
                f"engine: got no GPU and no targets, expected one of them; name the GPUs to build for, for example "
                f"--target rtx40 ({why})"
            ) from error
        raise
