"""Imports packages and says what it found, one JSON object a line: run as a program of its own, never imported.

A broken package may raise anything, kill the interpreter or never return, so the doctor has it imported by a process
that it can do without. Only the standard library is used here, and nothing of this package.

Arguments: ``--path FOLDER`` (as often as wanted: put before all other places), then what to look at; "libcuda=FILE"
stands for the CUDA driver, everything else is the name of a package.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import os
import re
import sys
from typing import IO, Any

Details = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Look at each thing in turn; say which one before touching it, so that the parent knows where the end came."""
    # Packages may print while they are imported: what they say must not stand among the results.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    names = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--path":
            sys.path.insert(0, arguments.pop(0))
        else:
            names.append(argument)
    for name in names:
        _say(results, {"began": name})
        _say(results, {"done": name, **_look_at(name)})


def _say(results: IO[str], found: Details) -> None:
    results.write(json.dumps(found) + "\n")
    results.flush()


def _look_at(name: str) -> Details:
    try:
        if name.startswith("libcuda="):
            return {"installed": True, "details": cuda_driver(name.removeprefix("libcuda="))}
        module = importlib.import_module(name)
        details = DETAILS.get(name, lambda _: {})(module)
    except BaseException as error:  # noqa: BLE001 - whatever a broken package does, SystemExit too, is the finding
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            return {"installed": False}
        return {"installed": True, "error": _describe(error), "distributions": _distributions(name)}
    return {
        "installed": True,
        "version": _version(module, name),
        "path": getattr(module, "__file__", None),
        "details": details,
        "distributions": _distributions(name),
    }


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}" if text else type(error).__name__


def _version(module: Any, name: str) -> str | None:
    version = getattr(module, "__version__", None)
    if version is None and name == "pycuda.driver":
        version = sys.modules["pycuda"].VERSION_TEXT
    if version is None:
        found = _distributions(name)
        version = next(iter(found.values()), None)
    return None if version is None else str(version)


def _distributions(name: str) -> dict[str, str]:
    """Return name and version of each installed distribution that brings this package."""
    candidates = DISTRIBUTIONS.get(name, (name.partition(".")[0],))
    found = {}
    for candidate in candidates:
        try:
            found[candidate] = importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


DISTRIBUTIONS = {
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "cuda.bindings.driver": ("cuda-bindings",),
}


def opencv(module: Any) -> Details:
    """Read from OpenCV's build information what it can open."""
    text = module.getBuildInformation()
    found = {}
    for key in ("FFMPEG", "GUI"):
        match = re.search(rf"^\s*{re.escape(key)}:[ \t]*(.*)$", text, re.MULTILINE)
        found[key] = match.group(1).strip() if match else "NO"
    return found


def onnxruntime(module: Any) -> Details:
    """Return the execution providers, best first."""
    return {"providers": list(module.get_available_providers())}


def tensorrt(module: Any) -> Details:
    """Return whether there is a real TensorRT: type stubs and namespace leftovers import too."""
    return {"builder": hasattr(module, "Builder")}


DETAILS = {"cv2": opencv, "onnxruntime": onnxruntime, "tensorrt": tensorrt, "tensorrt_rtx": tensorrt}


def cuda_driver(library: str) -> Details:
    """Ask the CUDA driver for its version and its devices."""
    cuda = ctypes.CDLL(library)

    def call(function: str, *arguments: Any) -> None:
        code = getattr(cuda, function)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            known = cuda.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value
            raise RuntimeError(f"{function} failed: {text.value.decode() if known and text.value else code}")

    version = ctypes.c_int()
    call("cuDriverGetVersion", ctypes.byref(version))
    found: Details = {"cuda": f"{version.value // 1000}.{version.value % 1000 // 10}", "devices": []}
    try:
        call("cuInit", 0)
        count = ctypes.c_int()
        call("cuDeviceGetCount", ctypes.byref(count))
        for ordinal in range(count.value):
            device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
            major, minor = ctypes.c_int(), ctypes.c_int()
            call("cuDeviceGet", ctypes.byref(device), ordinal)
            call("cuDeviceGetName", name, len(name), device)
            call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
            # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
            call("cuDeviceGetAttribute", ctypes.byref(major), 75, device)
            call("cuDeviceGetAttribute", ctypes.byref(minor), 76, device)
            found["devices"].append(
                {
                    "name": name.value.decode(errors="replace"),
                    "compute_capability": f"{major.value}.{minor.value}",
                    "memory_bytes": memory.value,
                }
            )
    except RuntimeError as error:
        found["error"] = str(error)  # a driver without a device: its version is still worth telling
    return found


if __name__ == "__main__":
    # Python puts this file's folder first, whose modules could hide the packages that are asked for.
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):  # noqa: PTH100, PTH120 - compares what Python stored
        del sys.path[0]
    main(sys.argv[1:])
