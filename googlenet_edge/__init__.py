"""googlenet_edge: a trained GoogLeNet to ONNX, INT8 and TensorRT, and camera frames through it with honest latency.

The public names are imported when they are first used, so that ``import googlenet_edge`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.capture.source import open_source
    from googlenet_edge.errors import GoogLeNetEdgeError
    from googlenet_edge.runtime.classifier import Classifier
    from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
    from googlenet_edge.types import CropRule, Frame, FrameTrace, Prediction, Region

__version__ = "0.1.0"

__all__ = [
    "BackendOptions",
    "Bundle",
    "Classifier",
    "CropRule",
    "Frame",
    "FrameTrace",
    "GoogLeNetEdgeError",
    "Prediction",
    "Region",
    "open_backend",
    "open_source",
]

_HOME = {
    "BackendOptions": "runtime.open_backend",
    "Bundle": "bundle",
    "Classifier": "runtime.classifier",
    "CropRule": "types",
    "Frame": "types",
    "FrameTrace": "types",
    "GoogLeNetEdgeError": "errors",
    "Prediction": "types",
    "Region": "types",
    "open_backend": "runtime.open_backend",
    "open_source": "capture.source",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
