"""ONNX Runtime, which computes what a real engine would compute on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from ._enums import DataType

Array = npt.NDArray[np.generic]

_TYPES: Final = {
    "tensor(uint8)": (DataType.UINT8, "uint8"),
    "tensor(int8)": (DataType.INT8, "int8"),
    "tensor(int32)": (DataType.INT32, "int32"),
    "tensor(int64)": (DataType.INT64, "int64"),
    "tensor(float)": (DataType.FLOAT, "float32"),
    "tensor(float16)": (DataType.HALF, "float16"),
}
_ERRORS_ONLY: Final = 3


@dataclass(frozen=True)
class Port:
    """An input or output of the graph; -1 is a size that is free."""

    name: str
    dtype: DataType
    numpy_dtype: str
    shape: tuple[int, ...]

    def size_bytes(self, shape: Sequence[int]) -> int:
        """Return how much memory the tensor takes in this shape."""
        return int(np.prod(shape)) * np.dtype(self.numpy_dtype).itemsize


class Session:
    """A graph that ONNX Runtime has loaded, on one thread and with no tricks: Q/DQ pairs are computed as written."""

    def __init__(self, onnx: bytes) -> None:
        """Raise whatever ONNX Runtime raises for a graph that it cannot load."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.inputs = tuple(_port(node.name, node.type, node.shape) for node in self._session.get_inputs())
        self.outputs = tuple(_port(node.name, node.type, node.shape) for node in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        names = [port.name for port in self.outputs]
        return dict(zip(names, cast("list[Array]", self._session.run(names, dict(inputs))), strict=True))


def _port(name: str, kind: str, shape: Sequence[object]) -> Port:
    dtype, numpy_dtype = _TYPES[kind]
    return Port(name, dtype, numpy_dtype, tuple(size if isinstance(size, int) else -1 for size in shape))
