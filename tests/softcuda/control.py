"""What tests may ask of the software CUDA driver while it runs: driver/control.h in Python.

The driver has to be loaded into this process already; tests/softcuda/conftest.py sees to that.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from functools import cache
from pathlib import Path
from typing import Protocol

LIBRARY = "libcuda.so.1"


class Setting(IntEnum):
    """What can be changed while the driver runs. Values are whole numbers."""

    DEFERRED = 0
    """1: the work of streams runs only when something synchronises."""
    MEMORY_BYTES = 1
    """Of the device."""
    INTEGRATED = 2
    """1: the device says that it shares the host's memory."""
    COMPUTE_CAPABILITY = 3
    """86 is 8.6."""
    DRIVER_VERSION = 4
    """13000 is CUDA 13.0."""
    DEVICES = 5
    """0 or 1; read by cuInit."""


class Fault(IntFlag):
    """Kinds of calls that can be made to fail."""

    DEVICE_MEMORY = 1
    PINNED_MEMORY = 2
    ANY_MEMORY = 3
    COPY = 4
    LAUNCH = 8
    HOST_FUNCTION = 16
    RECORD = 32
    SYNCHRONIZE = 64
    BEGIN_CAPTURE = 128
    END_CAPTURE = 256
    INSTANTIATE = 512
    CREATE = 1024
    CONTEXT = 2048
    EXECUTE = 4096
    """An operation fails when its turn comes; the next call finds it."""


class Error(IntEnum):
    """The CUresult values that faults are made with."""

    OUT_OF_MEMORY = 2
    ECC_UNCORRECTABLE = 214
    ILLEGAL_ADDRESS = 700
    LAUNCH_FAILED = 719
    STREAM_CAPTURE_UNSUPPORTED = 900
    UNKNOWN = 999


class Memory(IntEnum):
    """What an address is to the device."""

    NONE = 0
    DEVICE = 1
    PINNED = 2
    REGISTERED = 3


@dataclass(frozen=True)
class Counters:
    """What lives now (first two lines to `pending`), then what happened since the process started."""

    device_bytes: int
    device_blocks: int
    pinned_bytes: int
    pinned_blocks: int
    contexts: int
    streams: int
    events: int
    graphs: int
    graph_execs: int
    modules: int
    primary_references: int
    """Retains of the primary context that were not released."""
    pushed_here: int
    """Contexts on the stack of the calling thread."""
    pushed: int
    """Contexts on the stacks of all living threads."""
    pending: int
    """Operations that wait in streams."""
    copies_to_device: int
    copies_to_host: int
    copies_within_device: int
    fills: int
    kernel_launches: int
    host_functions: int
    graph_launches: int
    captures: int
    faults: int
    """Calls that failed because a test asked for it."""
    late_uses: int
    """Calls with a handle that was destroyed, or never was one."""
    abandoned: int
    """Objects and blocks of memory that went only with their context."""
    threads_ended_with_context: int

    @property
    def left(self) -> dict[str, int]:
        """What still lives or holds the device, by name; empty when all was put away."""
        return {field.name: getattr(self, field.name) for field in fields(self)[:14] if getattr(self, field.name)}

    @classmethod
    def read_report(cls, path: Path) -> Counters:
        """What a child process that ran with SOFTCUDA_REPORT=path left when it ended.

        Raises:
            FileNotFoundError: The process loaded no driver, or was killed.
        """
        return cls(*(int(line) for line in path.read_text(encoding="ascii").split()))


class _Function(Protocol):
    """A function of the driver: whole numbers, addresses among them, in and out."""

    def __call__(self, *arguments: int) -> int | None: ...


# The result and the arguments of each function of driver/control.h.
_SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "softcuda_set": (None, (ctypes.c_int, ctypes.c_longlong)),
    "softcuda_get": (ctypes.c_longlong, (ctypes.c_int,)),
    "softcuda_fail": (ctypes.c_int, (ctypes.c_uint, ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_int)),
    "softcuda_clear_faults": (None, ()),
    "softcuda_read_counters": (None, (ctypes.c_void_p,)),
    "softcuda_progress": (ctypes.c_int, (ctypes.c_int,)),
    "softcuda_host_address": (ctypes.c_void_p, (ctypes.c_void_p,)),
    "softcuda_memory_kind": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_size_t)),
}


@cache
def _function(name: str) -> _Function:
    result, arguments = _SIGNATURES[name]
    function = getattr(ctypes.CDLL(LIBRARY), name)
    function.restype = result
    function.argtypes = arguments
    found: _Function = function
    return found


def set_to(setting: Setting, value: int) -> None:
    """Changes a setting; `changed` puts it back."""
    _function("softcuda_set")(setting, value)


def get(setting: Setting) -> int:
    """The value of a setting."""
    return int(_function("softcuda_get")(setting) or 0)


@contextmanager
def changed(setting: Setting, value: int) -> Iterator[None]:
    """Changes a setting for a while."""
    before = get(setting)
    set_to(setting, value)
    try:
        yield
    finally:
        set_to(setting, before)


def fail(kinds: Fault, error: Error, *, nth: int = 1, times: int = 1, sticky: bool = False) -> None:
    """Makes the nth next call of these kinds fail, and those after it, until so many failed.

    pycuda asks twice for memory, with a garbage collection between, so it takes `times=2` to see its MemoryError.

    Args:
        kinds: One kind, or several with `|`, which are counted together.
        error: What the call answers.
        nth: From 1.
        times: How many calls fail.
        sticky: Whether from then on every call fails with this error, as after a failed launch on a card.

    Raises:
        RuntimeError: Eight faults wait already.
    """
    if not _function("softcuda_fail")(kinds, nth, times, error, sticky):
        raise RuntimeError("got one more fault, expected at most eight that wait; call clear_faults() first")


def fault_variable(kinds: Fault, error: Error, *, nth: int = 1, times: int = 1, sticky: bool = False) -> str:
    """The value of SOFTCUDA_FAULT that arms the same fault in a process that a test starts."""
    return f"{int(kinds)} {nth} {times} {int(error)} {int(sticky)}"


def clear_faults() -> None:
    """Forgets faults that have not happened, and the sticky error."""
    _function("softcuda_clear_faults")()


def counters() -> Counters:
    """What lives and what happened, now."""
    numbers = (ctypes.c_longlong * len(fields(Counters)))()
    _function("softcuda_read_counters")(ctypes.addressof(numbers))
    return Counters(*numbers)


def progress(operations: int = 1) -> int:
    """Lets the device go on by itself: runs at most so many waiting operations. Returns how many it ran."""
    return int(_function("softcuda_progress")(operations) or 0)


def host_address(address: int) -> int:
    """Where the bytes of a device address lie in this process; other addresses are returned as they are.

    For a host function that computes on device memory.

    Raises:
        ValueError: It is an address of the device's memory that is not allocated.
    """
    found = _function("softcuda_host_address")(address)
    if found is None:
        raise ValueError(f"got device address {address:#x}, expected one that is allocated")
    return found


def memory_kind(address: int, size_bytes: int = 1) -> Memory:
    """What all of this memory is to the device; NONE if it may not use some of it."""
    return Memory(_function("softcuda_memory_kind")(address, size_bytes) or 0)
