"""The execution context: shapes and addresses, and putting the engine on a stream. It refuses what TensorRT refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from . import _control as control
from . import _driver as driver
from ._compute import Place, Run, Token, enqueue, forget, mapped
from ._interfaces import IProfiler, say_error

if TYPE_CHECKING:
    from ._engine import ICudaEngine
    from ._session import Port

_ALIGNMENT: Final = 256


class _RefusedError(Exception):
    """A call is not allowed; the text is what the log says."""


class IExecutionContext:
    """One user of an engine at a time."""

    def __init__(self, engine: ICudaEngine, memory: int, scratch: int | None) -> None:
        """``scratch``: memory of its own; None: the caller has to give some."""
        control.live["IExecutionContext"] += 1
        self.engine = engine  # which lives as long as this does, as with TensorRT's binding
        self.profiler: IProfiler | None = None
        self.enqueue_emits_profile = True
        self._memory, self._own_scratch = memory, scratch
        self._scratch = scratch
        self._token = Token()
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._enqueued_generation: int | None = None
        self._in_use = threading.Lock()

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        return self._allowed("setInputShape", partial(self._set_input_shape, name, tuple(shape)))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        return self._allowed("setTensorAddress", partial(self._set_tensor_address, name, memory))

    def set_device_memory(self, memory: int, size: int) -> None:
        self._allowed("setDeviceMemoryV2", partial(self._set_device_memory, memory, size))

    def execute_async_v3(self, stream_handle: int) -> bool:
        control.calls["enqueue"] += 1
        return self._allowed("enqueueV3", partial(self._enqueue, stream_handle))

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        shape = self.engine.get_tensor_shape(name)
        first = self.engine.inputs[0]
        if name in self.engine.inputs or first not in self._shapes:
            return shape
        # The free size of an output is the batch, as the first one of the first input is.
        return tuple(self._shapes[first][0] if size == -1 else size for size in shape)

    def _set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self._check_name(name, self.engine.inputs)
        least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        if len(shape) != len(least) or not all(a <= size <= b for a, size, b in zip(least, shape, most, strict=True)):
            raise _RefusedError(f"{name}: {shape} is not in the optimization profile, {least} to {most}")
        if self._shapes.get(name) != shape:
            self._token.generation += 1
        self._shapes[name] = shape

    def _set_tensor_address(self, name: str, memory: int) -> None:
        self._check_name(name, self.engine.ports)
        if memory % _ALIGNMENT:
            raise _RefusedError(f"{name}: address {memory:#x} is not a multiple of {_ALIGNMENT}")
        self._addresses[name] = memory

    def _set_device_memory(self, memory: int, size: int) -> None:
        needed = self.engine.device_memory_size_v2
        there = driver.memory(memory)
        if size < needed or there is None or there[0] != driver.DEVICE or there[1] < size:
            raise _RefusedError(f"{size} bytes at {memory:#x} are not {needed} bytes of the device's memory")
        self._scratch = memory

    def _enqueue(self, stream: int) -> None:
        if control.settings.refuse_enqueue:
            control.settings.refuse_enqueue -= 1
            if not control.settings.refuse_enqueue:
                raise _RefusedError("Cask Error in checkCaskExecError<false>: 7 (Cask Convolution Execution)")
        run = self._run(stream)
        if not run.captured:
            # The host can see these at any time; what lies on the device is seen in stream order only.
            for place in mapped(run.outputs):
                place.poison()
        if failed := enqueue(run, stream):
            raise _RefusedError(f"Error Code 1: Cuda Runtime (error {failed} while launching a kernel)")
        self._enqueued_generation = self._token.generation
        if self.profiler is not None and self.enqueue_emits_profile:
            if failed := driver.wait(stream):
                raise _RefusedError(f"Error Code 1: Cuda Runtime (error {failed} while timing the layers)")
            layers = self.engine.layers
            for layer in layers:
                self.profiler.report_layer_time(layer.name, run.elapsed_ms / len(layers))

    def _run(self, stream: int) -> Run:
        if stream in driver.NULL_STREAMS:
            raise _RefusedError("the default stream: it waits for all others, and cannot be captured")
        try:
            captured = driver.is_capturing(stream)
        except ValueError as error:
            raise _RefusedError(str(error)) from None
        if self._scratch is None and self.engine.device_memory_size_v2:
            raise _RefusedError("no scratch memory: setDeviceMemoryV2 must come first")
        inputs = tuple(self._place(port) for port in self.engine.session.inputs)
        outputs = tuple(self._place(port) for port in self.engine.session.outputs)
        if captured:
            if self._enqueued_generation != self._token.generation:
                raise _RefusedError("captured before a plain enqueue of the same shapes, in which memory is allocated")
            if self.profiler is not None:
                raise _RefusedError("captured with a profiler, which waits for each layer")
            control.calls["capture"] += 1
        generation = self._token.generation
        return Run(self.engine.session, inputs, outputs, self._scratch or 0, self._token, generation, captured)

    def _place(self, port: Port) -> Place:
        shape = self.get_tensor_shape(port.name)
        if -1 in shape:
            raise _RefusedError(f"{port.name}: its shape {shape} is not known: setInputShape must come first")
        address = self._addresses.get(port.name)
        if not address:
            raise _RefusedError(f"Address is not set for tensor {port.name}. Call setTensorAddress before enqueueV3")
        there = driver.memory(address)
        if there is None:
            raise _RefusedError(f"{port.name}: the device cannot use the memory at {address:#x}")
        needed = port.size_bytes(shape)
        if there[1] < needed:
            raise _RefusedError(
                f"{port.name}: {there[1]} bytes at {address:#x} are too few for {shape}, {needed} bytes"
            )
        return Place(port, shape, address)

    def _check_name(self, name: str, names: Container[str]) -> None:
        if name not in names:
            raise _RefusedError(f"the engine has no such tensor here: {name}")

    def _allowed(self, call: str, work: Callable[[], None]) -> bool:
        """Do the work, or say why not in the log; return whether it was done."""
        if not self._in_use.acquire(blocking=False):
            control.misuse(f"{call}: two threads used one execution context at the same time")
            return False
        try:
            if driver.has_context():
                work()
                return True
            why = "this thread has no CUDA context"
        except _RefusedError as error:
            why = str(error)
        finally:
            self._in_use.release()
        say_error(self.engine.logger, f"IExecutionContext::{call}: Error Code 3: API Usage Error ({why})")
        return False

    def __del__(self) -> None:
        control.live["IExecutionContext"] -= 1
        if self._token.waiting:
            control.misuse("an execution context was destroyed while it was still to run on a stream")
        forget(self._token)
        self.engine.take_back(self._memory, self._own_scratch)
