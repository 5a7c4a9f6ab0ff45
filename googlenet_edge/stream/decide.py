"""Labels over time: the average of the probabilities over the last frames, and which results are too unsure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from googlenet_edge.errors import InputError
from googlenet_edge.types import Prediction

if TYPE_CHECKING:
    import numpy.typing as npt

    from googlenet_edge.stream.config import StreamConfig

__all__ = ["Average", "Decider", "asked_top_k"]

_Vector: TypeAlias = "npt.NDArray[np.float64]"


class Average:
    """The exponential moving average of vectors that come at uneven times.

    A vector that comes dt after the one before it counts for ``1 - 2 ** (-dt / half_life)``, and all before it for the
    rest (G. Zumbach, U. Mueller, "Operators on Inhomogeneous Time Series", Int. J. of Theoretical and Applied Finance
    4(1), 2001: the exponential moving average with next-point interpolation). So the average follows a change equally
    fast at any frame rate: half-way in one half-life. After a gap the past counts for little: less than 0.1 % after ten
    half-lives.

    The first vectors after a start count alike until that rule gives more than an equal share: so neither does the
    first one, often a camera's worst, count for half for a whole half-life, nor does a vector with the time of the one
    before it count for nothing. A time before the last one counts as the last one.
    """

    def __init__(self, half_life_ns: float) -> None:
        self._half_life_ns = half_life_ns
        self._mean: _Vector | None = None
        self._weight = 0.0
        self._now_ns = 0

    def add(self, values: _Vector, time_ns: int) -> _Vector:
        """Take one vector, float64 (n,), and return the average, float64 (n,), which the caller must not change.

        Raises :class:`InputError` where the length is another than before.
        """
        if self._mean is None:
            self._mean, self._weight, self._now_ns = values.copy(), 1.0, time_ns
            return self._mean
        if values.shape != self._mean.shape:
            raise InputError(
                f"smoothing: got {values.size} probabilities, expected {self._mean.size} as before; call reset() "
                "when the classifier changes"
            )
        now_ns = max(time_ns, self._now_ns)
        kept = 0.5 ** ((now_ns - self._now_ns) / self._half_life_ns)
        share = max(1 - kept, 1 / (1 + self._weight * kept))
        self._mean = self._mean + share * (values - self._mean)
        self._weight, self._now_ns = 1 / share, now_ns
        return self._mean

    def reset(self) -> None:
        """Forget all vectors."""
        self._mean = None


class Decider:
    """Decides what is shown and acted on: smooths the probabilities of one camera over time, and marks what is unsure.

    One per camera, with its frames in order.
    """

    def __init__(self, config: StreamConfig) -> None:
        self._top_k, self._min_probability = config.top_k, config.min_probability
        self._average = None if config.smoothing_ms is None else Average(config.smoothing_ms * 1e6)

    def decide(self, prediction: Prediction) -> Prediction:
        """Return the best ``config.top_k`` classes, smoothed where that was asked for, and ``unsure`` set.

        With smoothing, ``prediction`` must have all classes (see :func:`asked_top_k`), and what it says itself is in
        ``raw``; of classes with equal probabilities the lower id comes first. Raises :class:`InputError` where classes
        are missing.
        """
        decided = _cut(prediction, self._top_k)
        if self._average is not None:
            smoothed = self._average.add(_by_class(prediction), prediction.trace.captured_ns)
            decided = replace(_best(smoothed, prediction, self._top_k), raw=decided)
        unsure = self._min_probability is not None and decided.probability < self._min_probability
        return replace(decided, unsure=True) if unsure else decided

    def reset(self) -> None:
        """Forget the frames so far: the camera was lost, and what it sees next may be something else."""
        if self._average is not None:
            self._average.reset()


def asked_top_k(config: StreamConfig, classes: int) -> int:
    """Return how many classes of each frame a :class:`Decider` needs: all where it smooths, else ``config.top_k``."""
    return config.top_k if config.smoothing_ms is None else classes


def _cut(prediction: Prediction, top_k: int) -> Prediction:
    if len(prediction.labels) <= top_k:
        return prediction
    return replace(
        prediction,
        labels=prediction.labels[:top_k],
        class_ids=prediction.class_ids[:top_k],
        probabilities=prediction.probabilities[:top_k],
    )


def _by_class(prediction: Prediction) -> _Vector:
    """Return the probabilities in the order of the class ids, float64 (classes,)."""
    ids = np.asarray(prediction.class_ids)
    vector = np.full(ids.size, np.nan)
    if ids.max() < ids.size:
        vector[ids] = prediction.probabilities
    if np.isnan(vector).any():
        raise InputError(
            f"smoothing: got the best {ids.size} classes of frame {prediction.trace.sequence}, expected all; ask the "
            "classifier for as many as asked_top_k() says"
        )
    return vector


def _best(probabilities: _Vector, prediction: Prediction, top_k: int) -> Prediction:
    """Return the best classes by these probabilities; the labels and the trace are those of ``prediction``."""
    best = np.argsort(-probabilities, kind="stable")[:top_k].tolist()
    label_of = dict(zip(prediction.class_ids, prediction.labels, strict=True))
    return replace(
        prediction,
        labels=tuple(label_of[class_id] for class_id in best),
        class_ids=tuple(best),
        probabilities=tuple(probabilities[best].tolist()),
    )
