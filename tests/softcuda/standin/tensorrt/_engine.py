"""The runtime, which loads plans, and the engine that it makes of one."""

from __future__ import annotations

import json
from typing import Final

from . import _control as control
from . import _driver as driver
from ._context import IExecutionContext
from ._enums import DataType, ExecutionContextAllocationStrategy, LayerInformationFormat, TensorIOMode
from ._interfaces import ILogger, say_error
from ._plan import Dims, Layer, PlanError, PlanHeader, read_plan
from ._session import Port, Session

_CONTEXT_BYTES: Final = 4096


class ICudaEngine:
    """A plan that was loaded."""

    def __init__(self, header: PlanHeader, session: Session, logger: ILogger, weights: int) -> None:
        control.live["ICudaEngine"] += 1
        self.logger, self.session = logger, session
        self.layers, self.detailed = header.layers, header.detailed
        self.inputs = tuple(port.name for port in session.inputs)
        self._header, self._weights = header, weights
        self._spare: dict[int, list[int]] = {}
        self.ports: dict[str, Port] = {port.name: port for port in (*session.inputs, *session.outputs)}

    @property
    def num_io_tensors(self) -> int:
        return len(self.ports)

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def num_optimization_profiles(self) -> int:
        return 1

    @property
    def device_memory_size_v2(self) -> int:
        return self._header.scratch_bytes

    def get_tensor_name(self, index: int) -> str:
        return tuple(self.ports)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        if name not in self.ports:
            return TensorIOMode.NONE
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.ports[name].dtype

    def get_tensor_shape(self, name: str) -> Dims:
        return self.ports[name].shape

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        fixed = self.ports[name].shape
        return list(self._header.profile.get(name, (fixed, fixed, fixed)))

    def create_execution_context(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> IExecutionContext | None:
        return self._make_context(own_scratch=strategy != ExecutionContextAllocationStrategy.USER_MANAGED)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)

    def _make_context(self, *, own_scratch: bool) -> IExecutionContext | None:
        if not driver.has_context():
            say_error(self.logger, "createExecutionContext: this thread has no CUDA context")
            return None
        memory = self._allocate(_CONTEXT_BYTES)
        scratch = self._allocate(self.device_memory_size_v2) if own_scratch and memory is not None else None
        if memory is None or (own_scratch and scratch is None):
            self.take_back(memory, scratch)
            return None
        return IExecutionContext(self, memory, scratch)

    def _allocate(self, size_bytes: int) -> int | None:
        spare = self._spare.get(size_bytes)
        return spare.pop() if spare else allocate(size_bytes, self.logger)

    def take_back(self, memory: int | None, scratch: int | None) -> None:
        """Keep the memory of a context that is gone for the next one.

        To free it would wait for the device, and would so hide that a caller has not.
        """
        for address, size_bytes in ((memory, _CONTEXT_BYTES), (scratch, self.device_memory_size_v2)):
            if address is not None:
                self._spare.setdefault(size_bytes, []).append(address)

    def __del__(self) -> None:
        control.live["ICudaEngine"] -= 1
        if not driver.has_context():
            control.misuse("an engine was destroyed in a thread without a CUDA context: its memory is lost")
            return
        for address in (self._weights, *(address for spare in self._spare.values() for address in spare)):
            driver.free(address)  # fails on a device that is lost, which is nothing to add to


class EngineInspector:
    """Tells of an engine's layers; if the plan was not built with detailed profiling verbosity, their names only."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:  # noqa: A002 - TensorRT's name
        engine = self._engine
        told = [_tell(layer, engine) if engine.detailed else layer.name for layer in engine.layers]
        return json.dumps({"Layers": told, "Bindings": list(engine.ports)})


def _tell(layer: Layer, engine: ICudaEngine) -> dict[str, object]:
    """One layer in the words of TensorRT 10; the shapes of tensors within the graph are not known here."""

    def tensors(names: tuple[str, ...]) -> list[dict[str, object]]:
        ports = [engine.ports.get(name) for name in names]
        return [
            {
                "Name": name,
                "Dimensions": list(port.shape) if port else [],
                "Format/Datatype": f"Row major linear {'UINT8' if port and port.dtype == DataType.UINT8 else 'FP32'}",
            }
            for name, port in zip(names, ports, strict=True)
        ]

    return {
        "Name": layer.name,
        "LayerType": layer.kind,
        "Inputs": tensors(layer.inputs),
        "Outputs": tensors(layer.outputs),
        "TacticName": "onnxruntime",
        "Metadata": "\x1e".join(f"[ONNX Layer: {node}]" for node in layer.nodes),
    }


class Runtime:
    """Loads plans."""

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        control.calls["deserialize"] += 1
        try:
            header, onnx = read_plan(bytes(serialized_engine))
            wrong = self._what_does_not_fit(header)
        except PlanError as error:
            wrong = str(error)
        if wrong:
            say_error(self.logger, f"IRuntime::deserializeCudaEngine: Error Code 1: Serialization ({wrong})")
            return None
        weights = allocate(len(onnx), self.logger)
        return None if weights is None else ICudaEngine(header, Session(onnx), self.logger, weights)

    def _what_does_not_fit(self, header: PlanHeader) -> str:
        version = control.settings.version
        if not driver.has_context():
            return "this thread has no CUDA context"
        if header.version != version and not header.version_compatible:
            return (
                "The engine plan file is not compatible with this version of TensorRT, expecting library version "
                f"{version} got {header.version}, please rebuild."
            )
        if header.version_compatible and not self.engine_host_code_allowed:
            return "the plan holds host code, and engine_host_code_allowed is not set"
        here, there = driver.compute_capability(), header.compute_capability
        if there != here:
            return (
                "The engine plan file is generated on an incompatible device, expecting compute "
                f"{here} got compute {there}, please rebuild."
            )
        return ""


def allocate(size_bytes: int, logger: ILogger) -> int | None:
    """Allocate memory on the device; None, with an error in the log, if there is none left."""
    address = driver.allocate(size_bytes)
    if address is None:
        say_error(logger, "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)")
        say_error(logger, f"Requested amount of GPU memory ({size_bytes} bytes) could not be allocated.")
    return address
