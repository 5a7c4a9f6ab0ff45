"""Time per node on ONNX Runtime, from the file that its own profiler writes."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from googlenet_edge.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OrtProfile", "read_bytes", "read_profile"]

_SUFFIX: Final = "_kernel_time"
_NS_PER_US: Final = 1000
_SIZES: Final = ("activation_size", "parameter_size", "output_size")
_PRODUCTS: Final = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul")
_ELEMENT_BYTES: Final = {"float": 4, "float16": 2}


class OrtProfile:
    """Switches a session's profiler on and reads what it wrote; removes its files when closed."""

    def __init__(self) -> None:
        # Also when a disk is full, a message of ours says so.
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="googlenet-edge-")
        except OSError as error:
            raise BackendError(
                f"profile: no temporary folder can be made: {error.strerror}; make room, or set TMPDIR"
            ) from error
        self._times: tuple[tuple[str, tuple[int, ...]], ...] | None = None
        self.layer_bytes: dict[str, int] = {}
        """Once it was read: what each node reads and writes in one run; see :func:`read_bytes`."""
        self.runs = 0
        """Inferences so far."""
        self._left_out = 0

    def switch_on(self, options: Any) -> None:
        """Have a session of these ``SessionOptions`` time its nodes."""
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name) / "nodes")

    def clear(self) -> None:
        """Leave out the runs so far: the warm-up."""
        self._left_out = self.runs

    def read(self, session: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """End the session's profiling, once, and return each node's durations; see :func:`read_profile`."""
        if self._times is None:
            path = Path(session.end_profiling())
            try:
                events = json.loads(path.read_bytes())
            except (OSError, ValueError) as error:
                raise BackendError(
                    f"profile {str(path)!r}: ONNX Runtime has not written it whole: {error}; "
                    "make room for some megabytes there, or set TMPDIR to another folder"
                ) from error
            self._times = read_profile(events, left_out=self._left_out, runs=self.runs)
            self.layer_bytes = read_bytes(events, runs=self.runs)
        return self._times

    def close(self) -> None:
        """Remove the files. May be called again."""
        with contextlib.suppress(OSError):  # of a folder that is gone already
            self._folder.cleanup()


def read_profile(
    events: Sequence[dict[str, Any]], *, left_out: int, runs: int
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return node names in the order of execution, each with its nanoseconds in each run but the first ``left_out``.

    ``events`` are those of ONNX Runtime's profile, in Chrome's trace event format, whose durations are whole
    microseconds. Raises :class:`BackendError` if a node was not timed in every run.
    """
    times: dict[str, list[int]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_SUFFIX):
            times.setdefault(name.removesuffix(_SUFFIX), []).append(int(event["dur"]) * _NS_PER_US)
    for name, durations in times.items():
        if len(durations) % runs:
            raise BackendError(
                f"profile: got {len(durations)} times of node {name!r} in {runs} inferences, expected one in each; "
                "measure fewer inferences"
            )
    return tuple((name, tuple(t[left_out * len(t) // runs :])) for name, t in times.items())


def read_bytes(events: Sequence[dict[str, Any]], *, runs: int) -> dict[str, int]:
    """Return what each node reads and writes in one run, bytes: inputs, weights and outputs, by its name.

    ``events`` as in :func:`read_profile`. A node whose sizes the profile does not tell, in any run, is not there.
    """
    moved: dict[str, int] = {}
    untold: set[str] = set()
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith(_SUFFIX):
            continue
        node, told = name.removesuffix(_SUFFIX), event.get("args", {})
        try:
            moved[node] = moved.get(node, 0) + sum(int(told[size]) for size in _SIZES) + _repacked_bytes(told)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            untold.add(node)
    return {node: total // runs for node, total in moved.items() if node not in untold}


def _repacked_bytes(told: dict[str, Any]) -> int:
    """Return the size of a matrix product's weights that ONNX Runtime keeps in a form of its own, and does not tell."""
    inputs = [(kind, shape) for one in told["input_type_shape"] for kind, shape in one.items()]
    matrices = [(kind, shape) for kind, shape in inputs if len(shape) > 1]
    if told.get("op_name") not in _PRODUCTS or len(matrices) != 1:
        return 0
    (kind, shape), ((_, result),) = matrices[0], told["output_type_shape"][0].items()
    return int(shape[-1]) * int(result[-1]) * _ELEMENT_BYTES[kind]
