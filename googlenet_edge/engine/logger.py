"""TensorRT's log, as one owner for the whole process: TensorRT listens to the first logger that it is given only.

Later loggers are ignored (RTX 1.7.1 with a warning), so builder, parser and runtime all take :func:`process_logger`.
It hands each message to :mod:`logging` and, while a :func:`collect` block is open, to the collector too.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tensorrt_rtx as trt

    from googlenet_edge.engine.flavour import Flavour

__all__ = ["TensorRTLog", "collect", "process_logger"]

logger = logging.getLogger("googlenet_edge.engine.tensorrt")

WARNING, INFO = 2, 3
"""Of ILogger.Severity: INTERNAL_ERROR 0, ERROR 1, WARNING 2, INFO 3, VERBOSE 4."""
LEVELS = {0: logging.ERROR, 1: logging.ERROR, WARNING: logging.WARNING, INFO: logging.INFO}

# The one exception to "no mutable globals", because TensorRT's own logger is one: it lives as long as the process.
_loggers: dict[int, trt.ILogger] = {}
_collectors: list[TensorRTLog] = []
_lock = threading.Lock()


@dataclass(eq=False)
class TensorRTLog:
    """What TensorRT said while a :func:`collect` block was open."""

    verbose: bool
    """Whether all lines are kept, not only warnings and errors."""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Everything, in order; empty unless ``verbose``."""


def process_logger(flavour: Flavour) -> trt.ILogger:
    """Return the process's logger for this TensorRT: made at the first call, the same one ever after."""
    with _lock:
        key = id(flavour.api)
        if key not in _loggers:
            _loggers[key] = _make_logger(flavour)
        return _loggers[key]


@contextmanager
def collect(*, verbose: bool = False) -> Iterator[TensorRTLog]:
    """Collect what TensorRT says, in any thread, until the block ends.

    Errors and warnings are then for the caller to tell: they are logged as information, so that a user reads an error
    once, and is spared the hundred warnings that RTX 1.7.1 has for the scales of an INT8 graph.
    """
    log = TensorRTLog(verbose)
    with _lock:
        _collectors.append(log)
    try:
        yield log
    finally:
        with _lock:
            _collectors.remove(log)


def _make_logger(flavour: Flavour) -> trt.ILogger:
    if TYPE_CHECKING:
        from tensorrt_rtx import ILogger as Base
    else:
        Base = flavour.api.ILogger  # noqa: N806 - a class

    class ProcessLogger(Base):
        """Called by TensorRT from any of its threads."""

        def __init__(self) -> None:
            Base.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            _take(int(severity), msg)

    return ProcessLogger()


def _take(severity: int, message: str) -> None:
    collectors = tuple(_collectors)
    for log in collectors:
        if severity < WARNING:
            log.errors.append(message)
        elif severity == WARNING:
            log.warnings.append(message)
        if log.verbose:
            log.lines.append(message)
    level = LEVELS.get(severity, logging.DEBUG)
    if collectors:
        level = min(level, logging.INFO)
    logger.log(level, "%s", message)
