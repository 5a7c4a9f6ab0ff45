"""Results as JSON lines: one object a frame, readable by another program as soon as the frame is done."""

from __future__ import annotations

import json
from pathlib import Path

from googlenet_edge.sinks.lines import LineFile
from googlenet_edge.sinks.sink import Sink, TruthLabels, truth_label
from googlenet_edge.types import Frame, Prediction

__all__ = ["JsonLinesSink", "json_object"]

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class JsonLinesSink(Sink):
    """Writes one line a frame to a file, which it replaces or adds to, or to standard output for ``"-"``.

    Each line goes out whole with the frame, unbuffered, so that a program that follows the output sees it at once and a
    killed run leaves whole lines only. Times are in milliseconds; see :func:`json_object`.
    """

    def __init__(
        self,
        target: Path | str,
        *,
        truth_labels: TruthLabels = None,
        append: bool = False,
        patience_s: float | None = None,
    ) -> None:
        """Open the output; ``append`` keeps what is in the file. Raises :class:`OutputError`.

        ``patience_s``: wait this long for a program that reads too slowly, instead of for ever.
        """
        self._truth_labels = truth_labels
        self._file = LineFile(target, what="JSON lines", append=append, patience_s=patience_s)

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Write one line. Raises :class:`OutputError`."""
        document = json_object(frame, prediction, self._truth_labels)
        self._file.write(_encode(document))

    def reopen(self) -> None:
        """Open the file anew with the next line, to add to it."""
        self._file.reopen()

    def close(self) -> None:
        """Close the output."""
        self._file.close()


def json_object(frame: Frame, prediction: Prediction, truth_labels: TruthLabels = None) -> dict[str, object]:
    """Return a frame's result as JSON values; what is not known is null.

    Of an unsure result ``label`` is null, so that nobody acts on it; the best guess is the first of ``top``.
    ``times_ms`` has no emit time: the line is written while the result is being emitted.
    """
    trace = prediction.trace
    raw = prediction.raw
    return {
        "camera": frame.camera,
        "sequence": frame.sequence,
        "name": frame.name,
        "label": None if prediction.unsure else prediction.label,
        "probability": round(prediction.probability, 6),
        "unsure": prediction.unsure,
        "top": [
            _class(*values)
            for values in zip(prediction.class_ids, prediction.labels, prediction.probabilities, strict=True)
        ],
        "raw": None if raw is None else _class(raw.class_id, raw.label, raw.probability),
        "truth": frame.truth,
        "truth_label": truth_label(frame, truth_labels),
        "captured_ns": trace.captured_ns,
        "times_ms": {
            "queue": _ms(trace.dequeued_ns - trace.captured_ns),
            "preprocess": _ms(trace.preprocessed_ns - trace.dequeued_ns),
            "inference": _ms(trace.inferred_ns - trace.preprocessed_ns),
            "capture_to_result": _ms(trace.inferred_ns - trace.captured_ns),
            **{f"device {name}": _ms(duration_ns) for name, duration_ns in trace.device_stage_ns},
        },
    }


def _class(class_id: int, label: str, probability: float) -> dict[str, object]:
    return {"class_id": class_id, "label": label, "probability": round(probability, 6)}


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
