"""Parses a graph and builds a strongly typed TensorRT-RTX engine of it, dynamic batch; no GPU needed."""

from __future__ import annotations

import importlib
import warnings
from collections import Counter
from typing import Any

from .child import Job, main


def build(job: Job) -> None:
    """Build ``job.model``; what the parser says against it, or the size of the plan, goes into the report."""
    trt: Any = importlib.import_module("tensorrt_rtx")
    target, batches = job.options["target"], job.options["batches"]
    job.details.update(target=target, batches=batches, parsed=False, built=False)
    messages: list[str] = []
    warned: Counter[str] = Counter()

    class Logger(trt.ILogger):  # type: ignore[misc]  # ships no types
        """Keeps what the builder says, which returns nothing but None when it fails."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                messages.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                warned[message] += 1

    logger = Logger()
    job.start()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(job.model.read_bytes()):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        said = "; ".join(f"{error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors)
        raise RuntimeError(f"the parser refuses it: {said or messages}")
    # Such as: uint8 is read as int8, which clips what is above half the range.
    job.details.update(parsed=True, warnings=dict(warned))
    job.mark("parse")
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
    image = network.get_input(0)
    profile = builder.create_optimization_profile()
    profile.set_shape(image.name, *((batch, *image.shape[1:]) for batch in batches))
    config.add_optimization_profile(profile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise RuntimeError(f"the builder fails: {'; '.join(messages) or 'it does not say why'}")
    job.details.update(built=True, plan_bytes=int(plan.nbytes))


if __name__ == "__main__":
    main(build, ["tensorrt_rtx"])
