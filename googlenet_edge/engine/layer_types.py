"""What a TensorRT engine's layer is: its tensors, the ONNX nodes that were fused into it, its tactic."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["SIZES", "EngineLayer", "LayerTensor", "dtype_in", "nodes_in_metadata"]

SIZES: Final[dict[str, float]] = {
    "Float": 4, "BFloat16": 2, "Half": 2, "FP8": 1, "Int64": 8, "Int32": 4, "Int8": 1, "UInt8": 1, "Int4": 0.5,
    "Bool": 1,
}  # fmt: skip
"""Element types by TensorRT's names, the widest arithmetic first, with bytes per element."""

# TensorRT 10 has type and layout in one text, such as "Row major linear FP32" or "Row major Int8 format".
_WORDS: Final = re.compile(r"\b(Float|FP32|BFloat16|BF16|Half|FP16|FP8|Int64|INT64|Int32|INT32|Int8|INT8|UInt8|UINT8|"
                           r"Int4|INT4|Bool|BOOL)\b")  # fmt: skip
_NAMES: Final = {"FP32": "Float", "BF16": "BFloat16", "FP16": "Half", "BOOL": "Bool", "UINT8": "UInt8"}

# A node's name may hold brackets of its own: a node ends where the next one, a separator or the text's end follows.
# RTX 1.7.1 appends words of its own behind the last one, such as "__gemm_from_conv1x1".
_NODE: Final = re.compile(r"\[ONNX Layer: (.*?)\](?=[\x1e\x1f]|\[ONNX Layer: |__\w+$|\s*$)", re.DOTALL)


@dataclass(frozen=True)
class LayerTensor:
    """A tensor that a layer reads or writes."""

    name: str
    dtype: str
    """TensorRT's name of the element type: ``"Float"``, ``"Half"``, ``"Int8"``, ``"UInt8"``, ...; "" if not told."""
    shape: tuple[int, ...]
    """-1 for the batch, where it may vary."""
    layout: str = ""
    """How it lies in memory, in TensorRT's words: ``"Row major linear format"``."""

    def frame_bytes(self) -> int:
        """Return the size for one frame, in bytes, without the padding of a layout; 0 for an unknown type."""
        return int(math.prod(abs(size) for size in self.shape) * SIZES.get(self.dtype, 0))


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine, as TensorRT tells of it."""

    name: str
    type: str
    """TensorRT's own word: ``"CaskConvolution"``, ``"correlation"``, ``"kgen"``, ``"Reformat"``, ``"wait"``, ..."""
    inputs: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]
    onnx_nodes: tuple[str, ...]
    """Names of the ONNX nodes that it computes, or has a part in; a node may have parts in several layers."""
    tactic: str | None
    """The kernel; None where TensorRT chooses it at run time or does not tell."""
    weights: tuple[LayerTensor, ...] = ()
    """Constants that were built into it; TensorRT 10 does not list them."""


def dtype_in(text: str) -> str:
    """Return the element type that a text such as ``"Row major linear FP32"`` names; "" if it names none."""
    found = _WORDS.search(text)
    if found is None:
        return ""
    word = found.group(1)
    return _NAMES.get(word) or word.replace("INT", "Int")


def nodes_in_metadata(metadata: str) -> tuple[str, ...]:
    """Return the ONNX nodes that a layer's metadata lists, each once, in its order."""
    return tuple(dict.fromkeys(_NODE.findall(metadata)))
