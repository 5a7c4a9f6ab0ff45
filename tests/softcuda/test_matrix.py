"""A matrix on the GPU: engines for its batch sizes, batches that overlap, and two backends side by side."""

from __future__ import annotations

import json
from pathlib import Path

from googlenet_edge.cli.main import main

QUICK = ["--threads", "1", "--size", "64x48", "--frame-count", "3", "--rounds", "2", "--min-duration", "0.05"]


def test_both_backends_are_measured_and_the_gpu_with_overlapped_batches_too(tiny_bundle: Path, tmp_path: Path) -> None:
    place = tmp_path / "matrix.json"
    arguments = ["--backend", "tensorrt,onnxruntime", "--batch", "1,2", "--no-power", "--json", str(place)]
    arguments += ["--cache", str(tmp_path / "cache")]
    assert main(["bench", str(tiny_bundle), *QUICK, *arguments]) == 0
    settings = json.loads(place.read_text())["settings"]
    assert [(one["backend"], one["batch"]) for one in settings] == [
        *[("tensorrt", 1), ("tensorrt", 2)],
        *[("onnxruntime", 1), ("onnxruntime", 2)],
    ]
    for one in settings:
        gpu = one["backend"] == "tensorrt"
        assert one["failure"] is None
        assert one["classifier"]["backend"] == one["backend"]
        assert (one["overlapped_frames_per_second"] is not None) == gpu
        assert ("Software CUDA device" in one["computed_by"]) == gpu
    assert list((tmp_path / "cache").rglob("*.plan")), "built in the first round, used in the second"
