"""Why TensorRT cannot be imported, and what to do about it."""

from __future__ import annotations

import platform
import re
import sys
from typing import TYPE_CHECKING

from googlenet_edge.engine.host import in_container, is_jetson
from googlenet_edge.errors import EngineError, GoogLeNetEdgeError, MissingPackageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["explain_import", "no_builder"]

EXTRA_OF = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}
SEE_SYSTEM_PACKAGES = "python3 -m venv --system-site-packages .venv"
RUN_CONTAINER = "start the container with `docker run --runtime nvidia`, from an image for the board's own JetPack"


def explain_import(name: str, error: Exception, *, root: Path) -> GoogLeNetEdgeError:
    """Return the exception to raise for a failed import of ``tensorrt`` or ``tensorrt_rtx``.

    ``root`` is the root of the file system: what the system's own Python has decides the remedy.
    """
    missing = isinstance(error, ModuleNotFoundError) and (error.name or "")
    if missing == name:
        return _not_installed(name, root)
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    remedy = _remedy(name, said, missing or "", root)
    return EngineError(f"{name} is installed but cannot be imported: {said}; {remedy}")


def no_builder(name: str, path: str | None) -> EngineError:
    """Return the exception for a module of TensorRT's name that is not TensorRT; ``path`` is its file, if any."""
    package = name.replace("_", "-")
    return EngineError(
        f"{name} can be imported from {path or 'a folder without code'}, but has no Builder: type stubs or leftovers, "
        f"expected TensorRT itself; pip uninstall {package}-stubs {package}, then install it again"
    )


def _not_installed(name: str, root: Path) -> GoogLeNetEdgeError:
    jetson = is_jetson(root)
    if name == "tensorrt_rtx" and platform.machine() not in ("x86_64", "AMD64"):
        return EngineError(
            f"tensorrt_rtx is not installed, and is made for x86-64; this machine is {platform.machine()}: build with "
            "TensorRT on the device itself, or for GeForce cards on an x86-64 machine"
        )
    # Only JetPack's TensorRT is the system's: elsewhere, pip brings it.
    folder = _system_folder(name, root)
    if folder is not None:
        what = f"{name} is not installed in this Python, but the system's has it in {folder}"
        served = re.search(r"python(\d+\.\d+)", folder)
        mine = ".".join(map(str, sys.version_info[:2]))
        if served and served.group(1) != mine:
            remedy = f"/usr/bin/python{served.group(1)} -m venv --system-site-packages .venv"
            return EngineError(f"{what}: it is for Python {served.group(1)}, this is Python {mine}; {remedy}")
        if sys.prefix != sys.base_prefix:
            return EngineError(
                f"{what}, which this virtual environment does not look into; {SEE_SYSTEM_PACKAGES}, or set "
                f"include-system-site-packages = true in {sys.prefix}/pyvenv.cfg"
            )
        return EngineError(f"{what}; /usr/bin/{SEE_SYSTEM_PACKAGES}")
    if jetson and name == "tensorrt":
        return EngineError("tensorrt is not installed; sudo apt install nvidia-jetpack")
    return MissingPackageError(name, extra=EXTRA_OF[name])


def _system_folder(name: str, root: Path) -> str | None:
    for folder in sorted(root.glob(f"usr/lib/python3*/dist-packages/{name}")):
        return f"/{folder.parent.relative_to(root)}"
    return None


def _remedy(name: str, said: str, missing_module: str, root: Path) -> str:
    """What mends it, by the library or module that the loader did not find."""
    jetson, package = is_jetson(root), name.replace("_", "-")
    reinstall = "sudo apt install --reinstall nvidia-jetpack" if jetson else f"pip install --force-reinstall {package}"
    library = re.search(r"lib[\w+-]+\.so[\w.]*", said)
    found = library.group() if library else ""
    if re.match(r"libnv\w*dla|libcudla|libnvmedia_dla", found):
        # JetPack 6's TensorRT is linked with the DLA compiler, which containers get from the board.
        if in_container(root):
            return f"the libraries of the DLA come from the board: {RUN_CONTAINER}"
        return "the libraries of the DLA are a package of JetPack's: sudo apt install nvidia-l4t-dla-compiler"
    if "file too short" in said:
        return f"the container has an empty file in the place of the board's library: {RUN_CONTAINER}"
    if found.startswith("libcuda.so"):
        if in_container(root):
            return "the CUDA driver comes from the host: " + (RUN_CONTAINER if jetson else "docker run --gpus all")
        return "install the NVIDIA driver (`googlenet-edge doctor` says how)"
    if re.match(r"lib(cudart|cudnn|cublas|nvrtc)", found):
        return f"install the CUDA libraries that this TensorRT was built for, or: {reinstall}"
    if re.search(rf"({name}(_bindings)?\.|_bindings$)", missing_module):
        version = ".".join(map(str, sys.version_info[:2]))
        return f"its binding is not made for this Python {version} (JetPack 6's is for 3.10); {reinstall}"
    if "numpy" in said:
        return "pip install 'numpy<2'"
    return reinstall
