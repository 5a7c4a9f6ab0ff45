"""NNCF's post-training quantization of an ONNX graph.

Its activations are uint8 after a ReLU, and no preset, target device or advanced parameter makes them int8
(``signedness_to_force`` is refused for every device). TensorRT's parser reads uint8 with zero point 0 as int8 and only
warns: the upper half of the range would be clipped. So its rows show how good its graphs are, without a rank.
``preset`` and ``fast_bias_correction`` are its own options.
"""

from __future__ import annotations

import importlib
from typing import Any

from .child import Job, head_nodes, main


def quantize(job: Job) -> None:
    """Calibrate and quantize in one: it does not say when its ranges are known."""
    onnx: Any = importlib.import_module("onnx")
    nncf: Any = importlib.import_module("nncf")
    settings = dict(job.options)
    if "preset" in settings:
        settings["preset"] = nncf.QuantizationPreset[settings["preset"]]
    job.start()
    model = onnx.load(job.graph)
    images, name = job.images(), model.graph.input[0].name

    def feed(index: int) -> dict[str, Any]:
        return {name: images[index : index + 1]}

    dataset = nncf.Dataset(range(len(images)), feed)
    # The nodes that turn uint8 pixels into numbers around 0; its documentation has float32 images in mind.
    head = nncf.IgnoredScope(names=head_nodes(model))
    quantized = nncf.quantize(model, dataset, subset_size=len(images), ignored_scope=head, **settings)
    onnx.save(quantized, job.model)


if __name__ == "__main__":
    main(quantize, ["nncf", "onnxruntime", "onnx", "openvino", "torch", "numpy"])
