"""What a process of its own does for a comparison: times whole inferences of a bundle, and then each layer."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from googlenet_edge.scenarios.matrix.jobs import LayersJob, LayersTimed, Phase
from googlenet_edge.scenarios.matrix.work import OPENING_S, SPARE_S, Say

__all__ = ["time_layers"]

_SLOWER = 10
"""So many times as long as the first inference, or the median of whole ones, each may take before it seems to hang."""


def time_layers(job: LayersJob, say: Say) -> LayersTimed:
    """Open the bundle and time whole inferences without the layers' profiler; then once more, with it.

    Raises what opening and computing raise, and :class:`InputError` for a batch that is too large.
    """
    from googlenet_edge.bundle import Bundle
    from googlenet_edge.runtime.layer_profile import measure_layers, measure_whole, open_profiled
    from googlenet_edge.runtime.open_backend import open_backend

    tempfile.tempdir = str(job.scratch)  # of this process, which does nothing else
    config = job.config

    def limit_s(inference_ns: int) -> float:
        return SPARE_S + _SLOWER * inference_ns * (config.warmup + config.inferences) / 1e9

    say(Phase("opening the bundle", OPENING_S))
    bundle = Bundle.open(job.bundle)
    opened = open_backend(bundle, job.options)
    with opened.backend as backend:
        say(Phase("the first inference", SPARE_S))
        first_ns = measure_whole(backend, bundle, replace(config, inferences=1, warmup=0))
        say(Phase("timing whole inferences", limit_s(first_ns)))
        whole_ns, described = measure_whole(backend, bundle, config), backend.describe()
    say(Phase("opening it with the layers' profiler", OPENING_S))
    profiling = replace(job.options, trt=replace(job.options.trt, profile_layers=True))
    with open_profiled(open_backend(bundle, profiling).backend, bundle) as profiled:
        say(Phase("timing layers", limit_s(max(first_ns, whole_ns))))
        report = measure_layers(profiled, bundle, config)
        return LayersTimed(
            whole_ns=whole_ns, report=report, line=opened.line, backend=described, profiled=profiled.describe()
        )
