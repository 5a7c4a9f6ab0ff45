"""This package's own quantization, measured like the peers': in a process of its own, of the same graph and images."""

from __future__ import annotations

import hashlib
import importlib
import tempfile
from typing import Any

from .child import Job, main


def quantize(job: Job) -> None:
    """Quantize with the given settings of ``QuantizeConfig``; without any, the package's defaults."""
    # By name: this script is run, timed and reported like those of tools that may not be there.
    library: Any = importlib.import_module("googlenet_edge.quantization.quantize")
    store: Any = importlib.import_module("googlenet_edge.graph.store")
    job.start()
    with tempfile.TemporaryFile() as file:
        images = collected(job, file)
        result = library.quantize_int8(job.graph, images, library.QuantizeConfig(**job.options))
    job.seconds.update({name: float(seconds) for name, seconds in result.seconds.items()})
    store.save_graph(result.model, job.model)


def collected(job: Job, file: Any) -> Any:
    """The crops as ``collect_images`` would hold them, had it read and cropped the images itself."""
    images: Any = importlib.import_module("googlenet_edge.quantization.images")
    summary: Any = importlib.import_module("googlenet_edge.quantization.image_summary")
    types: Any = importlib.import_module("googlenet_edge.types")
    digest, crops = hashlib.sha256(), job.images()
    for crop in crops:
        file.write(crop.tobytes())
        digest.update(crop.tobytes())
    file.flush()
    said = summary.ImageSummary(
        source=job.crops.name, asked=len(crops), near_duplicates=0, duplicates_dropped=0, grey=0, blank=0
    )
    names = tuple(f"{job.crops.name}[{index}]" for index in range(len(crops)))
    size_px = crops.shape[1]
    rule = types.CropRule(resize_px=max(256, size_px), crop_px=size_px)
    return images.CalibrationImages(file, rule, names, digest.hexdigest(), said)


if __name__ == "__main__":
    main(quantize, ["googlenet-edge", "onnxruntime", "onnx", "numpy"])
