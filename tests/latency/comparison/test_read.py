from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from googlenet_edge.errors import InputError
from googlenet_edge.latency.comparison.figures import FPS, Figure
from googlenet_edge.latency.comparison.read import read_run

Writer = Callable[..., Path]
Steady = Callable[..., npt.NDArray[np.int64]]


def altered(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_figures_and_samples_are_those_of_the_run(write_run: Writer, steady: Steady) -> None:
    latencies = steady(0, 300)
    run = read_run(write_run("a", latencies))
    assert run.lacking is None
    assert run.samples_ns[Figure("inference", 50)].tolist() == latencies.tolist()
    assert run.values[Figure("inference", 99)] == pytest.approx(np.sort(latencies)[296], abs=0.5)
    intervals = run.samples_ns[FPS]
    assert len(intervals) == 300
    assert intervals[1:].tolist() == (latencies[1:] + 620_000).tolist()
    assert run.values[FPS] == pytest.approx(1e9 / intervals[1:].mean(), abs=1e-3)
    assert set(run.samples_ns[Figure("emit", 95)]) == {100_000}
    assert not any(figure.stage == "wait" for figure in run.samples_ns)


def test_several_cameras_are_put_together_in_the_order_of_emission(write_run: Writer, steady: Steady) -> None:
    latencies = steady(0, 301)
    path = write_run("a", latencies, cameras=("door", "yard"))
    run = read_run(path)
    assert run.lacking is None
    assert run.samples_ns[Figure("inference", 50)].tolist() == latencies.tolist()
    path.with_name("a-samples-yard.csv").unlink()
    with pytest.raises(InputError, match=r"expected a-samples-yard\.csv too"):
        read_run(path)


def test_without_samples_the_report_alone_is_read(write_run: Writer, steady: Steady) -> None:
    run = read_run(write_run("a", steady(0, 300), samples=False))
    assert run.samples_ns == {}
    assert "no raw samples beside it (a-samples.csv)" in str(run.lacking)
    assert run.values[Figure("inference", 50)] > 0


def test_a_thinned_run_has_no_intervals_between_frames(write_run: Writer, steady: Steady) -> None:
    run = read_run(write_run("a", steady(0, 300), capacity=200))
    assert len(run.samples_ns[Figure("inference", 50)]) == 200
    assert FPS in run.values
    assert FPS not in run.samples_ns


def test_samples_of_another_run_are_refused(write_run: Writer, steady: Steady) -> None:
    path, other = write_run("a", steady(0, 300)), write_run("b", steady(1, 300))
    samples = path.with_name("a-samples.csv")
    samples.write_bytes(other.with_name("b-samples.csv").read_bytes())
    with pytest.raises(InputError, match=r"samples of another run beside it \(\w+: at most"):
        read_run(path)
    samples.write_bytes(b"".join(other.with_name("b-samples.csv").read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match="299 frames, where the report measured 300"):
        read_run(path)


def test_a_report_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match=r"cannot be read \(.+\), expected a latency report"):
            read_run(path)


def test_wrong_types_and_runs_without_frames_are_refused(write_run: Writer, steady: Steady) -> None:
    path = altered(write_run("a", steady(0, 80)), lambda d: d["latency"]["stages"]["emit"].update(p50_ms="fast"))
    with pytest.raises(InputError, match=r"Expected `float \| null`, got `str`"):
        read_run(path)
    path = altered(write_run("b", steady(0, 80), samples=False), lambda d: d["frames"].update(measured=0))
    with pytest.raises(InputError, match="without a measured frame"):
        read_run(path)
