"""The build number of the TensorRT that is loaded: JetPack's Python module says 10.3.0, the library 10.3.0.30."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from googlenet_edge.engine.flavour import FlavourName

__all__ = ["exact_version"]


def exact_version(name: FlavourName, version: str) -> str:
    """Return the version with its build number, ``"10.3.0.30"``; as it was given where the library does not tell it.

    ``version`` is what the Python module says of itself; it must have been imported, so that its library is loaded.
    """
    numbers = version.split(".")
    if len(numbers) != 3:
        return version
    major = numbers[0]
    library = f"libnvinfer.so.{major}" if name == "tensorrt" else f"libtensorrt_rtx.so.{major}"
    try:
        # Only if it is there already: whatever else bears that name is not the one that the module runs on.
        loaded = ctypes.CDLL(library, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        build = int(loaded.getInferLibBuildVersion())
    except (OSError, AttributeError):
        return version
    return f"{version}.{build}"
