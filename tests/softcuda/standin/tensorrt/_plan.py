"""A plan: what TensorRT checks before it loads one, then the ONNX file itself."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from typing import Final

_MAGIC: Final = b"STANDIN-PLAN-1\n\0"
_LENGTHS: Final = struct.Struct("<QQ")

Dims = tuple[int, ...]


class PlanError(Exception):
    """The bytes are no whole plan."""


@dataclass(frozen=True)
class Layer:
    """A layer of the engine: one node of the graph, or several in one."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class PlanHeader:
    """What the plan was built for."""

    version: str
    compute_capability: str
    profile: dict[str, tuple[Dims, Dims, Dims]]
    """Of each input: the smallest, the best and the largest shape."""
    scratch_bytes: int
    layers: tuple[Layer, ...]
    """In the order in which they run."""
    detailed: bool
    """Whether the plan may tell more of its layers than their names."""
    version_compatible: bool
    onnx_sha256: str


def write_plan(header: PlanHeader, onnx: bytes) -> bytes:
    """Return the bytes of a plan."""
    text = json.dumps(asdict(header)).encode()
    return _MAGIC + _LENGTHS.pack(len(text), len(onnx)) + text + onnx


def read_plan(content: bytes) -> tuple[PlanHeader, bytes]:
    """Return the header and the ONNX file. Raises :class:`PlanError`; a real TensorRT might crash instead."""
    begin = len(_MAGIC) + _LENGTHS.size
    if not content.startswith(_MAGIC) or len(content) < begin:
        raise PlanError("magicTagRead == kMAGIC_TAG: the plan is not one of this TensorRT's, or is damaged")
    header_bytes, onnx_bytes = _LENGTHS.unpack_from(content, len(_MAGIC))
    if len(content) != begin + header_bytes + onnx_bytes:
        raise PlanError("the plan is damaged: its length is not what it says")
    fields = json.loads(content[begin : begin + header_bytes])
    fields["profile"] = {name: tuple(tuple(shape) for shape in shapes) for name, shapes in fields["profile"].items()}
    fields["layers"] = tuple(_layer(layer) for layer in fields["layers"])
    header = PlanHeader(**fields)
    onnx = content[begin + header_bytes :]
    if hashlib.sha256(onnx).hexdigest() != header.onnx_sha256:
        raise PlanError("the plan is damaged: its weights are not those that were built")
    return header, onnx


def _layer(fields: dict[str, str | list[str]]) -> Layer:
    name, kind = str(fields["name"]), str(fields["kind"])
    return Layer(name, kind, *(tuple(fields[key]) for key in ("nodes", "inputs", "outputs")))
