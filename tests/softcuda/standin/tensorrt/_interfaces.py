"""What a caller derives from: loggers, profilers, progress monitors."""

from __future__ import annotations

import sys
from typing import TypeAlias

from ._enums import Severity as _Severity


class ILogger:
    """Takes TensorRT's messages."""

    Severity: TypeAlias = _Severity
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = _Severity

    def log(self, severity: _Severity, msg: str) -> None:
        raise NotImplementedError


class Logger(ILogger):
    """Writes them to standard error."""

    def __init__(self, min_severity: _Severity = _Severity.WARNING) -> None:
        self.min_severity = min_severity

    def log(self, severity: _Severity, msg: str) -> None:
        if severity <= self.min_severity:
            sys.stderr.write(f"[TRT] [{severity.name[0]}] {msg}\n")


class IProfiler:
    """Takes the time of each layer."""

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class IProgressMonitor:
    """Is told how far a build is, and may end it."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError


def say(logger: ILogger, text: str) -> None:
    """Log what is being done."""
    logger.log(_Severity.INFO, text)


def say_error(logger: ILogger, text: str) -> None:
    """Log an error."""
    logger.log(_Severity.ERROR, text)
