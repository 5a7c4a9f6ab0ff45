"""The measured peak is one that the machine has: checked against numpy on the same machine, and on a made-up clock."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import onnxruntime
import pytest

from googlenet_edge.errors import MissingPackageError
from googlenet_edge.runtime import machine_peak
from googlenet_edge.runtime.machine_peak import measure_peak


def test_the_graph_that_is_written_by_hand_multiplies() -> None:
    session = onnxruntime.InferenceSession(machine_peak._product_graph(300), providers=["CPUExecutionProvider"])
    a, b = np.random.default_rng(0).random((2, 300, 300), dtype=np.float32)
    (product,) = session.run(None, {"a": a, "b": b})
    np.testing.assert_allclose(product, a @ b, rtol=1e-4)


def test_each_rate_is_the_work_over_the_shortest_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two looks at the clock for each of the runs, and some more to see whether half a second is over.
    steps = itertools.cycle([700_000_000])
    now = [0]

    def clock() -> int:
        now[0] += next(steps)
        return now[0]

    monkeypatch.setattr(machine_peak, "_COPY_BYTES", 7_000_000)
    peak = measure_peak(1, clock=clock)
    assert peak.macs_per_s == pytest.approx(1024**3 / 0.7), "the larger product, in the same time, is the better rate"
    assert peak.bytes_per_s == pytest.approx(2 * 7_000_000 / 0.7)


def test_this_machine_has_a_peak() -> None:
    peak = measure_peak(1)
    assert 1e7 < peak.macs_per_s < 1e12, "one thread: from a very old processor to a very new one"
    assert 1e7 < peak.bytes_per_s < 1e12


def test_without_onnx_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"\[cpu\]"):
        measure_peak(1)
