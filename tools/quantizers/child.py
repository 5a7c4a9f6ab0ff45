"""What every script that runs in a process of its own has in common: its job, its clock and the report it leaves."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

__all__ = ["Job", "head_nodes", "main", "peak_bytes"]

_NO_MEMORY = ("bad_alloc", "failed to allocate memory", "cannot allocate memory", "unable to allocate")


@dataclass
class Job:
    """What is asked of the process, as its parent wrote it into a JSON file."""

    graph: Path
    """The float32 graph."""
    crops: Path
    """.npy, uint8 (K, H, W, 3), BGR: the calibration images as the graph takes them."""
    model: Path
    """Where the quantized graph goes."""
    report: Path
    """Where the report goes."""
    options: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever else the report should say."""
    _began: float = field(default_factory=time.monotonic)

    def images(self) -> npt.NDArray[np.uint8]:
        """Return all calibration images, uint8 (K, H, W, 3); they are read from the file when they are touched."""
        return cast("npt.NDArray[np.uint8]", np.load(self.crops, mmap_mode="r"))

    def start(self) -> None:
        """Start the clock: everything is imported, the work begins."""
        self._began = time.monotonic()

    def mark(self, name: str) -> None:
        """Note the seconds from the start until now."""
        self.seconds[name] = time.monotonic() - self._began


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far.

    Of this program alone: ru_maxrss would also count what the parent had at the moment it started this process.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main(work: Callable[[Job], None], packages: Sequence[str]) -> None:
    """Do the job that the command line names, and write its report, whatever happens."""
    text = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    graph, crops, model, report = (Path(text[name]) for name in ("graph", "crops", "model", "report"))
    job = Job(graph, crops, model, report, text["options"])
    status, error = "ok", None
    try:
        work(job)
        job.mark("total")
    except MemoryError as problem:
        status, error = "out of memory", str(problem) or "MemoryError"
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - a peer may fail in any way; it is its result
        traceback.print_exc()
        error = f"{type(problem).__name__}: {problem}"
        status = "out of memory" if any(words in error.lower() for words in _NO_MEMORY) else "error"
    said = {
        "status": status,
        "error": error,
        "seconds": job.seconds,
        "peak_bytes": peak_bytes(),
        "versions": {name: version for name in packages if (version := _version(name))},
        "details": job.details,
    }
    partial = job.report.with_suffix(".partial")
    partial.write_text(json.dumps(said, indent=1), encoding="utf-8")
    partial.replace(job.report)
    sys.stdout.flush()
    sys.stderr.flush()
    # Some libraries hang or crash while they are torn down; the report is written, so nothing is lost.
    os._exit(0 if status == "ok" else 1)


def head_nodes(model: Any) -> list[str]:
    """Return the names of the nodes before the first convolution: those that turn pixels into numbers around 0."""
    names = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            break
        names.append(node.name)
    return names


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
