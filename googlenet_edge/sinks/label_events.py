"""When labels appear and leave: a state machine over the frames' probabilities, without clocks or files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from googlenet_edge.errors import InputError
from googlenet_edge.types import Prediction

__all__ = ["EventConfig", "LabelEvent", "LabelEvents", "LeaveReason"]

LeaveReason: TypeAlias = Literal["left", "gap", "lost", "end"]
"""Why a label left: "left" = its probability fell, "gap" = no frame came for too long, "lost" = the camera was lost,
"end" = the run ended."""


@dataclass(frozen=True)
class EventConfig:
    """When a label counts as there. Times are by the frames' capture times, so they do not depend on the rate."""

    appear_probability: float = 0.6
    """A label appears when its probability is at least this, without a break for ``appear_ms``."""
    leave_probability: float = 0.4
    """A label leaves when its probability was below this, without a break for ``leave_ms``."""
    appear_ms: int = 200
    """0: the first frame is enough."""
    leave_ms: int = 500
    gap_ms: int = 2000
    """All labels leave where two frames are further apart than this."""

    def __post_init__(self) -> None:
        if not 0 < self.leave_probability <= self.appear_probability <= 1:
            raise InputError(
                f"events: got appear_probability={self.appear_probability} and leave_probability="
                f"{self.leave_probability}, expected both above 0, at most 1, and leave not above appear"
            )
        for name in ("appear_ms", "leave_ms"):
            if getattr(self, name) < 0:
                raise InputError(f"events: got {name}={getattr(self, name)}, expected 0 or more")
        if self.gap_ms < 1:
            raise InputError(f"events: got gap_ms={self.gap_ms}, expected 1 or more")

    def check_top_k(self, top_k: int) -> None:
        """Raise :class:`InputError` where a label outside the best ``top_k`` may still be at ``leave_probability``."""
        if self.leave_probability <= 1 / (top_k + 1):
            raise InputError(
                f"events: got leave_probability={self.leave_probability} with the best {top_k} labels of a frame, "
                f"expected more than {1 / (top_k + 1):.3f}: below it a label may be hidden; raise the one or the other"
            )


@dataclass(frozen=True)
class LabelEvent:
    """A label appeared or left."""

    event: Literal["appeared", "left"]
    reason: LeaveReason | None
    """None for "appeared"."""
    label: str
    class_id: int
    captured_ns: int
    """When the label was first ("appeared") or last ("left") seen, by the monotonic clock."""
    first_sequence: int
    last_sequence: int
    """Sequence of the first frame with the label, and of the last one so far."""
    duration_ns: int
    """From the first to the last frame with the label."""
    best_probability: float
    """The highest so far, 0 to 1."""


_DEFAULT_CONFIG = EventConfig()


@dataclass
class _Seen:
    """A label that is there, or may be."""

    label: str
    first_ns: int
    first_sequence: int
    last_ns: int
    last_sequence: int
    best: float
    there: bool = False


class LabelEvents:
    """Turns the predictions of one camera, in the order of capture, into events. Labels are told apart by class id."""

    def __init__(self, config: EventConfig = _DEFAULT_CONFIG) -> None:
        self._config = config
        self._seen: dict[int, _Seen] = {}
        self._now_ns: int | None = None

    def add(self, prediction: Prediction) -> tuple[LabelEvent, ...]:
        """Take one frame's result, and return what follows from it: first the labels that leave.

        A gap is noticed with the frame that ends it. A capture time before the last one counts as the last one.
        """
        trace = prediction.trace
        now_ns = trace.captured_ns if self._now_ns is None else max(trace.captured_ns, self._now_ns)
        events: list[LabelEvent] = []
        if self._now_ns is not None and now_ns - self._now_ns > self._config.gap_ms * 1_000_000:
            events += self._close_all("gap")
        self._now_ns = now_ns
        found = {
            class_id: (label, probability)
            for class_id, label, probability in zip(
                prediction.class_ids, prediction.labels, prediction.probabilities, strict=True
            )
        }
        for class_id, seen in list(self._seen.items()):
            probability = found[class_id][1] if class_id in found else 0.0
            needed = self._config.leave_probability if seen.there else self._config.appear_probability
            if probability >= needed:
                seen.last_ns, seen.last_sequence = now_ns, trace.sequence
                seen.best = max(seen.best, probability)
            elif not seen.there:
                del self._seen[class_id]
            elif now_ns - seen.last_ns >= self._config.leave_ms * 1_000_000:
                del self._seen[class_id]
                events.append(_left(class_id, seen, "left"))
        for class_id, (label, probability) in found.items():
            if class_id not in self._seen and probability >= self._config.appear_probability:
                self._seen[class_id] = _Seen(label, now_ns, trace.sequence, now_ns, trace.sequence, probability)
        for class_id, seen in self._seen.items():
            if not seen.there and now_ns - seen.first_ns >= self._config.appear_ms * 1_000_000:
                seen.there = True
                events.append(_event("appeared", None, class_id, seen))
        return tuple(events)

    def lost(self) -> tuple[LabelEvent, ...]:
        """Let all labels leave because the camera was lost."""
        return tuple(self._close_all("lost"))

    def end(self) -> tuple[LabelEvent, ...]:
        """Let all labels leave at the end of the run; a second call returns nothing."""
        return tuple(self._close_all("end"))

    def _close_all(self, reason: LeaveReason) -> list[LabelEvent]:
        events = [_left(class_id, seen, reason) for class_id, seen in self._seen.items() if seen.there]
        self._seen.clear()
        return events


def _left(class_id: int, seen: _Seen, reason: LeaveReason) -> LabelEvent:
    return _event("left", reason, class_id, seen)


def _event(event: Literal["appeared", "left"], reason: LeaveReason | None, class_id: int, seen: _Seen) -> LabelEvent:
    return LabelEvent(
        event=event,
        reason=reason,
        label=seen.label,
        class_id=class_id,
        captured_ns=seen.first_ns if event == "appeared" else seen.last_ns,
        first_sequence=seen.first_sequence,
        last_sequence=seen.last_sequence,
        duration_ns=seen.last_ns - seen.first_ns,
        best_probability=seen.best,
    )
