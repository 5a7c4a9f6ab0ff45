"""Frames that were submitted to a backend, and what becomes of them: predictions, each with its trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from googlenet_edge.errors import BackendError
from googlenet_edge.types import FrameTrace, Prediction

if TYPE_CHECKING:
    import numpy.typing as npt

    from googlenet_edge.bundle.reader import Bundle
    from googlenet_edge.runtime.backend import Ticket
    from googlenet_edge.types import Clock

__all__ = ["PendingBatch", "PendingPrediction"]


@dataclass(frozen=True)
class PendingBatch:
    """Frames that are computed together."""

    ticket: Ticket
    traces: tuple[FrameTrace, ...]
    """One a frame, filled up to ``preprocessed_ns``."""
    top_k: int
    bundle: Bundle
    clock: Clock

    def result(self) -> list[Prediction]:
        """Wait for the frames and return their predictions, in order, once.

        Raises :class:`BackendError` if the inference failed, gave NaN or was withdrawn.
        """
        _, probabilities = self.ticket.result()
        ready_ns, device_stage_ns = self.ticket.ready_ns, self.ticket.device_stage_ns
        begun_ns = self.clock()
        inferred_ns = begun_ns if ready_ns is None else ready_ns
        predictions = []
        for trace, row in zip(self.traces, probabilities, strict=True):
            labels, class_ids, best = self._best(row, trace)
            ended_ns = self.clock()
            whole = trace.with_inferred(inferred_ns, device_stage_ns, postprocess_ns=ended_ns - begun_ns)
            predictions.append(Prediction(labels, class_ids, best, whole))
            begun_ns = ended_ns
        return predictions

    def done(self) -> bool:
        """Say whether :meth:`result` would return, or raise, at once."""
        return self.ticket.done()

    def withdraw(self) -> bool:
        """Take the frames back if computing has not begun, and say whether that was so; then they have no result."""
        return self.ticket.withdraw()

    def _best(
        self, probabilities: npt.NDArray[np.float32], trace: FrameTrace
    ) -> tuple[tuple[str, ...], tuple[int, ...], tuple[float, ...]]:
        """Return labels, class ids and probabilities of the best classes."""
        if not np.isfinite(probabilities).all():
            raise BackendError(
                f"frame {trace.sequence}: got probabilities that are not finite, expected 0 to 1; "
                f"a graph of precision {self.bundle.manifest.precision} may overflow: deploy it as fp32"
            )
        labels = self.bundle.labels
        # Stable: of equal probabilities, the lower class id comes first, on every machine.
        best = np.argsort(-probabilities, kind="stable")[: self.top_k].tolist()
        return tuple(labels[class_id] for class_id in best), tuple(best), tuple(probabilities[best].tolist())


@dataclass(frozen=True)
class PendingPrediction:
    """One frame that was submitted with :meth:`~googlenet_edge.runtime.classifier.Classifier.submit`."""

    batch: PendingBatch
    """The batch of this one frame."""

    def result(self) -> Prediction:
        """Wait for the frame and return its prediction, once.

        Raises :class:`BackendError` if the inference failed, gave NaN or was withdrawn.
        """
        return self.batch.result()[0]

    def done(self) -> bool:
        """Say whether :meth:`result` would return, or raise, at once."""
        return self.batch.done()

    def withdraw(self) -> bool:
        """Take the frame back if computing it has not begun, and say whether that was so; then it has no result."""
        return self.batch.withdraw()
