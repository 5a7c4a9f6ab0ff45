"""What an engine's layers mean for whoever has to choose a precision, in sentences that rest on the layers alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from googlenet_edge.engine.layer_kind import CONVERSIONS, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from googlenet_edge.engine.layer_graph import LayerGraph
    from googlenet_edge.engine.layer_kind import LayerKind

__all__ = ["EngineFacts", "findings_of"]

TURING: Final = "7.5"


@dataclass(frozen=True)
class EngineFacts:
    """What is known of an engine beside its layers."""

    bundle: str
    """The model's name."""
    precision: str
    """``"fp32"``, ``"fp16"`` or ``"int8"``, as the bundle says."""
    builder: str
    """For people: ``"TensorRT-RTX 1.7.1.116"``; for an engine from elsewhere, where its layers were read from."""
    is_rtx: bool
    targets: tuple[str, ...] = ()
    """Compute capabilities that it was built for; () for the device of this machine, or not known."""
    plan_bytes: int | None = None
    batches: tuple[int, int, int] | None = None
    """Smallest, best and largest batch size."""

    @property
    def title(self) -> str:
        """For people: ``"road-signs, int8, TensorRT-RTX 1.7.1.116 for 8.6"``."""
        return f"{self.bundle}, {self.precision}, {self.builder}" + (
            f" for {', '.join(self.targets)}" if self.targets else ""
        )


def findings_of(facts: EngineFacts, graph: LayerGraph, kinds: Sequence[tuple[LayerKind, str]]) -> tuple[str, ...]:
    """Return what a person should know of this engine first.

    Args:
        facts: Of the engine.
        graph: Its layers.
        kinds: Of each layer: what it does, and the element type that it computes in.
    """
    convolutions = [index for index, (kind, _) in enumerate(kinds) if kind == "convolution"]
    nodes = sum(node.macs > 0 and node.operator.startswith("Conv") for node in graph.nodes.values())
    dtypes = Counter(kinds[index][1] or "an unknown type" for index in convolutions)
    findings = []
    if nodes:
        computed = sum(
            node.macs > 0 and node.operator.startswith("Conv")
            for index in convolutions
            for node in graph.at_home(index)
        )
        said = ", ".join(f"{count} compute in {dtype}" for dtype, count in dtypes.most_common())
        layers = f", in {len(convolutions)} layer{'s' * (len(convolutions) != 1)}" if len(convolutions) != nodes else ""
        findings.append(f"convolutions: {computed} of {nodes} found{layers}; {said}")
    converting = Counter(kind for kind, _ in kinds if kind in CONVERSIONS)
    if converting:
        moved = sum(_moved(graph, index) for index, (kind, _) in enumerate(kinds) if kind in CONVERSIONS)
        said = ", ".join(f"{converting[kind]} {kind}" for kind in KINDS if converting[kind])
        count = sum(converting.values())
        findings.append(
            f"{count} kernel{' only converts' if count == 1 else 's only convert'} ({said}), moving {moved / 1e6:.1f} "
            "MB of activations for each frame"
        )
    if facts.is_rtx and facts.precision == "int8" and convolutions:
        findings += _rtx_int8(facts, graph, convolutions, kinds)
    return tuple(findings)


def _rtx_int8(
    facts: EngineFacts, graph: LayerGraph, convolutions: Sequence[int], kinds: Sequence[tuple[LayerKind, str]]
) -> Iterable[str]:
    """On TensorRT-RTX, whether INT8 pays is seen in the layers; say what is seen, and nothing where it is not seen."""
    in_int8 = [index for index in convolutions if kinds[index][1] == "Int8"]
    if not in_int8:
        several = len(facts.targets) > 1
        yield (
            f"none of the convolutions computes in Int8: {facts.builder} widens activations and weights"
            + (f" for {', '.join(facts.targets)}" if facts.targets else "")
            + "; FP16 is the better choice here: the same arithmetic without the conversions"
        )
        if several and TURING in facts.targets:
            yield (
                "all targets share one engine, and sm75 (Turing) sets its types: without sm75 the convolutions may "
                "compute in Int8"
            )
        return
    split = [index for index, (kind, _) in enumerate(kinds) if kind == "epilogue"]
    wide = [index for index in in_int8 if any(tensor.dtype != "Int8" for tensor in graph.layers[index].outputs)]
    if split and wide:
        outputs = Counter(tensor.dtype for index in wide for tensor in graph.layers[index].outputs)
        yield (
            f"{facts.builder} leaves the epilogue of INT8 convolutions unfused: {len(wide)} of {len(in_int8)} write "
            f"{outputs.most_common(1)[0][0]}, and {len(split)} more kernels add the bias, apply ReLU and requantize; "
            "FP16 is the better choice here"
        )


def _moved(graph: LayerGraph, index: int) -> int:
    layer = graph.layers[index]
    return sum(tensor.frame_bytes() for tensor in (*layer.inputs, *layer.outputs))
