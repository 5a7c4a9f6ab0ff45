"""The GPU itself, through pycuda: which one there is, and what its failures mean."""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from googlenet_edge.engine.host import is_jetson
from googlenet_edge.errors import BackendError, DeviceError, MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pycuda.driver as cuda

__all__ = ["DeviceFacts", "PrimaryContext", "device_failure", "find_device"]


@dataclass(frozen=True)
class DeviceFacts:
    """A GPU, as its driver describes it."""

    ordinal: int
    name: str
    """As the driver gives it; of an integrated GPU with its size, for all boards say "Orin": "Orin (8 SMs, 7 GiB)"."""
    compute_capability: str
    """``"8.7"``."""
    memory_bytes: int
    integrated: bool
    """It shares its memory with the CPU, as on a Jetson."""
    driver_version: str
    """The newest CUDA that the driver serves: ``"13.0"``."""
    maps_host_memory: bool = True
    """It can read and write pinned host memory in place."""

    @property
    def title(self) -> str:
        """For people: ``"GPU 0 (Orin)"``."""
        return f"GPU {self.ordinal} ({self.name})"


def find_device(ordinal: int = 0) -> DeviceFacts:
    """Describe a GPU. No context is made: nothing is left behind on the device or in this thread.

    Raises:
        MissingPackageError: pycuda is not installed.
        DeviceError: There is no driver, or no GPU of this number.
    """
    _import_pycuda()
    import pycuda.driver as cuda

    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        raise DeviceError(
            f"GPU: got {error}, expected one that CUDA can use; check it with nvidia-smi (Jetson: tegrastats), "
            "or run on the CPU with --backend onnxruntime"
        ) from error
    if not 0 <= ordinal < count:
        raise DeviceError(
            f"GPU: got number {ordinal}, but this machine has {count}, numbered from 0; choose another with --device"
        )
    device = cuda.Device(ordinal)
    major, minor = device.compute_capability()
    version = cuda.get_driver_version()
    integrated = bool(device.get_attribute(cuda.device_attribute.INTEGRATED))
    return DeviceFacts(
        ordinal=ordinal,
        name=_model_name(device) if integrated else device.name(),
        compute_capability=f"{major}.{minor}",
        memory_bytes=device.total_memory(),
        integrated=integrated,
        driver_version=f"{version // 1000}.{version % 1000 // 10}",
        maps_host_memory=bool(device.get_attribute(cuda.device_attribute.CAN_MAP_HOST_MEMORY)),
    )


def _model_name(device: cuda.Device) -> str:
    """Tell boards apart: every Orin says "Orin", from Nano to AGX, and power modes switch multiprocessors off."""
    import pycuda.driver as cuda

    multiprocessors = device.get_attribute(cuda.device_attribute.MULTIPROCESSOR_COUNT)
    return f"{device.name()} ({multiprocessors} SMs, {round(device.total_memory() / 2**30)} GiB)"


def _import_pycuda() -> None:
    try:
        import pycuda.driver  # noqa: F401 - to see whether it is there
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "pycuda":
            raise MissingPackageError(error.name or "pycuda", extra=_extra()) from error
        raise MissingPackageError("pycuda", extra=_extra()) from error
    except ImportError as error:
        reason = "there is no NVIDIA driver here" if "libcuda" in str(error) else "pycuda does not fit this machine"
        raise DeviceError(
            f"GPU: got {error}, expected the CUDA driver behind pycuda: {reason}; install the driver (or make pycuda "
            "again for this Python and CUDA), or run on the CPU with --backend onnxruntime"
        ) from error


def _extra() -> str:
    return "jetson" if is_jetson() else "tensorrt"


def device_failure(error: Exception, facts: DeviceFacts, doing: str) -> BackendError:
    """Put what went wrong while ``doing`` something on the GPU into one error; an error of ours stays as it is."""
    import pycuda.driver as cuda

    if isinstance(error, BackendError):
        return error
    if isinstance(error, cuda.MemoryError):
        remedy = "close what else uses the GPU, or use an engine of a smaller largest batch (--max-batch)"
        return DeviceError(f"{facts.title}: out of memory while {doing}: {error}; {remedy}")
    if isinstance(error, cuda.Error):
        remedy = (
            "start the program again; if it comes back, look into the kernel's log (dmesg), and check power supply and "
            "temperature"
        )
        return DeviceError(f"{facts.title}: failed while {doing}: {error}; {remedy}")
    return BackendError(f"{facts.title}: failed while {doing}: {type(error).__name__}: {error}; please report it")


class PrimaryContext:
    """The device's primary context, which every library of the process shares, held by one owner thread.

    pycuda frees an object only in the thread that retained its context, and ends the process if a thread finishes with
    a context still pushed. So :meth:`open` and :meth:`close` are called by the same thread; others :meth:`visit`.
    """

    def __init__(self) -> None:
        self._context: cuda.Context | None = None

    def open(self, ordinal: int) -> None:
        """Retain the context and push it in this thread, which is its owner from now on."""
        import pycuda.driver as cuda

        cuda.init()
        context = cuda.Device(ordinal).retain_primary_context()
        context.push()
        self._context = context

    @contextlib.contextmanager
    def visit(self) -> Iterator[None]:
        """Have the context pushed in another thread while the block runs."""
        if self._context is None:
            raise BackendError("CUDA context: got none, expected an open one; the backend is closed")
        self._context.push()
        try:
            yield
        finally:
            _leave(self._context)

    def close(self) -> None:
        """Release the context. Everything in it must have been freed. May be called again."""
        context, self._context = self._context, None
        if context is not None:
            context.detach()  # while it is current: this takes it off pycuda's stack too, and cannot fail
            # But not off the driver's own stack for this thread, and pycuda has no other call for that.
            ctypes.CDLL("libcuda.so.1").cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def abandon(self, *belongings: object) -> None:
        """Leave a context that a failure broke, and what lies in it, to the end of the process.

        In a broken context every call fails, freeing too, and pycuda would say so on stderr for each object. So no
        destructor may run any more: each object is given one reference that is never taken back.
        """
        context, self._context = self._context, None
        for belonging in (context, *belongings):
            holder: ctypes.py_object[object] = ctypes.py_object(belonging)
            ctypes.pythonapi.Py_IncRef(holder)
        if context is not None:
            _leave(context)


def _leave(context: cuda.Context) -> None:
    """Take the context off this thread, without an exception: a thread must not end with one on pycuda's stack."""
    import pycuda.driver as cuda

    try:
        cuda.Context.pop()
    except cuda.Error:  # so broken that not even this works: pycuda also drops contexts that were marked as invalid
        with contextlib.suppress(cuda.Error):
            context.detach()
        with contextlib.suppress(cuda.Error):
            cuda.Event()
