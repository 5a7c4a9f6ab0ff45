"""Name the nodes and tensors of an exported graph after the modules that made them, and drop what the exporter noted.

The exporter numbers nodes (``node_conv2d_12``) and notes each one's modules, source lines and file paths as metadata.
Here the path of the module becomes the name, ``inception3a.branch2.1.conv``, so that every later tool, a TensorRT layer
report included, speaks of the rows of Table 1; the metadata goes, as it would carry the paths of the machine that
exported.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

import onnx

from googlenet_edge.graph.editor import GraphEditor

__all__ = ["name_by_module", "strip_metadata"]

_SCOPES = "pkg.torch.onnx.name_scopes"


def name_by_module(model: onnx.ModelProto, leaves: Collection[str], *, prefix: str) -> None:
    """Rename nodes and the tensors between them, in place.

    The last node of a module in ``leaves`` (modules without children) has the module's path for its name; any other
    node has its module's path and its operator. A tensor is named like the node that makes it. ``prefix`` is the path
    of the module that the names count from.
    """
    paths = [f"{_module_path(node)}.".removeprefix(f"{prefix}.").removesuffix(".") for node in model.graph.node]
    last = {path: index for index, path in enumerate(paths) if path in leaves}
    taken: set[str] = set()
    for index, (node, path) in enumerate(zip(model.graph.node, paths, strict=True)):
        operation = node.op_type.lower()
        wanted = path if last.get(path) == index else f"{path}.{operation}" if path else operation
        name, number = wanted, 1
        while name in taken or (name in last and last[name] != index):
            name, number = f"{wanted}_{number}", number + 1
        taken.add(name)
        node.name = name
    _name_tensors(GraphEditor(model))


def strip_metadata(model: onnx.ModelProto) -> None:
    """Remove the exporter's notes from every part of a model, in place: source paths, stack traces, shapes of its
    own.
    """
    graph = model.graph
    del graph.value_info[:]
    for item in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    del graph.quantization_annotation[:]


def _name_tensors(editor: GraphEditor) -> None:
    fixed = {value.name for value in (*editor.graph.input, *editor.graph.output)}
    fixed |= {tensor.name for tensor in editor.graph.initializer}
    renamed: dict[str, str] = {}
    for node in editor.nodes:
        for index, old in enumerate(node.output):
            if old and old not in fixed:
                new = node.name if index == 0 else f"{node.name}.{index}"
                while new in fixed:
                    new += "_"
                renamed[old] = new
    # At once and not one after the other: an old name may be another tensor's new one.
    for node in editor.nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    editor.refresh()


def _module_path(node: onnx.NodeProto) -> str:
    """The path of the module that a node comes from, by the exporter's notes; empty for the outermost one."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (ValueError, SyntaxError):
                return ""
            # The last one is the operation, before it come the modules from the outermost in.
            modules = [scope for scope in scopes[:-1] if isinstance(scope, str) and not scope.startswith("_")]
            return modules[-1] if modules else ""
    return ""
