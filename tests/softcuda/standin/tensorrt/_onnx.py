"""Reads the nodes of an ONNX file: just enough of its format, so that no package is needed for it.

Field numbers are from onnx.proto: ModelProto.graph 7; GraphProto.node 1, .initializer 5; NodeProto.input 1, .output 2,
.name 3, .op_type 4; TensorProto.name 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_GRAPH: Final = 7
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _NAME, _OPERATOR = 1, 2, 3, 4
_TENSOR_NAME: Final = 8


@dataclass(frozen=True)
class Node:
    """One operator of the graph."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_graph(content: bytes) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """Return the nodes in order, and the names of the constants. ValueError or IndexError for a file that is broken."""
    graph = next((value for number, value in _fields(memoryview(content)) if number == _GRAPH), None)
    if graph is None:
        raise ValueError("no graph in it")
    nodes, constants = [], []
    for number, value in _fields(graph):
        if number == _NODE:
            nodes.append(_node(value))
        elif number == _INITIALIZER:
            constants += [_text(name) for field, name in _fields(value) if field == _TENSOR_NAME]
    return tuple(nodes), tuple(constants)


def _node(content: memoryview) -> Node:
    texts: dict[int, list[str]] = {}
    for number, value in _fields(content):
        if number in (_INPUT, _OUTPUT, _NAME, _OPERATOR):
            texts.setdefault(number, []).append(_text(value))
    name, operator = (texts.get(number, [""])[0] for number in (_NAME, _OPERATOR))
    return Node(name, operator, tuple(texts.get(_INPUT, ())), tuple(texts.get(_OUTPUT, ())))


def _text(content: memoryview) -> str:
    return bytes(content).decode("utf-8")


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and the bytes of each field that has a length; skip the others."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(content, at)
        elif kind == _BYTES:
            length, at = _varint(content, at)
            if at + length > len(content):
                raise ValueError("cut short")
            yield tag >> 3, content[at : at + length]
            at += length
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of kind {kind}")


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
