"""``googlenet-edge doctor``: what this machine has, and what is missing for which feature."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from googlenet_edge.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

    from googlenet_edge.doctor import Diagnosis
    from googlenet_edge.doctor.facts import GStreamer, Need, Package


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this verb's arguments."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="FEATURE",
        help="end with exit code 1 unless this feature is ready; the table's first column has the names",
    )


def run(arguments: argparse.Namespace) -> int:
    """Examine the machine and print what was found. The exit code is 0 unless a required feature is not ready."""
    from rich.console import Console

    from googlenet_edge.doctor import FEATURES, examine

    for name in arguments.require:
        if name not in FEATURES:
            raise UsageError(f"--require: got {name!r}, expected one of {', '.join(FEATURES)}")
    errors = Console(stderr=True, highlight=False)
    with errors.status("looking at this machine (importing each package in a process of its own)"):
        diagnosis = examine()
    if arguments.json:
        print(json.dumps(diagnosis.to_dict(), indent=2))
    else:
        console = Console(highlight=False)
        console.print(_machine_table(diagnosis))
        console.print(_feature_table(diagnosis))
        _print_needs(diagnosis, console)
    lacking = [
        feature.name for feature in diagnosis.features if feature.name in arguments.require and not feature.ready
    ]
    if lacking:
        errors.print(f"error: not ready: {', '.join(lacking)}", markup=False)
    return 1 if lacking else 0


def _machine_table(diagnosis: Diagnosis) -> Table:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    table = Table("", Column("this machine", overflow="fold"), box=box.SIMPLE_HEAD)
    for name, value in (*_machine_rows(diagnosis), *_software_rows(diagnosis)):
        table.add_row(name, Text(value))
    return table


def _feature_table(diagnosis: Diagnosis) -> Table:
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(Column("feature", no_wrap=True), Column("for", overflow="fold"), "state", box=box.SIMPLE_HEAD)
    for feature in diagnosis.features:
        state = Text("ready", style="green") if feature.ready else Text("missing", style="yellow")
        table.add_row(feature.name, feature.title, state)
    return table


def _print_needs(diagnosis: Diagnosis, console: Console) -> None:
    """Print what is missing, each thing once, and below it what mends it: unbroken, so that it can be copied."""
    from rich.text import Text

    features: dict[Need, list[str]] = {}
    for feature in diagnosis.features:
        for need in feature.missing:
            features.setdefault(need, []).append(feature.name)
    for need, names in features.items():
        console.print(Text(f"{', '.join(names)}: {need.what}"), soft_wrap=True)
        console.print(Text(f"    -> {need.remedy}", style="bold"), soft_wrap=True)


def _machine_rows(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    board, room = diagnosis.board, diagnosis.resources
    yield (
        "machine",
        f"{board.model or board.cpu}, {board.architecture}" + (", in a container" if board.in_container else ""),
    )
    yield "system", board.system
    if board.is_jetson:
        yield "JetPack", f"{board.jetpack or 'unknown'} (L4T {board.l4t or 'unknown'})"
        yield "power mode", board.power_mode or "unknown"
    if board.clocks is not None:
        yield "CPU clocks", board.clocks
    yield "memory", f"{_gib(room.memory_available_bytes)} of {_gib(room.memory_total_bytes)} available"
    yield "disk", f"{_gib(room.disk_free_bytes)} free in this folder"
    cameras = [
        f"{camera.device} {camera.name or ''}".strip() + ("" if camera.readable else " (may not be opened)")
        for camera in diagnosis.cameras
    ]
    yield "cameras", "\n".join(cameras) or "none"


def _software_rows(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    python, packages, cuda = diagnosis.python, diagnosis.packages, diagnosis.cuda
    yield "googlenet-edge", diagnosis.package_version
    kind = "no virtual environment"
    if python.in_venv:
        kind = f"virtual environment {'with' if python.system_site_packages else 'without'} the system's packages"
    yield "Python", f"{'.'.join(map(str, python.version))} ({kind}: {python.prefix})"
    ffmpeg = f"FFmpeg {_yes(packages['cv2'].details.get('FFMPEG'))}"
    yield "OpenCV", _package(packages["cv2"], f"{_origin(packages['cv2'])}; {ffmpeg}")
    yield "PyAV", _package(packages["av"], "")
    yield "GStreamer", _gstreamer(diagnosis.gstreamer)
    providers = packages["onnxruntime"].details.get("providers")
    yield "ONNX Runtime", _package(packages["onnxruntime"], ", ".join(providers) if isinstance(providers, list) else "")
    for name, title in (("tensorrt", "TensorRT"), ("tensorrt_rtx", "TensorRT-RTX")):
        yield (
            title,
            _package(packages[name], "" if packages[name].details.get("builder") else "has no Builder: not TensorRT"),
        )
    if cuda.version is None:
        yield "CUDA driver", f"none: {cuda.error}"
    else:
        devices = [f"{d.name}, {d.compute_capability}, {_gib(d.memory_bytes)}" for d in cuda.devices]
        yield "CUDA driver", "\n".join([f"CUDA {cuda.version}", *(devices or [cuda.error or "no device"])])
    others = ("numpy", "torch", "onnx", "onnxsim", "onnxscript", "safetensors", "pycuda.driver", "cuda.bindings.driver")
    for name in others:
        yield name.partition(".driver")[0], _package(packages[name], "")


def _package(found: Package, more: str) -> str:
    if not found.installed:
        return "not installed" + (f" here; the system's Python has it in {found.hidden}" if found.hidden else "")
    if found.error is not None:
        return f"{found.version or 'installed'}, but fails: {found.error}"
    return (found.version or "unknown version") + (f" ({more})" if more else "")


def _gstreamer(found: GStreamer) -> str:
    if found.launch is None:
        return "not installed"
    missing = [name for name, there in found.elements.items() if there is False]
    return found.launch + (f" (without {', '.join(missing)})" if missing else "")


def _origin(found: Package) -> str:
    """Where OpenCV came from, as far as its place tells."""
    if found.distributions:
        return "PyPI's " + " and ".join(found.distributions)
    return f"the system's, {found.path}"


def _yes(value: object) -> str:
    return "yes" if str(value).startswith("YES") else "no"


def _gib(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"
