"""From a bundle to an engine on the device, loaded and proved with the golden frames; the plan is find_or_build's."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.options import TARGETS
from googlenet_edge.errors import BackendError, DeviceError, EngineError, GoogLeNetEdgeError, MissingPackageError
from googlenet_edge.runtime.backend import check_golden
from googlenet_edge.runtime.find_or_build import EngineRequest, EngineSource, Obtained
from googlenet_edge.runtime.golden_record import missed_before, prove, refusal, unproved
from googlenet_edge.runtime.trt_backend import TrtBackend
from googlenet_edge.runtime.trt_config import TrtConfig
from googlenet_edge.runtime.trt_device import find_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.build import BuiltEngine
    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.sidecar import GoldenCheck
    from googlenet_edge.engine.store import StoredEngine
    from googlenet_edge.runtime.trt_device import DeviceFacts

__all__ = ["EngineRequest", "LoadResult", "StoreResult", "build_into_store", "load_engine"]

_logger = logging.getLogger(__name__)

# CUDA's words for it, TensorRT's, and ours where TensorRT makes no context and gives no reason.
_OUT_OF_MEMORY: Final = re.compile(r"out[ _]?of[ _]?memory|cannot make an execution context", re.IGNORECASE)


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
    """Why what was stored before did not serve; nothing of engines that only have other options, and stay."""


@dataclass(frozen=True)
class LoadResult:
    """What :func:`load_engine` did."""

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

    def unusable(engine: StoredEngine) -> str:
        if rebuild:
            return "is replaced, as asked for"
        missed = None if here is None else missed_before(engine, here)
        return "" if missed is None else f"missed its golden frames here: {missed.detail}"

    obtained = source.obtain(unusable, must_store=True)
    engine = obtained.stored()
    check = None if here is None else engine.check_like(here)
    if facts is not None and here is not None and check is None:
        config = TrtConfig(device=device)
        obtained, backend = _load(source, obtained, config, facts, must_store=True)
        with backend:
            new = obtained.built is not None
            proved, check = prove(backend, bundle, source.store, obtained.stored(), here, just_rebuilt=new)
        engine = proved or engine
    return StoreResult(engine, obtained.built, check, unchecked, obtained.reasons)


def load_engine(bundle: Bundle, request: EngineRequest, device: DeviceFacts, config: TrtConfig) -> LoadResult:
    """Find the bundle's engine for this device in the store, or build and store it, and load it.

    On a device, driver and TensorRT that the engine has not been on yet, all golden frames are run. Later, one is: by
    the :class:`Classifier`, or here if layers are timed, which is done without one. A store that cannot be written is
    no obstacle: the engine is then built each time, and a warning says so. Where the request leaves the options open
    and an engine does not fit into the device's memory, a smaller one is taken, and a warning says so.

    Raises:
        EngineError: It cannot be built, or missed the golden frames, now or before.
        DeviceError: The GPU failed.
        BackendError: TensorRT does not load the engine that it has just built.
    """
    source = EngineSource(bundle, request, device)
    here = unproved(device, request.flavour, bundle)
    obtained: Obtained | None = source.obtain(lambda _: "")
    tried: set[Path] = set()
    full: DeviceError | None = None
    while obtained is not None:
        missed = None if obtained.engine is None else missed_before(obtained.engine, here)
        if missed is not None:
            raise refusal(obtained.engine, missed, bundle)
        try:
            return _bring_up(source, obtained, config, device)
        except DeviceError as error:
            if _OUT_OF_MEMORY.search(str(error)) is None:
                raise
            full = error.with_traceback(None)  # its frames would keep the backend alive
        large = obtained
        if large.engine is not None:
            tried.add(large.engine.path)
        obtained = source.obtain_smaller(large, tried)
        if obtained is not None:
            _logger.warning(
                "%s, for up to %d frames, does not fit into the GPU's memory now; %s, for up to %d, is taken instead",
                large.name,
                large.options.max_batch,
                obtained.name,
                obtained.options.max_batch,
            )
    raise full or DeviceError("engine: got none that fits into the GPU's memory; close what else uses it")


def _bring_up(source: EngineSource, obtained: Obtained, config: TrtConfig, device: DeviceFacts) -> LoadResult:
    """Load it, and run the golden frames that are due."""
    obtained, backend = _load(source, obtained, config, device)
    bundle, here = source.bundle, unproved(device, source.request.flavour, source.bundle)
    origin = obtained.name if obtained.built is None else f"{obtained.name}, built in {obtained.built.seconds:.1f} s"
    try:
        if obtained.engine is None or obtained.engine.check_like(here) is None:
            _, check = prove(backend, bundle, source.store, obtained.engine, here)
            origin += f", golden frames right ({check.detail})"
        elif config.profile_layers:
            check_golden(backend, bundle, frames=1)
    except BaseException:
        backend.close()
        raise
    return LoadResult(backend, origin)


def _load(
    source: EngineSource, obtained: Obtained, config: TrtConfig, device: DeviceFacts, *, must_store: bool = False
) -> tuple[Obtained, TrtBackend]:
    """Load a plan, or, if it is one from the store that TensorRT does not take, one that is built in its place."""
    while True:
        try:
            return obtained, _open(obtained, source.request, config, device)
        except DeviceError:
            raise
        except BackendError as error:
            why = str(error).partition("; build the engine again")[0]
            if obtained.built is not None:  # a stale plan is mended by building; this one is fresh
                raise _unloadable(source.request.flavour, device, why) from error
        # Its hash is right, but TensorRT is the judge, and a fresh plan is to be had.
        obtained = source.obtain(_always(f"cannot be loaded: {why}"), must_store=must_store)


def _always(why: str) -> Callable[[StoredEngine], str]:
    return lambda _: why


def _unloadable(flavour: Flavour, device: DeviceFacts, why: str) -> BackendError:
    remedy = "run on the CPU with --backend onnxruntime, and please report it"
    if flavour.is_rtx and device.compute_capability not in TARGETS:
        remedy = (
            f"it is made for compute capabilities {', '.join(TARGETS)}: use TensorRT itself with --backend tensorrt, "
            "or run on the CPU with --backend onnxruntime"
        )
    return BackendError(
        f"{flavour.title} does not load the engine that it has just built, on {device.name} (compute capability "
        f"{device.compute_capability}): {why}; {remedy}"
    )


def _open(obtained: Obtained, request: EngineRequest, config: TrtConfig, device: DeviceFacts) -> TrtBackend:
    try:
        return TrtBackend(obtained.plan, request.flavour, _config(config, request, obtained, device))
    except (GoogLeNetEdgeError, MemoryError):
        raise
    except Exception as error:  # TensorRT's and CUDA's bindings raise what they like
        raise BackendError(f"{request.flavour.title} cannot load it: {type(error).__name__}: {error}") from error


def _config(config: TrtConfig, request: EngineRequest, obtained: Obtained, device: DeviceFacts) -> TrtConfig:
    engine = obtained.engine
    if obtained.options.version_compatible:
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
