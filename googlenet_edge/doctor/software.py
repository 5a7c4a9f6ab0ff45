"""Reads what is installed: this Python, the packages that it can import, the CUDA driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet_edge.doctor.facts import CudaDevice, CudaDriver, GStreamer, Package, PythonInstall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.doctor.machine import Machine

__all__ = [
    "CSI_ELEMENTS",
    "PACKAGES",
    "PIPELINE_ELEMENTS",
    "read_cuda",
    "read_gstreamer",
    "read_packages",
    "read_python",
]

GROUPS = (
    ("numpy", "cv2", "onnxruntime"),
    # It brings an FFmpeg of its own, beside OpenCV's.
    ("av",),
    ("torch", "onnx", "onnxsim", "onnxscript", "safetensors"),
    # Two TensorRTs in one process would share symbols.
    ("tensorrt",),
    ("tensorrt_rtx",),
    ("pycuda.driver", "cuda.bindings.driver"),
)
"""Packages that are imported by one process, in this order; numpy is imported once for all that need it."""

PACKAGES = tuple(name for group in GROUPS for name in group)

FROM_JETPACK = ("cv2", "tensorrt")
"""Packages that come with the system's Python on a Jetson."""

PIPELINE_ELEMENTS = ("videoconvert", "gdppay", "fdsink")
"""What every pipeline is given at its end."""

CSI_ELEMENTS = ("nvarguscamerasrc", "nvvidconv")
"""What a Jetson's CSI camera needs besides; they come with JetPack."""

PARALLEL_IMPORTS = 2


def read_python(machine: Machine) -> PythonInstall:
    """Complete what is known of the Python with what its virtual environment's settings say."""
    python = machine.python
    if not python.in_venv:
        return python
    try:
        lines = Path(python.prefix, "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    settings = {key.strip().lower(): value.strip().lower() for key, _, value in (line.partition("=") for line in lines)}
    return replace(python, system_site_packages=settings.get("include-system-site-packages") == "true")


def read_packages(machine: Machine, groups: Sequence[Sequence[str]] = GROUPS) -> dict[str, Package]:
    """Import every package that some feature uses, each group in a process of its own."""
    found = {}
    with ThreadPoolExecutor(PARALLEL_IMPORTS, thread_name_prefix="doctor") as pool:
        for answer in pool.map(lambda names: machine.look_at(*names), groups):
            found.update(answer)
    return {name: _package(machine, name, answer) for name, answer in found.items()}


def read_cuda(machine: Machine) -> CudaDriver:
    """Ask the CUDA driver for its version and its devices, in another process."""
    name = f"libcuda={machine.cuda_library}"
    found: dict[str, Any] = machine.look_at(name)[name]
    details = found.get("details", {})
    return CudaDriver(
        version=details.get("cuda"),
        devices=tuple(CudaDevice(**device) for device in details.get("devices", ())),
        error=found.get("error") or details.get("error"),
    )


def read_gstreamer(machine: Machine) -> GStreamer:
    """Look for GStreamer's programs, and ask for each element that we use."""
    inspects = machine.find("gst-inspect-1.0") is not None

    def has(element: str) -> bool | None:
        return machine.run("gst-inspect-1.0", "--exists", element) is not None if inspects else None

    return GStreamer(
        launch=machine.find("gst-launch-1.0"),
        elements={element: has(element) for element in (*PIPELINE_ELEMENTS, *CSI_ELEMENTS)},
    )


def _package(machine: Machine, name: str, found: dict[str, Any]) -> Package:
    package = Package(
        name=name,
        installed=found["installed"],
        version=found.get("version") or next(iter(found.get("distributions", {}).values()), None),
        path=found.get("path"),
        error=found.get("error"),
        details=found.get("details", {}),
        distributions=found.get("distributions", {}),
    )
    return replace(package, hidden=_hidden(machine, package)) if name in FROM_JETPACK else package


def _hidden(machine: Machine, package: Package) -> str | None:
    """Return the folder of the system's Python that has this package, unless it is the one that was imported."""
    patterns = (f"usr/lib/python3*/dist-packages/{package.name}", f"usr/lib/python3*/dist-packages/{package.name}.*so")
    for path in (path for pattern in patterns for path in machine.glob(pattern)):
        if package.path is None or not package.path.startswith(str(path.parent)):
            return f"/{path.parent.relative_to(machine.root)}"
    return None
