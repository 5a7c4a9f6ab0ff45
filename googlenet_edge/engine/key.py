"""What an engine was built for: a plan is used only where all of it is the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from googlenet_edge.engine.flavour import FlavourName
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["RECIPE", "EngineKey"]

RECIPE: Final = 1
"""Raised by one whenever ``build.py`` or ``config.py`` make another plan of the same options."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that a plan depends on."""

    onnx_sha256: str
    flavour: FlavourName
    tensorrt_version: str
    compute_capability: str
    """``"8.7"``; of an RTX engine for several targets all of them, joined by ``+``."""
    device_name: str
    """As the driver gives it; empty for an RTX engine, which is built for a compute capability and no one device."""
    options: BuildOptions
    recipe: int = RECIPE
    """How this package sets the builder up."""
