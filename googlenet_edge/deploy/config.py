"""How to deploy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from googlenet_edge.bundle import Precision
from googlenet_edge.errors import UsageError
from googlenet_edge.quantization.images import ImageOptions
from googlenet_edge.quantization.quantize import QuantizeConfig
from googlenet_edge.quantization.threshold import METHODS, Method
from googlenet_edge.quantization.weights import Rounding, WeightMethod
from googlenet_edge.types import Normalization

__all__ = ["DEMO_CHECKPOINT", "DeployConfig", "HighPrecision", "PrecisionConfig"]

DEMO_CHECKPOINT = "demo"
"""In the place of a checkpoint: the trained one that comes with the package."""

HighPrecision: TypeAlias = Literal["fp16", "fp32"]
"""What the operations of an INT8 graph that are not INT8 compute in."""

_DEFAULT_BUDGET_POINTS: Final = 0.1

_OF_INT8: Final = (
    "method",
    "weights",
    "rounding",
    "equalization",
    "bias_correction",
    "high_precision",
    "sensitivity",
    "select_on",
)
_OF_BOTH: Final = ("images", "count", "keep", "accuracy_budget")


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig:
    """Which precision, and how to get there; None leaves it to the function that does it."""

    precision: Precision = "fp32"
    images: str | None = None
    """Calibration images, any source of :func:`~googlenet_edge.quantization.images.collect_images`. INT8 needs them;
    for FP16 they are optional, and the ranges that they give are compared with what FP16 holds."""
    count: int | None = None
    """At most so many calibration images."""
    method: Method | None = None
    """One threshold method for every tensor; None chooses for each by its effect on the logits."""
    weights: WeightMethod | None = None
    """How the scales of the weights are found."""
    rounding: Rounding | None = None
    """How weights are rounded."""
    equalization: float | None = None
    """How far the ranges of a tensor's channels are made alike, 0 to 1."""
    bias_correction: bool = True
    keep: tuple[str, ...] = ()
    """Nodes that stay out of INT8; for FP16, nodes that stay in FP32."""
    high_precision: HighPrecision | None = None
    """What is not INT8; None for FP16."""
    sensitivity: bool = False
    """Measure every layer's sensitivity, also if the budget does not need it."""
    select_on: str | None = None
    """Data set on which layers are chosen to stay out of INT8. Never the one of the final figures."""
    accuracy_budget: float | None = None
    """Percentage points of top-1 that may be lost against FP32; None for 0.1."""

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise UsageError(f"precision: got {self.precision!r}, expected one of {', '.join(get_args(Precision))}")
        refused = {"fp32": _OF_INT8 + _OF_BOTH, "fp16": _OF_INT8, "int8": ()}[self.precision]
        for entry in fields(self):
            if entry.name in refused and getattr(self, entry.name) != entry.default:
                wanted = "int8" if entry.name in _OF_INT8 else "fp16 or int8"
                raise UsageError(
                    f"{_option(entry.name)}: got it with precision {self.precision}, expected none: it is for "
                    f"{wanted} (--precision)"
                )
        if self.precision == "int8" and self.images is None:
            raise UsageError(
                "--images: got none, expected calibration images for int8: a folder, a glob, a video or a camera with "
                "what the network will see; 300 to 1000 images are enough"
            )
        if self.images is None and self.count is not None:
            raise UsageError(f"--count: got {self.count} without --images, expected both or none")
        if self.high_precision not in (None, *get_args(HighPrecision)):
            raise UsageError(f"--high-precision: got {self.high_precision!r}, expected fp16 or fp32")
        if self.weights not in (None, *get_args(WeightMethod)):
            raise UsageError(f"--weights: got {self.weights!r}, expected one of {', '.join(get_args(WeightMethod))}")
        if self.rounding not in (None, *get_args(Rounding)):
            raise UsageError(f"--rounding: got {self.rounding!r}, expected one of {', '.join(get_args(Rounding))}")
        if self.equalization is not None and not 0 <= self.equalization <= 1:
            raise UsageError(f"--equalization: got {self.equalization}, expected 0 to 1")
        if self.method not in (None, *METHODS):
            raise UsageError(f"--method: got {self.method!r}, expected one of {', '.join(METHODS)}, or none to choose")
        if not (math.isfinite(self.budget_points) and 0 <= self.budget_points <= 100):
            raise UsageError(
                f"--accuracy-budget: got {self.accuracy_budget}, expected 0 to 100 percentage points of top-1"
            )
        if self.count is not None:
            ImageOptions(self.count)  # says what is wrong with the number

    @property
    def budget_points(self) -> float:
        """Percentage points of top-1 that may be lost."""
        return _DEFAULT_BUDGET_POINTS if self.accuracy_budget is None else self.accuracy_budget

    @property
    def half(self) -> bool:
        """Whether what is not INT8 computes in FP16."""
        return self.high_precision != "fp32"

    @property
    def image_options(self) -> ImageOptions:
        """How many calibration images to take."""
        return ImageOptions() if self.count is None else ImageOptions(self.count)

    @property
    def quantize_config(self) -> QuantizeConfig:
        """How to quantize."""
        config = QuantizeConfig(
            method=self.method, bias_correction=self.bias_correction, half_scales=self.half, keep=self.keep
        )
        if self.weights is not None:
            config = replace(config, weight_method=self.weights)
        if self.rounding is not None:
            config = replace(config, rounding=self.rounding)
        return config if self.equalization is None else replace(config, equalization=self.equalization)


@dataclass(frozen=True, kw_only=True)
class DeployConfig:
    """How to deploy; None leaves it to the checkpoint."""

    labels: Path | None = None
    """A file with the names of the classes, text or JSON."""
    form: str | None = None
    class_count: int | None = None
    """Refuse a checkpoint with another number of classes."""
    normalization: Normalization | None = None
    """What the network was trained with; needed for an ONNX file."""
    crop_px: int | None = None
    """Side of the network's input; 224 if the checkpoint does not settle it."""
    resize_px: int | None = None
    """Short side to which training resized before it cropped; 8/7 of ``crop_px`` if None."""
    name: str | None = None
    frames: str = "demo:?size=640x360"
    """Source of the frames that the steps are compared on."""
    evaluate_on: str | None = None
    """Data set whose accuracy goes into the bundle; see :func:`~googlenet_edge.evaluation.dataset.open_dataset`.
    Nothing but the final figures reads it."""
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.class_count is not None and self.class_count < 1:
            raise UsageError(f"classes: got {self.class_count}, expected 1 or more")
        for name, value in (("crop", self.crop_px), ("resize", self.resize_px)):
            if value is not None and not 32 <= value <= 4096:
                raise UsageError(f"{name}: got {value} px, expected 32 to 4096")
        if self.crop_px and self.resize_px and self.resize_px < self.crop_px:
            raise UsageError(f"got resize {self.resize_px} px and crop {self.crop_px} px, expected resize >= crop")


def _option(name: str) -> str:
    """The command line's name of a field."""
    return {"select_on": "--select", "bias_correction": "--no-bias-correction"}.get(name, "--" + name.replace("_", "-"))
