r"""Reads an engine's layers from what the builder logs at VERBOSE, and from the engine inspector's one-line format.

Both end a build made with ``ProfilingVerbosity.DETAILED``. TensorRT-RTX 1.7.1 (run) and TensorRT 10 (from logs that
users have published) write::

    Layers:
    Name: conv1.conv_myl0_2, LayerType: correlation, Inputs: [ { Name: image, Dimensions: [-1,3,224,224], ...,
    Datatype: Float, Format: (NHWC) Channel major format }], Constants: [...], Outputs: [...], TacticName: ...,
    Metadata: [ONNX Layer: conv1.conv]\x1f[ONNX Layer: conv1.relu]

in one line a layer; TensorRT 10 has ``Format/Datatype`` in the place of the two, and ``Weights`` in that of
``Constants``. Older builders, and those without DETAILED, write (published logs of 8.x and 10.10)::

    Engine Layer Information:
    Layer(CaskConvolution): conv1 + relu1, Tactic: 0x4727434768e46395, image (Half[1,3,224,224]) -> relu1 (Half[...])
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from googlenet_edge.engine.layer_types import EngineLayer, LayerTensor, dtype_in, nodes_in_metadata
from googlenet_edge.errors import EngineError

__all__ = ["nodes_in_name", "parse_log"]

_HEADS: Final = ("Layers:", "Engine Layer Information:")

# Key: value pairs of one line. A value ends where the next known key begins: names may hold commas and colons.
_KEYS: Final = (
    "Name|LayerType|Inputs|Constants|Outputs|ParameterType|TacticName|TacticValue|StreamId|EventId|Metadata|Weights|"
    "Bias|Origin"
)
_LAYER_KEY: Final = re.compile(rf"(?:^|, )({_KEYS}): ?")
_TENSOR: Final = re.compile(r"\{ Name: (.*?) \}(?=, \{ Name: |\])")
_TENSOR_KEY: Final = re.compile(r", (Location|Dimensions|Strides|StrideOrder|Datatype|Format/Datatype|Format): ")
_WEIGHTS: Final = re.compile(r'"Type": "(\w+)", "Count": (\d+)')

_OLD_LAYER: Final = re.compile(r"Layer\((?P<type>\w+)\): (?P<name>.*), Tactic: (?P<tactic>\S*), (?P<io>.*)$")
_OLD_TENSOR: Final = re.compile(r"(?P<name>\S.*?) ?[\[(](?P<dtype>[A-Z]\w*)[\[(](?P<shape>[-\d:,]*)[\])]{2}(?:, |$)")

_NOT_IN_A_NODE: Final = re.compile(r"^(?:PWN|Reformatting CopyNode for .* (?:to|of)|copied)\b")


def parse_log(log: Sequence[str]) -> tuple[EngineLayer, ...]:
    """Return the layers of the engine that was built last, in the order in which they run.

    Args:
        log: The builder's messages, which may have several lines each, or the lines of such a log in a file.

    Raises :class:`EngineError` where there is no list of layers in a format that is known.
    """
    lines = [line for message in log for line in message.split("\n")]
    starts = [index for index, line in enumerate(lines) if line.rstrip().endswith(_HEADS)]
    if not starts:
        raise EngineError(
            f"engine layers: got {len(lines)} lines of log, expected 'Layers:' or 'Engine Layer Information:' in them, "
            "which TensorRT logs at VERBOSE: it may be a version that prints them in another way; on a device, "
            "`trtexec --loadEngine=PLAN --exportLayerInfo=FILE` (in /usr/src/tensorrt/bin on a Jetson) writes them for "
            "--layer-info FILE"
        )
    layers = []
    for number, line in enumerate(lines[starts[-1] + 1 :], starts[-1] + 2):
        # trtexec stands its time and severity before every line.
        text = re.sub(r"^\[[^]]*\] (?:\[\w\] )?(?:\[TRT\] )?", "", line) if line.startswith("[") else line
        if text.startswith("Name: ") and ", LayerType: " in text:
            layers.append(_layer(text, number))
        elif match := _OLD_LAYER.match(text):
            layers.append(_old_layer(match))
        elif text.startswith(("Name: ", "Layer(")):
            raise _unknown(text, number)
        elif text.strip():
            break
    if not layers:
        raise EngineError(
            f"engine layers: got {lines[starts[-1]]!r} with no layer below it, expected lines that start with 'Name: ' "
            "or 'Layer('; this TensorRT version prints them in another way"
        )
    return tuple(layers)


def nodes_in_name(name: str) -> tuple[str, ...]:
    """Return what a layer's name says it is fused of: ``"a + PWN(b)"`` -> ("a", "b"); for layers without metadata.

    Of a range such as ``{ForeignNode[a...b]}`` the two ends are returned: what lies between is not said.
    """
    if _NOT_IN_A_NODE.match(name) and not name.startswith("PWN"):
        return ()
    parts = re.split(r" \+ | \|\| |, |\.\.\.", re.sub(r"\{ForeignNode\[|\]\}|PWN\(|\)+$", "", name))
    return tuple(dict.fromkeys(part.strip().rstrip(")") for part in parts if part.strip()))


def _layer(text: str, number: int) -> EngineLayer:
    fields: dict[str, str] = {}
    found = [
        match
        for match in _LAYER_KEY.finditer(text)
        if text.count("{", 0, match.start()) == text.count("}", 0, match.start())
    ]
    for match, after in zip(found, [*found[1:], None], strict=True):
        end = len(text) if after is None or match.group(1) == "Metadata" else after.start()
        fields.setdefault(match.group(1), text[match.end() : end])
    try:
        name, kind = fields["Name"], fields["LayerType"]
        inputs, outputs = (tuple(_tensors(fields[key], number)) for key in ("Inputs", "Outputs"))
    except KeyError as error:
        raise _unknown(text, number) from error
    weights = tuple(_tensors(fields.get("Constants", "[]"), number)) or tuple(_counted(fields.get("Weights", "")))
    metadata = fields.get("Metadata")
    nodes = nodes_in_metadata(metadata) if metadata is not None else nodes_in_name(name)
    tactic = fields.get("TacticName", "").strip() or fields.get("TacticValue", "").strip() or None
    return EngineLayer(name, kind.strip(), inputs, outputs, nodes, tactic, weights)


def _tensors(text: str, number: int) -> Iterator[LayerTensor]:
    for match in _TENSOR.finditer(text):
        name, *rest = _TENSOR_KEY.split(match.group(1))
        fields = dict(zip(rest[::2], rest[1::2], strict=True))
        layout = fields.get("Format/Datatype") or fields.get("Format", "")
        try:
            shape = tuple(int(size) for size in fields.get("Dimensions", "").strip("[]").split(",") if size)
        except ValueError as error:
            raise _unknown(match.group(0), number) from error
        yield LayerTensor(name, dtype_in(fields.get("Datatype", "")) or dtype_in(layout), shape, layout)


def _counted(text: str) -> Iterator[LayerTensor]:
    """TensorRT 10 gives type and count of the weights, and no name: ``{"Type": "Int8", "Count": 864}``."""
    for dtype, count in _WEIGHTS.findall(text):
        yield LayerTensor("", dtype_in(dtype) or dtype, (int(count),))


def _old_layer(match: re.Match[str]) -> EngineLayer:
    before, arrow, after = match["io"].rpartition("-> ")
    sides = (before.rstrip(), after) if arrow else ("", "")
    inputs, outputs = (tuple(_old_tensors(side)) for side in sides)
    return EngineLayer(
        match["name"], match["type"], inputs, outputs, nodes_in_name(match["name"]), match["tactic"] or None
    )


def _old_tensors(text: str) -> Iterator[LayerTensor]:
    for match in _OLD_TENSOR.finditer(text):
        # "64:32" is 64 channels, packed by 32.
        shape = tuple(int(size.split(":")[0]) for size in match["shape"].split(",") if size)
        yield LayerTensor(match["name"], dtype_in(match["dtype"]) or match["dtype"], shape)


def _unknown(text: str, number: int) -> EngineError:
    return EngineError(
        f"engine layers, line {number} of the log: got {text[:120]!r}, expected 'Name: ..., LayerType: ..., Inputs: "
        "[...], Outputs: [...]'; this TensorRT version prints layers in another way"
    )
