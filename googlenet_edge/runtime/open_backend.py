"""Which inference library serves a bundle on this machine, and why."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.engine.options import LARGEST_BATCH, BuildOptions
from googlenet_edge.engine.store import EnginePlaces
from googlenet_edge.errors import DeviceError, EngineError, InputError, MissingPackageError
from googlenet_edge.runtime.trt_config import TrtConfig

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.build import BuildSettings
    from googlenet_edge.engine.flavour import Flavour, FlavourName
    from googlenet_edge.runtime.backend import Backend
    from googlenet_edge.runtime.trt_device import DeviceFacts

__all__ = ["BACKEND_CHOICES", "BackendChoice", "BackendOptions", "OpenedBackend", "open_backend"]

BackendChoice: TypeAlias = Literal["auto", "onnxruntime", "tensorrt", "tensorrt_rtx"]

BACKEND_CHOICES: tuple[BackendChoice, ...] = ("auto", "onnxruntime", "tensorrt", "tensorrt_rtx")

_FLAVOURS: dict[BackendChoice, FlavourName] = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt_rtx"}

_DRIVER = "libcuda.so.1"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackendOptions:
    """What shall compute, and how."""

    choice: BackendChoice = "auto"
    """``"auto"``: TensorRT where there are a GPU and a TensorRT, else ONNX Runtime."""
    threads: int | None = None
    """ONNX Runtime only: threads within an operator; None for one a physical core."""
    at_once: int = 1
    """ONNX Runtime only: batches that are computed at once, each with its share of the cores."""
    trt: TrtConfig = field(default_factory=TrtConfig)
    """TensorRT only: the device, and how it is used."""
    build: BuildOptions | None = None
    """TensorRT only: take an engine with exactly these options. None: one of this graph and this device, whatever its
    options (see :meth:`EngineStore.look`), or else one that is built with TensorRT's own defaults."""
    max_batch: int | None = None
    """TensorRT only, without ``build``: the engine shall take so many frames at once; None for any number."""
    built_batch: int = 1
    """TensorRT only, without the two before: an engine that has to be built takes at least so many frames at once."""
    places: EnginePlaces = field(default_factory=EnginePlaces)

    def __post_init__(self) -> None:
        if self.choice not in BACKEND_CHOICES:
            raise InputError(f"backend: got {self.choice!r}, expected one of {', '.join(BACKEND_CHOICES)}")
        if self.build is not None and self.max_batch is not None:
            raise InputError("max_batch: got it and build, expected one of the two; set build's own max_batch")
        if self.built_batch < 1:
            raise InputError(f"built_batch: got {self.built_batch}, expected 1 or more")


@dataclass(frozen=True)
class OpenedBackend:
    """A backend for the bundle, and how it was chosen. Who opened it closes it."""

    backend: Backend
    line: str
    """One line for people: what computes, and why that."""


def open_backend(
    bundle: Bundle, options: BackendOptions | None = None, *, settings: BuildSettings | None = None
) -> OpenedBackend:
    """Choose what computes this bundle on this machine, and load it.

    With TensorRT that finds the bundle's engine, or builds it, which takes a minute or more on a board; ``settings``
    are for that build. Which backend was chosen, and why, is in the result, and is logged.

    Raises:
        MissingPackageError: A package that the choice needs is not installed.
        EngineError: TensorRT cannot be used, the engine cannot be built, or it missed the golden frames. Also with
            ``"auto"``: a GPU that is there and gives wrong answers is not passed over in silence.
        DeviceError: There is no GPU, but TensorRT was chosen; there are GPUs, but not the one of this number; or the
            GPU failed.
        BackendError: The library does not load the graph or the engine.
    """
    options = options or BackendOptions()
    if options.choice == "onnxruntime":
        opened = _onnxruntime(bundle, options, "as asked for")
    else:
        try:
            device, flavour = _tensorrt_here(options)
        except (MissingPackageError, DeviceError, EngineError) as error:
            if options.choice != "auto" or _is_wrong_number(options.trt.device, error):
                raise
            _logger.info("TensorRT is not used: %s", error)
            opened = _onnxruntime(bundle, options, f"no TensorRT: {_short(error)}")
        else:
            opened = _tensorrt(bundle, options, device, flavour, settings)
    _logger.info("%s", opened.line)
    return opened


def _tensorrt_here(options: BackendOptions) -> tuple[DeviceFacts, Flavour]:
    """Return the device and the TensorRT for it, or raise why there is none."""
    from googlenet_edge.runtime.trt_device import find_device

    if options.choice == "auto" and not _has_driver():
        # Before any package is called missing: on a machine without a GPU, none is.
        raise DeviceError("this machine has no NVIDIA driver")
    device = find_device(options.trt.device)
    return device, load_flavour(_FLAVOURS.get(options.choice))


def _tensorrt(
    bundle: Bundle,
    options: BackendOptions,
    device: DeviceFacts,
    flavour: Flavour,
    settings: BuildSettings | None,
) -> OpenedBackend:
    from googlenet_edge.runtime.engines import EngineRequest, load_engine

    request = EngineRequest(
        flavour,
        options.build or _default_build(options),
        least_batch=(options.max_batch or 1) if options.build is None else None,
        places=options.places,
    )
    if settings is not None:
        request = replace(request, settings=settings)
    loaded = load_engine(bundle, request, device, options.trt)
    where = f"{flavour.title} on {device.name} (compute capability {device.compute_capability})"
    return OpenedBackend(loaded.backend, f"{where}: {loaded.origin}")


def _default_build(options: BackendOptions) -> BuildOptions:
    if options.max_batch is not None:
        return BuildOptions(max_batch=options.max_batch)
    default = BuildOptions()
    return replace(default, max_batch=min(max(default.max_batch, options.built_batch), LARGEST_BATCH))


def _onnxruntime(bundle: Bundle, options: BackendOptions, why: str) -> OpenedBackend:
    from googlenet_edge.runtime.ort_backend import OrtBackend  # an engine does not need it
    from googlenet_edge.runtime.ort_config import OrtConfig

    backend = OrtBackend(bundle.graph_path, OrtConfig(threads=options.threads, at_once=options.at_once))
    return OpenedBackend(backend, f"ONNX Runtime {backend.describe()['version']} on the CPU: {why}")


def _is_wrong_number(ordinal: int, error: Exception) -> bool:
    """Say whether a GPU was asked for by a number that there is not, on a machine that has GPUs."""
    from googlenet_edge.runtime.trt_device import find_device

    if ordinal == 0 or not isinstance(error, DeviceError):
        return False
    try:
        find_device(0)
    except (MissingPackageError, DeviceError):
        return False
    return True


def _has_driver() -> bool:
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def _short(error: Exception) -> str:
    """Return what is wrong, without the remedy: that is in the log."""
    return str(error).partition("; ")[0]
