"""The judge of a precision on the CPU: it computes what a card would, and finds where FP16 overflows.

FP16 is judged by its emulation graph and INT8 by its Q/DQ pairs, both as they are written: ONNX Runtime's own kernels
would compute FP16 in FP32, and its fused INT8 kernels can saturate.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import onnx

from googlenet_edge.bundle import GoldenFrames, Precision
from googlenet_edge.errors import GraphError
from googlenet_edge.graph.rows import node_rows
from googlenet_edge.graph.session import OnnxRunner
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
from googlenet_edge.types import ImageArray

if TYPE_CHECKING:
    from googlenet_edge.runtime.backend import Outputs

__all__ = ["GOLDEN_TOLERANCE", "Judge", "choose_golden", "golden_tolerance"]

GOLDEN_FRAMES: Final = 4

GOLDEN_TOLERANCE: Final[dict[Precision, float]] = {"fp32": 0.01, "fp16": 0.01, "int8": 0.05}
"""How far a probability of another engine for the same graph may be off, at least. Float32 on another machine gives
1e-5; TensorRT may use TF32, with 10 bits of mantissa, as many as FP16 has. An INT8 value is one of 255: where two
engines round one to different sides, an eighth of a bit of the sum of a layer moves, and probabilities by some 0.01."""

_MOST_TOLERANCE: Final = 0.25
"""An engine with wrong scales or weights moves the probability of a golden frame's best class by more than this; with a
wider tolerance the golden frames would prove nothing."""

_BATCH: Final = 8


class Judge:
    """Computes one precision for :func:`~googlenet_edge.evaluation.precisions.compare_precisions`."""

    def __init__(self, precision: Precision, graph: onnx.ModelProto | Path) -> None:
        """Load the emulation graph of FP16, the Q/DQ graph, or the float32 graph (by its path)."""
        self._precision = precision
        self._graph = graph
        if isinstance(graph, Path):
            # Float32 gives the same whether it is optimized or not, but for 1e-5, in half the time.
            self._backend = OrtBackend(graph)
        else:
            self._backend = OrtBackend(graph.SerializeToString(), OrtConfig(optimization="off"))

    def infer(self, batch: ImageArray) -> Outputs:
        """Return logits and probabilities, float32 (N, classes), of uint8 (N, H, W, 3) BGR crops.

        Raises :class:`GraphError` where a result is NaN or infinite; it names the tensor in which that begins.
        """
        logits, probabilities = self._backend.infer(batch)
        finite = np.isfinite(logits).all(axis=1) & np.isfinite(probabilities).all(axis=1)
        if not finite.all():
            index = int(finite.argmin())
            raise GraphError(self._explain(batch[index : index + 1]))
        return logits, probabilities

    def probabilities(self, crops: ImageArray) -> npt.NDArray[np.float32]:
        """Return the probabilities of any number of crops, float32 (N, classes); errors as in :meth:`infer`."""
        groups = [np.ascontiguousarray(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)]
        return np.concatenate([self.infer(group)[1] for group in groups])

    def close(self) -> None:
        """Free the session."""
        self._backend.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _explain(self, image: ImageArray) -> str:
        tensors = OnnxRunner(self._graph).tensors(np.ascontiguousarray(image))
        tensor = next((name for name, values in tensors.items() if not np.isfinite(values).all()), "logits")
        rows = {row.node: row.row for row in node_rows(self._graph)}
        model = self._graph if isinstance(self._graph, onnx.ModelProto) else onnx.load(self._graph)
        maker = next((node.name for node in model.graph.node if tensor in node.output), tensor)
        remedy = {
            "fp32": "check the weights: train or load the network anew",
            "fp16": "FP16 ends at 65504: keep the node that makes it and those that read it in FP32 (--keep NODE), "
            "scale the weights before it down, or deploy with --precision fp32",
            "int8": "FP16 ends at 65504: take FP32 for what is not INT8 (--high-precision fp32), or scale the weights "
            "before it down",
        }[self._precision]
        return (
            f"{self._precision} graph: got NaN or infinite values, first in tensor {tensor!r} "
            f"(row {rows.get(maker, 'other')!r} of Table 1), expected finite ones; {remedy}"
        )


def choose_golden(judge: Judge, crops: ImageArray) -> GoldenFrames:
    """Return some of the crops, spread over all, with the probabilities that the judge gives for them."""
    chosen = np.ascontiguousarray(crops[:: max(1, len(crops) // GOLDEN_FRAMES)][:GOLDEN_FRAMES])
    return GoldenFrames(chosen, judge.probabilities(chosen))


def golden_tolerance(precision: Precision, differences: Sequence[float] = ()) -> float:
    """Return how far a probability of an engine may be from the judge's on a golden frame.

    ``differences`` are those between the judge's probabilities and the float32 network's on the proof frames. A right
    engine rounds in other places than the judge, so it is another sample of the same noise: each is about as far from
    float32 as the largest of these differences, and the two are at most twice that apart. The floor is for networks
    that are sure of every proof frame, where noise in the logits hardly shows; above the cap a golden frame would not
    tell a right engine from a wrong one.
    """
    return min(_MOST_TOLERANCE, max(GOLDEN_TOLERANCE[precision], 2 * max(differences, default=0.0)))
