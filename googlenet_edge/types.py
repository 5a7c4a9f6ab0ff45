"""Types that cross packages: what a frame is, how it is cropped, what comes out and when each step was done.

All times are in nanoseconds of one monotonic clock (``time.monotonic_ns``); only differences mean anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from googlenet_edge.errors import InputError

__all__ = [
    "Agreement",
    "Clock",
    "CropRule",
    "Frame",
    "FrameTrace",
    "ImageArray",
    "Interpolation",
    "NodeRow",
    "Normalization",
    "Outages",
    "Prediction",
    "Region",
    "StampSource",
    "TensorSpec",
]

ImageArray: TypeAlias = npt.NDArray[np.uint8]
"""An image as OpenCV delivers it: uint8, shape (height, width, 3), channels in BGR order, range 0-255."""

Clock: TypeAlias = Callable[[], int]
"""A monotonic clock in nanoseconds. The package uses ``time.monotonic_ns``; tests pass a fake one."""

Interpolation: TypeAlias = Literal["halve-linear", "area", "linear"]
"""How the crop is brought to its final size; see :mod:`googlenet_edge.runtime.preprocess`."""

StampSource: TypeAlias = Literal["host", "device", "stream"]
"""Who stamped a frame: ``host`` = when the host received it, ``device`` = the camera's driver, by the host's clock,
``stream`` = the sender's clock, brought to the host's by the frames that travelled quickest."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph. A dimension is a size or, where it may vary, a name such as ``"N"``."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    """The numpy name of the element type, for example ``"uint8"`` or ``"float32"``."""

    def __str__(self) -> str:
        return f"{self.name!r}: {self.dtype} ({', '.join(str(d) for d in self.shape)})"


@dataclass(frozen=True)
class CropRule:
    """How a frame becomes the network's input: the centre square that "resize the short side to ``resize_px``, then cut
    the centre ``crop_px``" would keep, brought to ``crop_px`` x ``crop_px`` in one step.
    """

    resize_px: int = 256
    crop_px: int = 224
    interpolation: Interpolation = "halve-linear"

    def __post_init__(self) -> None:
        if not 0 < self.crop_px <= self.resize_px:
            raise InputError(
                f"crop rule: got resize_px={self.resize_px}, crop_px={self.crop_px}, expected 0 < crop_px <= resize_px"
            )
        if self.interpolation not in ("halve-linear", "area", "linear"):
            raise InputError(
                f"crop rule: got interpolation={self.interpolation!r}, expected 'halve-linear', 'area' or 'linear'"
            )


@dataclass(frozen=True)
class Normalization:
    """What the graph does to a pixel: ``(pixel / 255 - mean) / std`` per channel, in the channel order it names."""

    mean: tuple[float, float, float]
    """Per channel, in ``color_order``, on the 0 to 1 scale."""
    std: tuple[float, float, float]
    """Per channel, in ``color_order``, on the 0 to 1 scale; above 0."""
    color_order: Literal["rgb", "bgr"] = "rgb"
    """The order in which the network was trained to see its channels."""

    def __post_init__(self) -> None:
        if {len(self.mean), len(self.std)} != {3} or not all(math.isfinite(v) for v in (*self.mean, *self.std)):
            raise InputError(f"normalization: got mean={self.mean}, std={self.std}, expected three finite numbers each")
        if min(self.std) <= 0:
            raise InputError(f"normalization: got std={self.std}, expected numbers above 0, on the 0 to 1 scale")
        if self.color_order not in ("rgb", "bgr"):
            raise InputError(f"normalization: got color_order={self.color_order!r}, expected 'rgb' or 'bgr'")


@dataclass(frozen=True)
class Agreement:
    """How far one step's results are from those of the step before it, on the same frames."""

    batch: int
    """Frames per inference."""
    frames: int
    """Frames compared."""
    max_abs_error: float
    """Largest absolute difference of a logit."""
    sqnr_db: float
    """Signal to quantization noise ratio of the logits in dB: 10 log10(sum(a^2) / sum((a - b)^2)); inf if equal."""
    top1_agreement: float
    """Share of the frames with the same best class, 0 to 1."""


@dataclass(frozen=True)
class NodeRow:
    """One node of an ONNX graph, the row of Table 1 it belongs to, and what it costs."""

    node: str
    operator: str
    row: str
    """Name of the row, for example ``"inception3a"``; ``"input"`` and ``"output"`` for the head and the tail."""
    macs: int
    """Multiply-accumulates for one frame; 0 for everything but convolutions and matrix products."""


@dataclass(frozen=True)
class Region:
    """A region of interest in pixels of the frame: columns ``x_px`` to ``x_px + width_px``, rows likewise."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        if self.x_px < 0 or self.y_px < 0 or self.width_px < 1 or self.height_px < 1:
            raise InputError(f"region: got {self}, expected x, y >= 0 and width, height >= 1 pixel")


@dataclass(frozen=True)
class Frame:
    """One frame of a source."""

    image: ImageArray
    """uint8 (height, width, 3), BGR."""
    sequence: int
    """0 for the first frame that the source delivered; frames that were dropped leave gaps."""
    captured_ns: int
    """When the frame was captured, by the monotonic clock."""
    stamp_source: StampSource = "host"
    truth: int | None = None
    """The right class id, where the source knows it (the demo scene, labelled folders)."""
    name: str | None = None
    """The file the frame was read from, where there is one."""
    camera: str | None = None
    """Which camera it came from, in a run of several."""


@dataclass(frozen=True)
class Outages:
    """How often a source was lost and came back, so far."""

    lost: int = 0
    """Times that it stopped delivering, or could not be opened at first."""
    reconnected: int = 0
    """Times that it came back."""
    attempts: int = 0
    """Openings that were tried in order to get it back, those that succeeded included."""
    down_ns: int = 0
    """Time without it, up to now: from each loss until its first frame after it."""


class FrameTrace(msgspec.Struct, frozen=True):
    """When each step of one frame was done, in nanoseconds of the monotonic clock.

    A struct of msgspec, because four of them are made for each frame: a frozen dataclass takes ten times as long.
    """

    sequence: int
    captured_ns: int
    """The frame was captured (see :class:`Frame`)."""
    dequeued_ns: int
    """The loop took the frame up; before this it waited in the source."""
    preprocessed_ns: int
    """The crop was ready for the network."""
    inferred_ns: int
    """The probabilities were back on the host."""
    emitted_ns: int | None = None
    """All sinks had the result; None until then."""
    device_stage_ns: tuple[tuple[str, int], ...] = ()
    """Durations that the device measured itself, such as (("h2d", 41_000), ("compute", 812_000)); empty on a CPU."""
    postprocess_ns: int | None = None
    """How long it took to check the probabilities and to pick the labels; None where that was not timed."""

    def with_preprocessed(self, at_ns: int) -> FrameTrace:
        """Return it with when the crop was ready."""
        return replace(self, preprocessed_ns=at_ns)

    def with_inferred(
        self, at_ns: int, device_stage_ns: tuple[tuple[str, int], ...] = (), *, postprocess_ns: int | None = None
    ) -> FrameTrace:
        """Return it with when the probabilities were on the host, what the device measured itself, and labelling."""
        return replace(self, inferred_ns=at_ns, device_stage_ns=device_stage_ns, postprocess_ns=postprocess_ns)

    def with_emitted(self, at_ns: int) -> FrameTrace:
        """Return it with when all sinks had the result."""
        return replace(self, emitted_ns=at_ns)


@dataclass(frozen=True)
class Prediction:
    """The top-k classes of one frame, best first."""

    labels: tuple[str, ...]
    class_ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    """Softmax probabilities, 0 to 1, in the order of ``labels``."""
    trace: FrameTrace
    unsure: bool = False
    """The best probability is below the one that was asked for: act on no label."""
    raw: Prediction | None = None
    """What the classifier said of this frame alone, where the labels are smoothed over time."""

    @property
    def label(self) -> str:
        """The best label."""
        return self.labels[0]

    @property
    def class_id(self) -> int:
        """The best class id."""
        return self.class_ids[0]

    @property
    def probability(self) -> float:
        """The probability of the best class, 0 to 1."""
        return self.probabilities[0]
