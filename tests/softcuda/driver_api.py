"""The two libraries that call the driver in its tests, as Any: our stubs have only the names that the package uses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.softcuda import control

pycuda: Any = import_module("pycuda.driver")
bindings: Any = import_module("cuda.bindings.driver")

Bytes = npt.NDArray[np.uint8]
NON_BLOCKING = 1


def name_of(result: tuple[Any, ...]) -> str:
    """The error of a call through cuda-bindings, or "CUDA_SUCCESS"."""
    return str(result[0].name)


def value_of(result: tuple[Any, ...]) -> Any:
    """The value of a call through cuda-bindings that has to succeed."""
    assert name_of(result) == "CUDA_SUCCESS"
    return result[1] if len(result) == 2 else None


def bytes_of(address: int, count: int) -> Bytes:
    """The bytes of a device address, seen by the host."""
    memory = (ctypes.c_uint8 * count).from_address(control.host_address(address))
    return np.ctypeslib.as_array(memory)


def pinned(count: int, value: int = 0) -> Bytes:
    """Pinned memory, filled with one value."""
    memory: Bytes = pycuda.pagelocked_empty(count, np.uint8)
    memory[:] = value
    return memory


def host_function(function: Callable[[int], None]) -> Any:
    """A function as the driver calls it. Whoever enqueues it keeps it alive until it has run."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(function)


def launch_host_function(stream: int, function: Any) -> None:
    """Enqueues what `host_function` made."""
    launch = ctypes.CDLL(control.LIBRARY).cuLaunchHostFunc
    result = launch(ctypes.c_void_p(stream), function, None)
    if result:
        raise RuntimeError(f"cuLaunchHostFunc failed: {result}")
