"""Rewrite an ONNX graph in place: who makes a tensor, who reads it, which values are constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

__all__ = ["GraphEditor", "attribute"]


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute, or the default."""
    for entry in node.attribute:
        if entry.name == name:
            value = onnx.helper.get_attribute_value(entry)
            return value.decode() if isinstance(value, bytes) else value
    return default


class GraphEditor:
    """A graph with an index over its tensors. Change it through these methods only, so that the index stays true."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        self.refresh()

    def refresh(self) -> None:
        """Index the graph anew, after someone else has changed it."""
        self._producer: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        self._outputs = {value.name for value in self.graph.output}
        for node in self.graph.node:
            for name in node.output:
                self._producer[name] = node
            for name in _names_read(node):
                self._readers[name].append(node)
        self._types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*self.graph.value_info, *self.graph.input, *self.graph.output)
        }
        self._shapes = {
            value.name: tuple(
                d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim
            )
            for value in (*self.graph.value_info, *self.graph.input, *self.graph.output)
            if value.type.tensor_type.HasField("shape")
        }

    @property
    def nodes(self) -> tuple[onnx.NodeProto, ...]:
        """The nodes in their order; safe to walk through while editing."""
        return tuple(self.graph.node)

    def producer(self, tensor: str, *operators: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor, if it is one of these operators (any, if none is named)."""
        node = self._producer.get(tensor)
        return node if node is not None and (not operators or node.op_type in operators) else None

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor, one entry for each reading."""
        return list(self._readers.get(tensor, ()))

    def is_output(self, tensor: str) -> bool:
        """Tell whether the tensor leaves the graph."""
        return tensor in self._outputs

    def sole_reader(self, tensor: str, *operators: str) -> onnx.NodeProto | None:
        """Return the only node that sees a tensor, if it is one of these operators; None if others see it too."""
        readers = self._readers.get(tensor, [])
        if len(readers) != 1 or tensor in self._outputs or (operators and readers[0].op_type not in operators):
            return None
        return readers[0]

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """Return a tensor's inferred shape, None for each dimension that may vary; None if nothing is known."""
        if tensor in self._initializers:
            return tuple(self._initializers[tensor].dims)
        return self._shapes.get(tensor)

    def element_type(self, tensor: str) -> int:
        """Return a tensor's inferred type as ``onnx.TensorProto`` numbers it, 0 if it is not known."""
        if tensor in self._initializers:
            return int(self._initializers[tensor].data_type)
        return int(self._types.get(tensor, 0))

    def constant(self, tensor: str) -> npt.NDArray[Any] | None:
        """Return the value of an initializer or of a Constant node, None for anything else."""
        if tensor in self._initializers:
            return numpy_helper.to_array(self._initializers[tensor])
        node = self._producer.get(tensor)
        if node is None or node.op_type != "Constant":
            return None
        for entry in node.attribute:
            value = onnx.helper.get_attribute_value(entry)
            if entry.name == "value":
                return numpy_helper.to_array(value)
            if entry.name in ("value_float", "value_floats"):
                return np.asarray(value, np.float32)
            if entry.name in ("value_int", "value_ints"):
                return np.asarray(value, np.int64)
        return None

    def fresh(self, wanted: str) -> str:
        """Return a tensor name that is not taken, as close to the wanted one as can be."""
        taken = self._producer.keys() | self._initializers.keys() | {value.name for value in self.graph.input}
        name, number = wanted, 1
        while name in taken:
            name, number = f"{wanted}_{number}", number + 1
        return name

    def add_constant(self, wanted: str, value: npt.ArrayLike) -> str:
        """Add an initializer and return its name."""
        name = self.fresh(wanted)
        tensor = numpy_helper.from_array(np.asarray(value, order="C"), name)
        self.graph.initializer.append(tensor)
        self._initializers[name] = self.graph.initializer[-1]
        return name

    def set_constant(self, node: onnx.NodeProto, index: int, value: npt.NDArray[Any]) -> None:
        """Give a node's constant input a new value. It keeps its name, unless other nodes read the old one too."""
        name = node.input[index]
        if name in self._initializers and len(self._readers[name]) == 1 and name not in self._outputs:
            self._initializers[name].CopyFrom(numpy_helper.from_array(np.asarray(value, order="C"), name))
            return
        node.input[index] = self.add_constant(name, value)
        self.refresh()

    def insert_before(self, node: onnx.NodeProto, new: Iterable[onnx.NodeProto]) -> None:
        """Put nodes in front of another one."""
        position = next(i for i, other in enumerate(self.graph.node) if other is node or other == node)
        for offset, item in enumerate(new):
            self.graph.node.insert(position + offset, item)
        self.refresh()

    def redirect(self, old: str, new: str) -> None:
        """Let everyone who reads tensor ``old`` read ``new`` instead."""
        for node in self.graph.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new
        self.refresh()

    def rename_output(self, node: onnx.NodeProto, old: str, new: str) -> None:
        """Let a node write tensor ``new`` where it wrote ``old``, whose readers follow."""
        for index, name in enumerate(node.output):
            if name == old:
                node.output[index] = new
        self.redirect(old, new)

    def remove(self, *nodes: onnx.NodeProto) -> None:
        """Remove nodes; their outputs must have no readers left."""
        for node in nodes:
            self.graph.node.remove(node)
        self.refresh()

    def bypass(self, node: onnx.NodeProto) -> bool:
        """Remove a node that passes its first input on unchanged. False if it ties a graph's input to an output."""
        source, target = node.input[0], node.output[0]
        if target not in self._outputs:
            self.redirect(target, source)
            self.remove(node)
            return True
        maker = self._producer.get(source)
        if maker is None or source in self._outputs:
            return False
        self.remove(node)
        self.rename_output(maker, source, target)
        return True

    def prune(self) -> None:
        """Remove every node, initializer and shape that no output depends on."""
        needed = set(self._outputs)
        kept = []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(_names_read(node))
        kept.reverse()
        initializers = [tensor for tensor in self.graph.initializer if tensor.name in needed]
        for field, items in ((self.graph.node, kept), (self.graph.initializer, initializers)):
            copies = [type(item)() for item in items]
            for copy, item in zip(copies, items, strict=True):
                copy.CopyFrom(item)
            del field[:]
            field.extend(copies)
        self.refresh()


def _names_read(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that its subgraphs take from outside included."""
    names = [name for name in node.input if name]
    for entry in node.attribute:
        for graph in (entry.g, *entry.graphs):
            for inner in graph.node:
                names += _names_read(inner)
    return names
