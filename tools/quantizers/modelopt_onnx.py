"""NVIDIA ModelOpt's ONNX PTQ, which places Q/DQ pairs for TensorRT by itself.

``high_precision_dtype`` is what the rest of the graph computes in: its default is float16, and float32 is what the
other tools deliver. Calibration is told to run on the CPU, the first choice of its own default.
"""

from __future__ import annotations

import importlib
from typing import Any

from .child import Job, main


def quantize(job: Job) -> None:
    """Quantize; the table is ready when its calibrator has computed the ranges."""
    library: Any = importlib.import_module("modelopt.onnx.quantization")
    patching: Any = importlib.import_module("modelopt.onnx.quantization.ort_patching")
    quantizer = patching.QDQQuantizer

    def note_and_make(*arguments: Any, **settings: Any) -> Any:
        # The first thing that happens when all ranges are there.
        job.mark("table")
        return quantizer(*arguments, **settings)

    patching.QDQQuantizer = note_and_make
    job.start()
    library.quantize(
        str(job.graph),
        quantize_mode="int8",
        calibration_data=job.images(),
        calibration_eps=["cpu"],
        output_path=str(job.model),
        log_level="INFO",
        **job.options,
    )


if __name__ == "__main__":
    main(quantize, ["nvidia-modelopt", "onnxruntime-gpu", "onnxruntime", "onnx", "torch", "numpy"])
