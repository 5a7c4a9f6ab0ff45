"""Who is compared, with which settings, and the environments that they run in."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ABLATIONS", "PEERS", "TOOLS", "Environment", "Peer", "find_environment", "setup", "variables"]

TOOLS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Peer:
    """One tool with one set of settings."""

    name: str
    environment: str
    """The folder with its virtual environment; ``""`` for the one that runs this."""
    module: str
    """The script, below ``quantizers``."""
    options: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    """What a reader of the table has to know."""
    ranked: bool = True


@dataclass(frozen=True)
class Environment:
    """A Python with what a peer needs."""

    python: Path
    sha256: str
    """Over the names and versions of all that is installed in it."""


_ORT_DEFAULT = "TensorRT's options; quantizes all operators, the head and biases excepted"
_ORT_TENSORRT = "TensorRT's options; the convolutions' inputs only"
_UNSIGNED = "the head excepted; uint8 activations, which TensorRT's parser takes for int8: it would clip half the range"


def _ort(name: str, method: str, placement: str, note: str, **more: Any) -> Peer:
    return Peer(name, "onnxruntime", "ort_static", {"method": method, "placement": placement, **more}, note)


def _modelopt(name: str, method: str, note: str, **more: Any) -> Peer:
    return Peer(name, "modelopt", "modelopt_onnx", {"calibration_method": method, **more}, note)


PEERS: tuple[Peer, ...] = (
    Peer("ours", "", "ours"),
    _ort("ort-minmax", "MinMax", "default", _ORT_DEFAULT),
    _ort("ort-entropy", "Entropy", "default", f"{_ORT_DEFAULT}; 128 bins, its default"),
    _ort("ort-percentile", "Percentile", "default", f"{_ORT_DEFAULT}; 99.999 %, its default"),
    _ort("ort-minmax-trt", "MinMax", "tensorrt", _ORT_TENSORRT),
    _ort("ort-entropy-trt", "Entropy", "tensorrt", f"{_ORT_TENSORRT}; 128 bins, its default"),
    _ort("ort-percentile-trt", "Percentile", "tensorrt", f"{_ORT_TENSORRT}; 99.999 %, its default"),
    _ort(
        "ort-entropy-2048-trt", "Entropy", "tensorrt", bins=2048, stride=16,
        note=f"{_ORT_TENSORRT}; 2048 bins and 16 images at a time, through its calibrator instead of quantize_static",
    ),
    _modelopt("modelopt-entropy", "entropy", "high precision float32", high_precision_dtype="fp32"),
    _modelopt("modelopt-max", "max", "high precision float32", high_precision_dtype="fp32"),
    _modelopt("modelopt-entropy-fp16", "entropy", "all its defaults: high precision float16"),
    _modelopt("modelopt-max-fp16", "max", "its defaults, and max: high precision float16"),
    Peer("nncf", "nncf", "nncf_onnx", {}, f"its defaults; {_UNSIGNED}"),
    Peer("nncf-mixed", "nncf", "nncf_onnx", {"preset": "MIXED"}, f"asymmetric; {_UNSIGNED}"),
    Peer(
        "nncf-accurate", "nncf", "nncf_onnx", {"fast_bias_correction": False},
        f"its slower bias correction; {_UNSIGNED}",
    ),
)  # fmt: skip
"""In the order of the table."""


def _without(name: str, note: str, **options: Any) -> Peer:
    return Peer(f"ours: {name}", "", "ours", options, note, ranked=False)


_PLAIN: dict[str, Any] = {
    "method": "max", "rounding": "nearest", "equalization": 0.0, "bias_correction": False, "first": "int8",
}  # fmt: skip
ABLATIONS: tuple[Peer, ...] = (
    _without("plain", "max thresholds and weight scales, nearest rounding, nothing else", **_PLAIN),
    _without("plain + mse", "plain, with MSE-optimal weight scales", **_PLAIN | {"weight_method": "mse"}),
    _without("plain + bias", "plain, with bias correction", **_PLAIN | {"bias_correction": True}),
    _without("plain + gptq", "plain, with weights rounded by second moments", **_PLAIN | {"rounding": "gptq"}),
    _without("plain + choice", "plain, with the threshold method chosen per tensor", **_PLAIN | {"method": None}),
    _without("no equalization", "all but equalization", equalization=0.0),
    _without("no gptq", "all but second-moment rounding", rounding="nearest"),
    _without("no choice", "all, with max for every tensor", method="max"),
    _without("no bias", "all but bias correction", bias_correction=False),
    _without("mse", "all, with MSE-optimal weight scales", weight_method="mse"),
)
"""Ours with one of its options on, or one off: what each gains. They have no rank."""


def find_environment(peer: Peer, folder: Path) -> Environment:
    """Return the environment of a peer. Raises FileNotFoundError, with the command that makes it, if there is none."""
    python = Path(sys.executable) if not peer.environment else folder / peer.environment / "bin" / "python"
    if not python.is_file():
        raise FileNotFoundError(
            f"there is no environment {python.parents[1]}; make it with: "
            f"python tools/compare_quantizers.py --setup {peer.environment}"
        )
    listing = (
        "import importlib.metadata as m, json; "
        "print(json.dumps(sorted({(d.name or '').lower() + '==' + d.version for d in m.distributions()})))"
    )
    found = subprocess.run([python, "-I", "-c", listing], check=True, capture_output=True, text=True).stdout
    return Environment(python, hashlib.sha256(json.dumps(json.loads(found)).encode()).hexdigest())


def setup(name: str, folder: Path) -> None:
    """Make, or complete, the environment of one tool from its pinned versions. Raises CalledProcessError."""
    target = folder / name
    python = target / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", target], check=True)
    requirements = TOOLS / "quantizers" / f"{name}.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements],
        check=True,
    )


def variables(environment: str = "") -> dict[str, str]:
    """Return the environment variables for a process: ours, and the path on which it finds its script."""
    path = [str(TOOLS)] if environment else [str(TOOLS), str(TOOLS.parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONWARNINGS": "default", "PYTHONUNBUFFERED": "1"}
