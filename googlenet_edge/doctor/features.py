"""Which feature needs what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from googlenet_edge.doctor import needs
from googlenet_edge.doctor.facts import Feature, Need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from googlenet_edge.doctor.facts import Diagnosis

__all__ = ["FEATURES", "judge"]


def _classify_cpu(diagnosis: Diagnosis) -> Iterator[Need]:
    packages = diagnosis.packages
    yield from needs.package(packages["numpy"], "pip install numpy")
    yield from needs.opencv(diagnosis)
    # On a Jetson the extra [cpu] would bring PyPI's OpenCV, which hides JetPack's.
    install = "pip install onnxruntime" if diagnosis.board.is_jetson else "pip install '.[cpu]'"
    yield from needs.package(packages["onnxruntime"], install)


def _export(diagnosis: Diagnosis) -> Iterator[Need]:
    for name in ("torch", "onnx", "onnxsim", "onnxscript", "safetensors"):
        yield from needs.host_package(diagnosis, name)


def _tensorrt(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from needs.cuda_device(diagnosis)
    yield from needs.tensorrt(diagnosis)
    yield from needs.pycuda(diagnosis)


def _gstreamer(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from needs.opencv(diagnosis)
    yield from needs.gstreamer(diagnosis)


def _csi_camera(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from _gstreamer(diagnosis)
    yield from needs.csi_elements(diagnosis)
    if diagnosis.board.is_jetson:
        yield from needs.camera(diagnosis)


def _usb_camera(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from needs.opencv(diagnosis)
    yield from needs.camera(diagnosis)


def _ffmpeg(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from needs.opencv(diagnosis)
    found = diagnosis.packages["cv2"]
    if found.works and not str(found.details.get("FFMPEG", "NO")).startswith("YES"):
        yield Need(
            f"OpenCV {found.version} ({found.path}) is built without FFmpeg",
            "in a virtual environment of its own: pip install opencv-python   (it has FFmpeg, and no GStreamer)",
        )


def _network(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from needs.opencv(diagnosis)
    yield from needs.pyav(diagnosis)


def _cuda_graphs(diagnosis: Diagnosis) -> Iterator[Need]:
    yield from needs.cuda_device(diagnosis)
    yield from needs.cuda_bindings(diagnosis)


FEATURES: dict[str, tuple[str, Callable[[Diagnosis], Iterator[Need]]]] = {
    "classify-cpu": ("classify on the CPU", _classify_cpu),
    "export": ("export a checkpoint to ONNX", _export),
    "tensorrt-rtx-build": ("build TensorRT-RTX engines", needs.tensorrt_rtx),
    "tensorrt": ("run TensorRT engines", _tensorrt),
    "cuda-graphs": ("replay inferences as CUDA graphs", _cuda_graphs),
    "usb-camera": ("USB camera", _usb_camera),
    "csi-camera": ("CSI camera", _csi_camera),
    "gstreamer": ("GStreamer pipelines", _gstreamer),
    "video-files": ("video files", _ffmpeg),
    "rtsp": ("RTSP and HTTP streams", _network),
    "steady-clocks": ("latencies that can be compared", needs.steady_clocks),
}
"""Name, title and what it lacks, of each feature."""


def judge(diagnosis: Diagnosis) -> tuple[Feature, ...]:
    """Return each feature with what it lacks on the machine that was examined."""
    return tuple(Feature(name, title, tuple(lacks(diagnosis))) for name, (title, lacks) in FEATURES.items())
