"""The host's path, from a trained checkpoint or an ONNX classifier to a bundle of any precision; every step is proved.

``start`` opens what is deployed, ``float32`` makes its graph, ``lower`` takes that to FP16 or INT8, ``judge`` computes
any of them on the CPU as a card would, ``select`` finds the layers that stay out of INT8, ``verdict`` decides, and
``run`` puts it all in order.
"""

from __future__ import annotations

from googlenet_edge.deploy.config import DEMO_CHECKPOINT, DeployConfig, HighPrecision, PrecisionConfig
from googlenet_edge.deploy.judge import golden_tolerance
from googlenet_edge.deploy.run import Deployment, deploy
from googlenet_edge.deploy.verdict import AccuracyError, Verdict

__all__ = [
    "DEMO_CHECKPOINT",
    "AccuracyError",
    "DeployConfig",
    "Deployment",
    "HighPrecision",
    "PrecisionConfig",
    "Verdict",
    "deploy",
    "golden_tolerance",
]
