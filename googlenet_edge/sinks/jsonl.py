"""Results as JSON lines: one object a frame, readable by another program as soon as the frame is done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from googlenet_edge.sinks.lines import LineFile
from googlenet_edge.sinks.sink import Sink
from googlenet_edge.types import Frame, Prediction

__all__ = ["JsonLinesSink", "json_object"]


class JsonLinesSink(Sink):
    """Writes one line a frame to a file, which it replaces, or to standard output for ``"-"``.

    Each line goes out whole with the frame, unbuffered, so that a program that follows the output sees it at once and a
    killed run leaves whole lines only. Times are in milliseconds; see :func:`json_object`.
    """

    def __init__(self, target: Path | str, *, truth_labels: Sequence[str] | None = None) -> None:
        """Open the output. ``truth_labels`` name the source's class ids. Raises :class:`OutputError`."""
        self._truth_labels = truth_labels
        self._file = LineFile(target, what="JSON lines")

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Write one line. Raises :class:`OutputError`."""
        document = json_object(frame, prediction, self._truth_labels)
        self._file.write(json.dumps(document, ensure_ascii=False, allow_nan=False))

    def close(self) -> None:
        """Close the output."""
        self._file.close()


def json_object(frame: Frame, prediction: Prediction, truth_labels: Sequence[str] | None = None) -> dict[str, object]:
    """Return a frame's result as JSON values; what is not known is null.

    ``times_ms`` has no emit time: the line is written while the result is being emitted.
    """
    trace = prediction.trace
    known = truth_labels is not None and frame.truth is not None and 0 <= frame.truth < len(truth_labels)
    return {
        "sequence": frame.sequence,
        "name": frame.name,
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "top": [
            {"class_id": class_id, "label": label, "probability": round(probability, 6)}
            for class_id, label, probability in zip(
                prediction.class_ids, prediction.labels, prediction.probabilities, strict=True
            )
        ],
        "truth": frame.truth,
        "truth_label": truth_labels[frame.truth] if known and truth_labels and frame.truth is not None else None,
        "captured_ns": trace.captured_ns,
        "times_ms": {
            "queue": _ms(trace.dequeued_ns - trace.captured_ns),
            "preprocess": _ms(trace.preprocessed_ns - trace.dequeued_ns),
            "inference": _ms(trace.inferred_ns - trace.preprocessed_ns),
            "capture_to_result": _ms(trace.inferred_ns - trace.captured_ns),
            **{f"device {name}": _ms(duration_ns) for name, duration_ns in trace.device_stage_ns},
        },
    }


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
