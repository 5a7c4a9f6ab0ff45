"""The software CUDA driver that this process runs on, for what an engine does with memory and streams."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_CAPTURING: Final = 1
_ATTRIBUTE_MEMORY_TYPE: Final = 2
_ATTRIBUTE_RANGE_START: Final = 11
_ATTRIBUTE_RANGE_SIZE: Final = 12
HOST, DEVICE = 1, 2
"""Types of memory, as the driver numbers them."""
NULL_STREAMS: Final = (0, 1, 2)
"""Handles that stand for a default stream and not for one that was made."""

HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libcuda.so.1")
    library.softcuda_host_address.restype = ctypes.c_void_p
    library.softcuda_host_address.argtypes = [ctypes.c_void_p]
    return library


def has_device() -> bool:
    """Whether a device is there; TensorRT's builder asks."""
    try:
        return int(_library().cuInit(0)) == 0
    except OSError:
        return False


def has_context() -> bool:
    """Whether this thread has a CUDA context."""
    context = ctypes.c_void_p()
    return _library().cuCtxGetCurrent(ctypes.byref(context)) == 0 and bool(context.value)


def compute_capability() -> str:
    """Of the device: ``"8.6"``."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().cuDeviceComputeCapability(ctypes.byref(major), ctypes.byref(minor), 0)
    return f"{major.value}.{minor.value}"


def is_capturing(stream: int) -> bool:
    """Whether what is put on the stream is recorded, not run. Raises :class:`ValueError` for a stream that is none."""
    status = ctypes.c_int()
    if _library().cuStreamIsCapturing(ctypes.c_void_p(stream), ctypes.byref(status)):
        raise ValueError(f"{stream:#x} is no stream of this context")
    return status.value == _CAPTURING


def wait(stream: int) -> int:
    """Wait for the stream; return the driver's result, 0 for success."""
    return int(_library().cuStreamSynchronize(ctypes.c_void_p(stream)))


def enqueue(stream: int, function: Callable[[int], object], argument: int) -> int:
    """Have the stream call the function when its turn comes; return the driver's result, 0 for success."""
    return int(_library().cuLaunchHostFunc(ctypes.c_void_p(stream), function, ctypes.c_void_p(argument)))


def allocate(size_bytes: int) -> int | None:
    """Return the address of new memory on the device; None if there is none left."""
    address = ctypes.c_void_p()
    failed = _library().cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size_bytes))
    return None if failed else address.value


def free(address: int) -> int:
    """Give memory back; return the driver's result, 0 for success."""
    return int(_library().cuMemFree_v2(ctypes.c_void_p(address)))


def memory(address: int) -> tuple[int, int] | None:
    """Return the type of the memory at an address, and the bytes from there to its end; None: not for the device."""
    kind, start, size = ctypes.c_uint(), ctypes.c_void_p(), ctypes.c_size_t()
    for attribute, value in (
        (_ATTRIBUTE_MEMORY_TYPE, kind),
        (_ATTRIBUTE_RANGE_START, start),
        (_ATTRIBUTE_RANGE_SIZE, size),
    ):
        if _library().cuPointerGetAttribute(ctypes.byref(value), attribute, ctypes.c_void_p(address)):
            return None
    return kind.value, (start.value or 0) + size.value - address


def view(address: int, size_bytes: int) -> ctypes.Array[ctypes.c_uint8] | None:
    """The bytes at a device address, where this process can reach them; None if they are no longer allocated."""
    if memory(address) is None:
        return None
    there = _library().softcuda_host_address(ctypes.c_void_p(address))
    return (ctypes.c_uint8 * size_bytes).from_address(there)
