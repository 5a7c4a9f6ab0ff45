"""The enumerations of TensorRT that are used, with the values of TensorRT-RTX 1.7.1."""

from __future__ import annotations

from enum import IntEnum


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    INT8 = 2
    INT32 = 3
    BOOL = 4
    UINT8 = 5
    INT64 = 8


class DeviceType(IntEnum):
    GPU = 0
    DLA = 1


class TensorIOMode(IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class BuilderFlag(IntEnum):
    GPU_FALLBACK = 3
    TF32 = 6
    VERSION_COMPATIBLE = 12


class NetworkDefinitionCreationFlag(IntEnum):
    EXPLICIT_BATCH = 0  # as in 10.3; later versions dropped it
    STRONGLY_TYPED = 1


class ProfilingVerbosity(IntEnum):
    LAYER_NAMES_ONLY = 0
    NONE = 1
    DETAILED = 2


class HardwareCompatibilityLevel(IntEnum):
    NONE = 0
    AMPERE_PLUS = 1


class ExecutionContextAllocationStrategy(IntEnum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class LayerInformationFormat(IntEnum):
    ONELINE = 0
    JSON = 1


class LayerType(IntEnum):
    """Only what a reader of a network asks for; the rest is OTHER, which TensorRT does not have."""

    CONVOLUTION = 0
    CONSTANT = 19
    QUANTIZE = 32
    DEQUANTIZE = 33
    OTHER = 99


class Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4
