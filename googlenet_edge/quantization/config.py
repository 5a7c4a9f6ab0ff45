"""How to quantize: what is chosen, and from how many images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, get_args

from googlenet_edge.errors import UsageError
from googlenet_edge.quantization.ends import EndRule
from googlenet_edge.quantization.threshold import METHODS, Method
from googlenet_edge.quantization.weights import Rounding, WeightMethod

__all__ = ["Progress", "QuantizeConfig"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the step, how much of it is done, and of how much."""


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """How to quantize."""

    method: Method | None = None
    """One method for every tensor; None chooses for each by its effect on the logits."""
    weight_method: WeightMethod = "max"
    """How the scales of the weights are found: of GoogLeNet, ``mse`` gains nothing once weights are rounded by GPTQ."""
    rounding: Rounding = "gptq"
    """How weights are rounded; see ``gptq.py``."""
    equalization: float = 0.5
    """How far the ranges of a tensor's channels are made alike, 0 to 1; see ``equalize.py``."""
    bias_correction: bool = True
    half_scales: bool = True
    """Scales that FP16 holds, for a graph whose other operations are FP16."""
    keep: tuple[str, ...] = ()
    """Nodes that stay in floating point."""
    first: EndRule = "measure"
    """Whether the first layer goes into INT8."""
    last: EndRule = "measure"
    """Whether the last layer does: GoogLeNet's linear one."""
    choice_images: int = 32
    bias_images: int = 64
    moment_images: int = 96

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in METHODS:
            raise UsageError(f"method: got {self.method!r}, expected one of {', '.join(METHODS)}, or none to choose")
        for name, value, known in (
            ("weight_method", self.weight_method, get_args(WeightMethod)),
            ("rounding", self.rounding, get_args(Rounding)),
            ("first", self.first, get_args(EndRule)),
            ("last", self.last, get_args(EndRule)),
        ):
            if value not in known:
                raise UsageError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
        if isinstance(self.keep, str):
            raise UsageError(f"keep: got the text {self.keep!r}, expected a tuple of node names")
        counts = (self.choice_images, self.bias_images, self.moment_images)
        if min(counts) < 1:
            raise UsageError(f"images: got {counts} for choice, bias and moments, expected 1 or more")
        if not 0 <= self.equalization <= 1:
            raise UsageError(f"equalization: got {self.equalization}, expected 0 to 1")
