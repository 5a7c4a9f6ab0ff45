"""Whether an engine gave the golden frames' probabilities on a device, and the record of it beside the plan."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.sidecar import GoldenCheck
from googlenet_edge.errors import BackendError, DeviceError, EngineError, OutputError
from googlenet_edge.runtime.backend import check_golden

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.store import EngineStore, StoredEngine
    from googlenet_edge.runtime.backend import Backend
    from googlenet_edge.runtime.trt_device import DeviceFacts

__all__ = ["missed_before", "prove", "refusal", "unproved", "utc_now"]

_logger = logging.getLogger(__name__)

GOLDEN_REMEDY: Final = "build the engine again"
"""How the remedy of :func:`check_golden` begins."""


def unproved(device: DeviceFacts, flavour: Flavour, bundle: Bundle) -> GoldenCheck:
    """Return a check that was not made yet, of this device with this driver and TensorRT."""
    return GoldenCheck(
        device_name=device.name,
        compute_capability=device.compute_capability,
        driver_version=device.driver_version,
        tensorrt_version=flavour.version,
        frames=bundle.manifest.golden.count,
        passed=False,
        detail="",
        date="",
    )


def missed_before(engine: StoredEngine, here: GoldenCheck) -> GoldenCheck | None:
    """Return the check that this engine failed here at an earlier time; None if it passed or was not made."""
    known = engine.check_like(here)
    return None if known is None or known.passed else known


def refusal(
    engine: StoredEngine | None, check: GoldenCheck, bundle: Bundle, *, just_rebuilt: bool = False
) -> EngineError:
    """Return the error for an engine that missed the golden frames; ``just_rebuilt``: to build again is no remedy."""
    name = f"engine {str(engine.path)!r}" if engine is not None else f"engine of bundle {bundle.name!r}"
    build = f"googlenet-edge build {bundle.path} --rebuild"
    again = "" if engine is None else f"; it stays refused here until `{build}` replaces it"
    if just_rebuilt:
        again = "; it stays refused here: try another version of TensorRT, or the bundle in another precision"
    return EngineError(
        f"{name}: refused on {check.device_name} (compute capability {check.compute_capability}, driver for CUDA "
        f"{check.driver_version}, TensorRT {check.tensorrt_version}), {check.date}: {check.detail}{again}; "
        "meanwhile use --backend onnxruntime"
    )


def prove(
    backend: Backend,
    bundle: Bundle,
    store: EngineStore,
    engine: StoredEngine | None,
    here: GoldenCheck,
    *,
    just_rebuilt: bool = False,
) -> tuple[StoredEngine | None, GoldenCheck]:
    """Run all golden frames and record how that ended; return the engine with its new record, and the check.

    ``engine`` is None for one that is not on disk; ``just_rebuilt`` is for :func:`refusal`. Raises
    :class:`EngineError`, after recording it, if a probability is outside the bundle's tolerance, :class:`DeviceError`
    if the GPU fails, which says nothing about the engine.
    """
    try:
        worst = check_golden(backend, bundle)
        check = replace(here, passed=True, detail=f"largest difference of a probability {worst:.2g}", date=utc_now())
        cause = None
    except DeviceError:
        raise
    except BackendError as error:
        # The remedy is not noted: which one fits is known when it is told.
        detail = str(error).partition(f"; {GOLDEN_REMEDY}")[0]
        check = replace(here, passed=False, detail=detail, date=utc_now())
        cause = error
    if engine is not None:
        try:
            engine = store.record(engine, check)
        except OutputError as error:
            _logger.info("the golden frames are run again at the next load, because this cannot be noted: %s", error)
    if cause is not None:
        raise refusal(engine, check, bundle, just_rebuilt=just_rebuilt) from cause
    return engine, check


def utc_now() -> str:
    """Return the time, in the form that sorts."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
