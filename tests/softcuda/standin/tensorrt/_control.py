"""What tests set and read: how this TensorRT behaves, what lives, and what was done to it that is not allowed.

Environment variables set the beginning, for the command line in a process of its own; a test in the same process
changes ``settings``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Settings:
    """How this TensorRT behaves."""

    version: str = field(default_factory=lambda: os.environ.get("STANDIN_VERSION", "10.3.0.30"))
    """What ``__version__`` says, and what plans are for."""
    while_computing: Callable[[], object] | None = None
    """Called in the middle of each computation on the device, on the thread that runs it. It may not call CUDA."""
    build_steps: int = field(default_factory=lambda: int(os.environ.get("STANDIN_BUILD_STEPS", "3")))
    """Steps of a build, 10 ms each."""
    error: float = field(default_factory=lambda: float(os.environ.get("STANDIN_ERROR", "0")))
    """Added to every output: an engine that does not compute what its graph says."""
    refuse_enqueue: int = 0
    """The nth next ``execute_async_v3`` says no; 0 for none."""


settings = Settings()

live: Counter[str] = Counter()
"""How many objects of each class of this module live: those that hold memory on the device or belong to it."""

calls: Counter[str] = Counter()
"""How often something was done: ``"build"``, ``"deserialize"``, ``"enqueue"``, ``"capture"``, ``"compute"``."""

misuses: list[str] = []
"""What TensorRT would have punished with wrong results or a crash, and could not refuse."""


def misuse(what: str) -> None:
    """Note a misuse."""
    misuses.append(what)
