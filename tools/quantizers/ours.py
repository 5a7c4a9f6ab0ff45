"""This package's own quantization, measured like the peers': in a process of its own, of the same graph and images."""

from __future__ import annotations

import importlib
from typing import Any

from quantizers.child import Job, main


def quantize(job: Job) -> None:
    """Quantize with the given settings of ``QuantizeConfig``; without any, the package's defaults."""
    # By name: this script is run, timed and reported like those of tools that may not be there.
    library: Any = importlib.import_module("googlenet_edge.quantization.quantize")
    store: Any = importlib.import_module("googlenet_edge.graph.store")
    job.start()
    result = library.quantize_int8(job.graph, job.images(), library.QuantizeConfig(**job.options))
    job.seconds.update({name: float(seconds) for name, seconds in result.seconds.items()})
    store.save_graph(result.model, job.model)


if __name__ == "__main__":
    main(quantize, ["googlenet-edge", "onnxruntime", "onnx", "numpy"])
