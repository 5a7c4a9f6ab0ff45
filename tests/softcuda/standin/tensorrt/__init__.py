"""A stand-in for TensorRT's Python module, for a machine without a GPU: see README.md in the folder above.

It has the calls that googlenet_edge makes, and no others. An engine computes its ONNX graph with ONNX Runtime, in a
host function on the caller's stream of the software CUDA driver.
"""

from __future__ import annotations

from . import _control as control
from ._build import Builder, IBuilderConfig, IHostMemory, IOptimizationProfile, ITimingCache
from ._context import IExecutionContext
from ._engine import EngineInspector, ICudaEngine, Runtime
from ._enums import (
    BuilderFlag,
    DataType,
    DeviceType,
    ExecutionContextAllocationStrategy,
    HardwareCompatibilityLevel,
    LayerInformationFormat,
    LayerType,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    ProfilingVerbosity,
    TensorIOMode,
)
from ._interfaces import ILogger, IProfiler, IProgressMonitor, Logger
from ._network import ILayer, INetworkDefinition, ITensor, OnnxParser, ParserError

__all__ = [
    "Builder",
    "BuilderFlag",
    "DataType",
    "DeviceType",
    "EngineInspector",
    "ExecutionContextAllocationStrategy",
    "HardwareCompatibilityLevel",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProfiler",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "LayerInformationFormat",
    "LayerType",
    "Logger",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "ProfilingVerbosity",
    "Runtime",
    "TensorIOMode",
]

__version__ = control.settings.version
