"""What runs on the stream: a host function that computes the graph where the device's memory really lies.

It looks at its inputs only when its turn comes, and fills its outputs with NaN first: whoever reads too early, or
writes too early, gets wrong numbers.
"""

from __future__ import annotations

import ctypes
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from . import _control as control
from . import _driver as driver
from ._session import Array, Port, Session

_POISON = 0xFF  # of float32: not a number
_SIGN = 8


@dataclass(frozen=True)
class Place:
    """A tensor, in the shape and at the address of one enqueue."""

    port: Port
    shape: tuple[int, ...]
    address: int

    @property
    def size_bytes(self) -> int:
        return self.port.size_bytes(self.shape)

    def read(self) -> Array | None:
        """Return a copy; None if the memory is gone."""
        there = driver.view(self.address, self.size_bytes)
        if there is None:
            return None
        return np.frombuffer(bytes(there), dtype=self.port.numpy_dtype).reshape(self.shape)

    def write(self, content: bytes) -> None:
        """Overwrite; if the memory is gone, note that."""
        there = driver.view(self.address, self.size_bytes)
        if there is None:
            control.misuse(f"{self.port.name}: its memory was freed before the engine had run")
            return
        ctypes.memmove(there, content, len(content))

    def poison(self) -> None:
        """Fill with NaN."""
        self.write(bytes([_POISON]) * self.size_bytes)


@dataclass(eq=False)
class Token:
    """An execution context, for what it has put on streams."""

    generation: int = 0
    """Goes up with each change of a shape."""
    waiting: int = 0
    """Enqueued, and not computed yet."""


@dataclass(eq=False)
class Run:
    """One enqueue, or all replays of a captured one."""

    session: Session
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    scratch: int
    """Address of memory on the device that only this run may use while it runs; 0 for none."""
    token: Token
    generation: int
    captured: bool
    number: int = field(default_factory=itertools.count(1).__next__)
    elapsed_ms: float = 0.0

    def compute(self) -> None:
        """Compute, now."""
        began = time.perf_counter()
        for place in self.outputs:
            place.poison()
        if self.captured and self.generation != self.token.generation:
            control.misuse("a graph was launched whose execution context has other shapes since it was captured")
            return
        before = {place.port.name: place.read() for place in self.inputs}
        self._sign()
        got = self.session.run({name: array for name, array in before.items() if array is not None})
        if control.settings.while_computing is not None:
            control.settings.while_computing()
        for place in self.inputs:
            was, now = before[place.port.name], place.read()
            if was is None or now is None or not np.array_equal(was, now):
                control.misuse(f"{place.port.name}: it was written to while the engine was running")
                return
        if not self._signed():
            control.misuse("two runs used the same scratch memory at the same time")
            return
        for place in self.outputs:
            array = got[place.port.name]
            place.write((array + np.asarray(control.settings.error, array.dtype)).tobytes())
        self.elapsed_ms = (time.perf_counter() - began) * 1000
        control.calls["compute"] += 1

    def _sign(self) -> None:
        there = driver.view(self.scratch, _SIGN) if self.scratch else None
        if there is not None:
            ctypes.memmove(there, self.number.to_bytes(_SIGN, "little"), _SIGN)

    def _signed(self) -> bool:
        there = driver.view(self.scratch, _SIGN) if self.scratch else None
        return not self.scratch or (there is not None and int.from_bytes(bytes(there), "little") == self.number)


_runs: dict[int, Run] = {}


def enqueue(run: Run, stream: int) -> int:
    """Put a run on the stream; return the driver's result, 0 for success."""
    _runs[run.number] = run
    run.token.waiting += not run.captured
    failed = driver.enqueue(stream, _ON_STREAM, run.number)
    if failed:
        run.token.waiting -= not run.captured
        del _runs[run.number]
    return failed


def forget(token: Token) -> None:
    """An execution context is gone, and all that it has put on streams with it."""
    for number in [number for number, run in _runs.items() if run.token is token]:
        del _runs[number]


def _compute(number: int | None) -> None:
    run = _runs.get(number or 0)
    if run is None:
        control.misuse("an engine ran on a stream after its execution context was destroyed")
        return
    try:
        run.compute()
    except Exception as error:  # noqa: BLE001 - the driver that calls has no use for it
        control.misuse(f"the computation failed: {type(error).__name__}: {error}")
    finally:
        if not run.captured:
            run.token.waiting -= 1
            _runs.pop(run.number, None)


_ON_STREAM = driver.HostFunction(_compute)


def mapped(places: Sequence[Place]) -> list[Place]:
    """Return those that lie in the host's own memory."""
    return [place for place in places if (driver.memory(place.address) or (0, 0))[0] == driver.HOST]
