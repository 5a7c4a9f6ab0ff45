"""Results as JSON lines: one object a frame, readable by another program as soon as the frame is done."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

from googlenet_edge.errors import OutputError
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
        self._target = "standard output" if str(target) == "-" else str(target)
        self._truth_labels = truth_labels
        self._descriptor: int | None = None
        try:
            if str(target) == "-":
                # A copy of the descriptor: sys.stdout's buffer stays empty, so nothing is left to fail at exit.
                self._descriptor = os.dup(1)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
                self._descriptor = os.open(target, flags, 0o666)
        except OSError as error:
            raise self._failure(error) from error

    def emit(self, frame: Frame, prediction: Prediction) -> None:
        """Write one line. Raises :class:`OutputError`."""
        if self._descriptor is None:
            raise OutputError(f"JSON lines: {self._target} is closed")
        text = (
            json.dumps(json_object(frame, prediction, self._truth_labels), ensure_ascii=False, allow_nan=False) + "\n"
        )
        # A file name that is not UTF-8 has lone surrogates in Python; "backslashreplace" makes them JSON escapes.
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the output."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError as error:  # some file systems report a full disk only here
                raise self._failure(error) from error

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            if self._descriptor is not None:
                os.close(self._descriptor)

    def _failure(self, error: OSError) -> OutputError:
        if error.errno == errno.EPIPE:
            return OutputError(f"JSON lines: the program that read {self._target} has closed it; the run ends here")
        return OutputError(
            f"JSON lines: cannot write {self._target}: {error.strerror}; "
            "name a file in a folder that exists, that you may write to and that has room"
        )


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
