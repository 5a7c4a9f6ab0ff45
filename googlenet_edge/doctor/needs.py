"""What a feature can lack, each with the command that mends it on the machine at hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from googlenet_edge.doctor.facts import Need
from googlenet_edge.doctor.software import CSI_ELEMENTS, PIPELINE_ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from googlenet_edge.doctor.facts import Diagnosis, Package

__all__ = [
    "camera",
    "csi_elements",
    "cuda_bindings",
    "cuda_device",
    "gstreamer",
    "host_package",
    "opencv",
    "package",
    "pyav",
    "pycuda",
    "steady_clocks",
    "tensorrt",
    "tensorrt_rtx",
]

OLDEST_TENSORRT = (10, 3)
SEE_SYSTEM_PACKAGES = "python3 -m venv --system-site-packages .venv"
JETPACK = "sudo apt install nvidia-jetpack"

GSTREAMER = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
"""Debian's packages for pipelines."""

SYSTEM_LIBRARIES = {"libGL.so": "libgl1", "libgthread": "libglib2.0-0", "libglib": "libglib2.0-0", "libSM": "libsm6"}
"""Debian's packages for libraries that PyPI's OpenCV expects of the system."""


def package(found: Package, install: str) -> Iterator[Need]:
    """A package that can be imported; ``install`` is the command for when it is not there at all."""
    shown = found.name.removesuffix(".driver")
    if not found.installed:
        yield Need(f"{shown} is not installed", install)
    elif found.error is not None:
        name = next(iter(found.distributions), found.name.partition(".")[0])
        library = next((deb for library, deb in SYSTEM_LIBRARIES.items() if library in found.error), None)
        remedy = f"sudo apt install {library}" if library else f"pip install --force-reinstall {name}"
        yield Need(f"{shown} is installed but fails: {found.error}", remedy)


def host_package(diagnosis: Diagnosis, name: str) -> Iterator[Need]:
    """A package that only the export needs, which is better done on a workstation than on a board."""
    install = "pip install '.[export]'"
    if diagnosis.board.is_jetson:
        install = f"export on a workstation and copy the bundle; or here: {install}"
    yield from package(diagnosis.packages[name], install)


def opencv(diagnosis: Diagnosis) -> Iterator[Need]:
    """OpenCV, on a Jetson JetPack's own."""
    found, jetson = diagnosis.packages["cv2"], diagnosis.board.is_jetson
    if not found.installed and jetson:
        yield _from_jetpack(diagnosis, found, "OpenCV (cv2) is not installed")
    elif found.error and jetson and "numpy" in found.error and _numbers(diagnosis.packages["numpy"].version) >= (2,):
        yield Need(f"JetPack's OpenCV was built for numpy 1: {found.error}", "pip install 'numpy<2'")
    else:
        yield from package(found, "pip install '.[cpu]'")


def gstreamer(diagnosis: Diagnosis) -> Iterator[Need]:
    """GStreamer's own programs and elements; OpenCV need not be built with it."""
    found = diagnosis.gstreamer
    if found.launch is None:
        yield Need("gst-launch-1.0 is not installed", f"sudo apt install {GSTREAMER}")
        return
    missing = [name for name in PIPELINE_ELEMENTS if found.elements.get(name) is False]
    if missing:
        yield Need(f"GStreamer has no {' and no '.join(missing)}", f"sudo apt install {GSTREAMER}")


def csi_elements(diagnosis: Diagnosis) -> Iterator[Need]:
    """The elements that read a Jetson's CSI cameras."""
    if not diagnosis.board.is_jetson:
        yield Need("CSI cameras are read on Jetson boards only", "use a USB or network camera on this machine")
        return
    missing = [name for name in CSI_ELEMENTS if diagnosis.gstreamer.elements.get(name) is False]
    if missing:
        share = "; in a container: docker run --runtime nvidia -v /tmp/argus_socket:/tmp/argus_socket"
        yield Need(
            f"GStreamer has no {' and no '.join(missing)}, which come with JetPack",
            f"sudo apt install nvidia-l4t-gstreamer{share if diagnosis.board.in_container else ''}",
        )


def pyav(diagnosis: Diagnosis) -> Iterator[Need]:
    """PyAV, which reads network streams with an FFmpeg of its own."""
    # On a Jetson the extra [cpu] would bring PyPI's OpenCV too; av alone has a wheel for its processor.
    install = "pip install av" if diagnosis.board.is_jetson else "pip install '.[cpu]'"
    yield from package(diagnosis.packages["av"], install)


def tensorrt(diagnosis: Diagnosis) -> Iterator[Need]:
    """TensorRT 10.3 or newer; off a Jetson, TensorRT-RTX does as well."""
    found, rtx, jetson = diagnosis.packages["tensorrt"], diagnosis.packages["tensorrt_rtx"], diagnosis.board.is_jetson
    if not jetson and rtx.works and rtx.details.get("builder"):
        return
    if jetson and diagnosis.board.l4t is not None and _numbers(diagnosis.board.l4t) < (36, 4):
        yield Need(
            f"L4T {diagnosis.board.l4t} (JetPack {diagnosis.board.jetpack or '?'}) has a TensorRT older than 10.3",
            "flash JetPack 6.1 or newer",
        )
    elif found.works and found.details.get("builder"):
        if _numbers(found.version) < OLDEST_TENSORRT:
            remedy = JETPACK if jetson else "pip install --upgrade 'tensorrt>=10.3'"
            yield Need(f"TensorRT {found.version} is older than 10.3", remedy)
    elif found.works:
        yield Need(
            f"tensorrt can be imported from {found.path or 'a folder without code'} but has no Builder: type stubs or "
            f"leftovers, not TensorRT",
            "pip uninstall " + (" ".join(found.distributions) or "tensorrt tensorrt-stubs"),
        )
    elif jetson and (not found.installed or found.hidden):
        yield _from_jetpack(diagnosis, found, found.error or "tensorrt is not installed")
    else:
        yield from package(found, "pip install '.[tensorrt]'")


def tensorrt_rtx(diagnosis: Diagnosis) -> Iterator[Need]:
    """TensorRT-RTX, whose builder runs without a GPU."""
    found = diagnosis.packages["tensorrt_rtx"]
    if diagnosis.board.architecture not in ("x86_64", "AMD64"):
        yield Need(
            f"TensorRT-RTX is made for x86-64, this machine is {diagnosis.board.architecture}",
            "build engines on the device itself with TensorRT, or for GeForce cards on an x86-64 machine",
        )
    elif found.works and not found.details.get("builder"):
        yield Need(
            "tensorrt_rtx has no Builder: leftovers, not TensorRT-RTX", "pip install --force-reinstall tensorrt-rtx"
        )
    else:
        yield from package(found, "pip install '.[rtx]'")


def pycuda(diagnosis: Diagnosis) -> Iterator[Need]:
    """PyCUDA, which is compiled on installation."""
    found = diagnosis.packages["pycuda.driver"]
    if found.error and "libcuda.so" in found.error and diagnosis.cuda.version is None:
        return  # the missing driver is named on its own
    extra = "jetson" if diagnosis.board.is_jetson else "tensorrt"
    toolkit = f"{JETPACK} && " if diagnosis.board.is_jetson else ""
    # pip compiles it, with nvcc of the CUDA toolkit, which the toolkit's own packages do not put on the path.
    yield from package(found, f"{toolkit}PATH=/usr/local/cuda/bin:$PATH pip install '.[{extra}]'")


def cuda_device(diagnosis: Diagnosis) -> Iterator[Need]:
    """A CUDA driver with a GPU."""
    cuda, board = diagnosis.cuda, diagnosis.board
    if cuda.devices:
        return
    what = "no CUDA driver" if cuda.version is None else f"the CUDA driver ({cuda.version}) finds no GPU"
    what = f"{what}: {cuda.error}" if cuda.error else what
    if board.nvidia_gpu_on_pci is False and not board.is_jetson:
        yield Need(f"{what}; this machine has no NVIDIA card", "use a machine with an NVIDIA GPU")
    elif board.in_container:
        share = "--runtime nvidia" if board.is_jetson else "--gpus all"
        yield Need(what, f"start the container with: docker run {share}")
    elif board.is_jetson:
        yield Need(what, "sudo apt install --reinstall nvidia-l4t-cuda")
    elif cuda.version is None:
        yield Need(what, "sudo apt install nvidia-driver   (Ubuntu: sudo ubuntu-drivers install)")
    else:
        yield Need(what, "nvidia-smi shows why; after an update of the driver: sudo reboot")


def cuda_bindings(diagnosis: Diagnosis) -> Iterator[Need]:
    """NVIDIA's own Python bindings, of the driver's CUDA major version or an older one."""
    found, cuda = diagnosis.packages["cuda.bindings.driver"], diagnosis.cuda
    major = _numbers(cuda.version)[:1]
    install = f"pip install 'cuda-bindings=={major[0]}.*'" if major else "pip install '.[graphs]'"
    if found.works and major and _numbers(found.version)[:1] > major:
        yield Need(f"cuda-bindings {found.version} are newer than the driver's CUDA {cuda.version}", install)
    else:
        yield from package(found, install)


def camera(diagnosis: Diagnosis) -> Iterator[Need]:
    """A video device that may be opened."""
    if not diagnosis.cameras:
        csi = "; a CSI camera is switched on with: sudo /opt/nvidia/jetson-io/jetson-io.py"
        yield Need("no camera at /dev/video*", f"connect one{csi if diagnosis.board.is_jetson else ''}")
    elif not any(found.readable for found in diagnosis.cameras):
        yield Need(
            f"{diagnosis.cameras[0].device} may not be opened by this user",
            "sudo usermod -aG video $USER, then log in again",
        )


def steady_clocks(diagnosis: Diagnosis) -> Iterator[Need]:
    """Clocks that do not follow the load, without which latencies vary."""
    board = diagnosis.board
    if board.clocks is None or board.clocks_locked:
        return
    if board.is_jetson:
        mode = board.power_mode or "unknown"
        number = "N" if board.fastest_mode is None else board.fastest_mode
        which = "   (N of the fastest mode: grep POWER_MODEL /etc/nvpmodel.conf)" if board.fastest_mode is None else ""
        yield Need(
            f"the clocks follow the load ({board.clocks}; power mode {mode})",
            f"sudo nvpmodel -m {number} && sudo jetson_clocks{which}",
        )
    elif "governor" in board.clocks and "governor performance" not in board.clocks:
        yield Need(f"the clocks follow the load ({board.clocks})", "sudo cpupower frequency-set -g performance")


def _from_jetpack(diagnosis: Diagnosis, found: Package, what: str) -> Need:
    """What to do about a package that must come from JetPack, and may be there already, out of sight."""
    if found.hidden is None:
        return Need(what, JETPACK)
    python = diagnosis.python
    served = re.search(r"python(\d+)\.(\d+)", found.hidden)
    where = f"{what}, but the system's Python has it in {found.hidden}"
    if served and tuple(map(int, served.groups())) != python.version[:2]:
        of, mine = ".".join(served.groups()), ".".join(map(str, python.version[:2]))
        system = f"/usr/bin/python{of} -m venv --system-site-packages .venv"
        return Need(f"{where}: it is for Python {of}, this is Python {mine}", system)
    if python.in_venv and not python.system_site_packages:
        return Need(f"{where}, which this virtual environment does not look into", SEE_SYSTEM_PACKAGES)
    return Need(where, f"/usr/bin/{SEE_SYSTEM_PACKAGES}")


def _numbers(version: str | None) -> tuple[int, ...]:
    """Return a version's leading numbers: "10.3.0.30" -> (10, 3, 0, 30)."""
    match = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(map(int, match.group().split("."))) if match else ()
