"""ONNX Runtime's ``quantize_static``, with the settings that its documentation asks for TensorRT.

Symmetric int8 activations and weights, weights per channel, biases left in float (``QuantizeBias``), Q/DQ format.
``placement`` is

- ``"default"``: every operator that the tool can quantize, inputs and outputs, as it does when told nothing. Its
  documentation has float32 images in mind, so the nodes that turn uint8 pixels into them are left out: their large
  numbers rounded to 8 bits would cost more than everything else together.
- ``"tensorrt"``: convolutions only and only their inputs (``OpTypesToExcludeOutputQuantization``), each with a pair of
  its own (``DedicatedQDQPair``); the head, the average pool, the last layer and the softmax stay in float.

``bins`` and ``stride`` are what an expert would change. 128 bins for 128 levels, the default for entropy, leave it
nothing to search; ``num_bins`` is no option of ``quantize_static`` but of the calibrator that it makes, whose result
can be handed over as a calibration cache. And without a stride it holds every tensor of every image at once.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from .child import Job, head_nodes, main


class Reader:
    """Hands the images over one at a time, as the calibrator wants them."""

    def __init__(self, images: Any, name: str) -> None:
        self._images, self._name = images, name
        self._next, self._end = 0, len(images)

    def __len__(self) -> int:
        return len(self._images)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Deliver only these images from now on."""
        self._next, self._end = start_index, end_index

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image as a batch of one, or None."""
        if self._next >= self._end:
            return None
        self._next += 1
        return {self._name: self._images[self._next - 1 : self._next]}


def quantize(job: Job) -> None:
    """Calibrate and quantize as ``quantize_static`` does, the two steps timed apart."""
    onnx = importlib.import_module("onnx")
    quantization = importlib.import_module("onnxruntime.quantization")
    calibrate = importlib.import_module("onnxruntime.quantization.calibrate")
    method = quantization.CalibrationMethod[job.options["method"]]
    names = {"bins": "num_bins", "levels": "num_quantized_bins"}
    calibrator_options = {name: job.options[key] for key, name in names.items() if key in job.options}
    job.start()
    model = onnx.load(job.graph)
    extra: dict[str, Any] = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    settings: dict[str, Any] = {"nodes_to_exclude": head_nodes(model)}
    op_types = None
    if job.options["placement"] == "tensorrt":
        settings["op_types_to_quantize"] = op_types = ["Conv"]
        extra |= {"OpTypesToExcludeOutputQuantization": ["Conv"], "DedicatedQDQPair": True}
    else:
        registry = importlib.import_module("onnxruntime.quantization.registry")
        op_types = [*{*registry.QLinearOpsRegistry, *registry.QDQRegistry}]  # as quantize_static fills it in
    with tempfile.TemporaryDirectory() as folder:
        calibrator = calibrate.create_calibrator(
            job.graph,
            op_types,
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=method,
            extra_options=calibrator_options,
        )
        reader = Reader(job.images(), model.graph.input[0].name)
        stride = job.options.get("stride") or len(reader)
        for start in range(0, len(reader), stride):
            reader.set_range(start, min(start + stride, len(reader)))
            calibrator.collect_data(reader)
        ranges = calibrator.compute_data()
        job.mark("table")
        del calibrator
        cache = Path(folder, "cache.json")
        calibrate.save_tensors_data(ranges, cache)
        quantization.quantize_static(
            job.graph,
            job.model,
            None,
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=method,
            extra_options=extra,
            calibration_cache_path=cache,
            **settings,
        )


if __name__ == "__main__":
    main(quantize, ["onnxruntime", "onnx", "numpy"])
