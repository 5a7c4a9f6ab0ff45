"""What to tell a user of a build that gave no plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from googlenet_edge.engine.parse import clean_message
from googlenet_edge.engine.rules import broken_rule
from googlenet_edge.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from googlenet_edge.engine.flavour import Flavour
    from googlenet_edge.engine.options import BuildOptions

__all__ = ["build_failure"]

NO_GPU = r"cudaError (35|100)\b|driver version is insufficient|no CUDA-capable device|CUDA initialization failure"
NO_MEMORY = r"out of memory|OutOfMemory|cudaError 2\b|insufficient memory|MEM_ALLOC_FAILED"
NO_TACTIC = r"[Cc]ould not find any implementation"


def build_failure(flavour: Flavour, options: BuildOptions, errors: Sequence[str]) -> EngineError:
    """Return the exception for what TensorRT logged: each error once, and what to do where that is known."""
    messages = [message for message in dict.fromkeys(clean_message(error) for error in errors) if message]
    advice = _advice(flavour, options, "\n".join(errors))
    rules = [rule for rule in dict.fromkeys(broken_rule(message) for message in messages) if rule]
    told = "; ".join(messages) or "it gave no reason (run with -v for its log)"
    ends = "".join(f"; {end}" for end in (*advice, *(f"rule: {rule}" for rule in rules)))
    return EngineError(f"{flavour.title} made no engine: {told}{ends}")


def _advice(flavour: Flavour, options: BuildOptions, said: str) -> list[str]:
    advice = []
    if re.search(NO_GPU, said):
        if not flavour.has_targets:
            advice.append("it builds only on the device that the engine is for, and finds no NVIDIA GPU here")
        elif not options.targets:
            advice.append("there is no NVIDIA GPU here to build for: name targets, as in --target rtx30 --target sm89")
    if re.search(NO_MEMORY, said):
        advice.append("give a smaller --workspace, a smaller --max-batch, or close other programs")
    if re.search(NO_TACTIC, said) and options.workspace_bytes is not None:
        advice.append("a larger --workspace lets it use more tactics")
    return advice
