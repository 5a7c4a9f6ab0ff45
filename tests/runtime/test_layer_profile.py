from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet_edge.bundle import Bundle, GoldenFrames
from googlenet_edge.engine.layers import EngineLayer
from googlenet_edge.errors import BackendError, InputError
from googlenet_edge.runtime.layer_profile import (
    ProfileConfig,
    known_nodes_in,
    measure_layers,
    measure_whole,
    open_profiled,
)
from googlenet_edge.runtime.ort_backend import OrtBackend, OrtConfig
from googlenet_edge.runtime.ort_profile import read_profile

NODES = dict.fromkeys(["conv1.conv", "conv1.relu", "maxpool1", "inception3a.branch1.conv", "/fc/Gemm", "input.cast"])


@pytest.mark.parametrize(
    ("layer", "nodes"),
    [
        ("conv1.conv", ("conv1.conv",)),
        # ONNX Runtime
        ("conv1.relu_nchwc", ("conv1.relu",)),
        ("InsertedPrecisionFreeCast_conv1.relu_nchwc", ("conv1.relu",)),
        ("InsertedPrecisionFreeCast_maxpool1.scale", ("maxpool1",)),
        ("/fc/Gemm/MatMul_token_7", ("/fc/Gemm",)),
        ("ReorderOutput_token_356", ()),
        # TensorRT
        ("conv1.conv + conv1.relu", ("conv1.conv", "conv1.relu")),
        ("conv1.conv || inception3a.branch1.conv", ("conv1.conv", "inception3a.branch1.conv")),
        ("PWN(PWN(conv1.relu), maxpool1)", ("conv1.relu", "maxpool1")),
        ("{ForeignNode[input.cast...conv1.relu]}", ("input.cast", "conv1.relu")),
        ("Reformatting CopyNode for Input Tensor 0 to conv1.conv", ("conv1.conv",)),
        ("conv1.conv_myl0_2", ("conv1.conv",)),
        ("maxpool1_U7_myl0_3", ("maxpool1",)),
        ("__myl_CastTranMulAdd_myl0_1", ()),
        ("", ()),
        ("conv10.conv", ()),
    ],
)
def test_the_nodes_in_a_layers_name(layer: str, nodes: tuple[str, ...]) -> None:
    assert known_nodes_in(layer, NODES) == nodes


@pytest.mark.parametrize("batch", [1, 5])
def test_the_nodes_of_onnx_runtime_are_timed_in_each_inference(tiny_bundle: Path, batch: int) -> None:
    bundle = Bundle.open(tiny_bundle)
    with open_profiled(OrtBackend(bundle.graph_path, OrtConfig(threads=1)), bundle) as backend:
        assert backend.describe()["threads"] == "1"
        report = measure_layers(backend, bundle, ProfileConfig(batch=batch, inferences=7, warmup=3))
        again = backend.layer_times_ns()
    assert (report.inferences, report.frames) == (7, batch)
    assert {len(times) for _, times in again} == {7}
    assert 0 < report.layers_ns <= report.wall_ns
    assert sum(row.share for row in report.rows) == pytest.approx(1)
    assert all(layer.median_ns >= 0 for layer in report.layers)


def test_the_profilers_files_go_with_it(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_golden: GoldenFrames
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    bundle = Bundle.open(tiny_bundle)
    with OrtBackend(bundle.graph_path, OrtConfig(profile_layers=True)) as backend:
        backend.infer(tiny_golden.images)
        assert backend.layer_times_ns()
        assert list((tmp_path / "tmp").rglob("*.json"))
    assert not list((tmp_path / "tmp").iterdir())
    with pytest.raises(BackendError):
        OrtBackend(b"no graph", OrtConfig(profile_layers=True))
    assert not list((tmp_path / "tmp").iterdir())
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(BackendError, match=r"no temporary folder can be made: No such file.*TMPDIR"):
        OrtBackend(bundle.graph_path, OrtConfig(profile_layers=True))


def test_a_profile_that_was_not_written_whole_is_said(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_golden: GoldenFrames
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cut = tmp_path / "cut.json"
    cut.write_bytes(b'[{"cat": "Node", "na')
    bundle = Bundle.open(tiny_bundle)
    with OrtBackend(bundle.graph_path, OrtConfig(profile_layers=True)) as backend:
        backend.infer(tiny_golden.images)
        monkeypatch.setattr(backend, "_session", Ended(backend._session, cut))
        with pytest.raises(BackendError, match=r"cut.json': ONNX Runtime has not written it whole"):
            backend.layer_times_ns()


class Ended:
    """A session whose profile lies elsewhere."""

    def __init__(self, session: Any, path: Path) -> None:
        self.session, self.path = session, path

    def end_profiling(self) -> str:
        return str(self.path)


def test_warmup_and_other_events_are_left_out() -> None:
    events: list[dict[str, Any]] = [
        {"cat": "Session", "name": "model_run", "dur": 1000},
        {"cat": "Node", "name": "a_kernel_time", "dur": 9},
        {"cat": "Node", "name": "b_kernel_time", "dur": 1},
        {"cat": "Node", "name": "b_kernel_time", "dur": 2},
        {"cat": "Node", "name": "a_fence_before", "dur": 100},
        {"cat": "Node", "name": "a_kernel_time", "dur": 8},
        {"cat": "Node", "name": "b_kernel_time", "dur": 3},
        {"cat": "Node", "name": "b_kernel_time", "dur": 4},
    ]
    assert read_profile(events, left_out=1, runs=2) == (("a", (8000,)), ("b", (3000, 4000)))
    with pytest.raises(BackendError, match="got 2 times of node 'a' in 3 inferences"):
        read_profile(events, left_out=0, runs=3)


class TimedBackend:
    """Two layers of 3 and 4 ns; one inference takes 20 ns by the clock."""

    max_batch: int | None = 4

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.runs = 0

    def infer(self, batch: Any) -> tuple[Any, Any]:
        self.batches.append(len(batch))
        self.runs += 1
        return np.zeros((1, 1)), np.zeros((1, 1))

    def layer_times_ns(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return ("x1", (3,) * self.runs), ("fused", (4,) * self.runs)

    def clear_layer_times(self) -> None:
        self.runs = 0

    def engine_layers(self) -> tuple[EngineLayer, ...]:
        return ()

    def describe(self) -> dict[str, str]:
        return {"backend": "timed"}

    def __enter__(self) -> TimedBackend:
        return self

    def __exit__(self, *_: object) -> None: ...


class TellingBackend(TimedBackend):
    """Knows which nodes are in its fused layer."""

    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__()
        self.nodes = nodes

    def engine_layers(self) -> tuple[EngineLayer, ...]:
        return (EngineLayer("fused", "kgen", (), (), self.nodes, None),)


def test_what_the_library_tells_of_a_layer_is_used(tiny_bundle: Path) -> None:
    ticks = iter(range(0, 1000, 20))
    bundle = Bundle.open(tiny_bundle)
    first, second = (node.node for node in bundle.manifest.nodes)
    backend = TellingBackend((second, first, "a node of no row"))
    config = ProfileConfig(batch=4, inferences=5, warmup=2)
    report = measure_layers(backend, bundle, config, clock=lambda: next(ticks))
    assert backend.batches == [4] * 7
    assert [(layer.name, layer.row) for layer in report.layers] == [("x1", "other"), ("fused", "conv1 + fc")]
    assert (report.wall_ns, report.layers_ns, report.not_covered_ns) == (20, 7, 13)


def test_a_whole_inference_is_timed_without_the_profiler(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    ticks = iter((0, 30, 100, 110, 200, 270))
    with OrtBackend(bundle.graph_path, OrtConfig(threads=1)) as backend:
        config = ProfileConfig(batch=2, inferences=3, warmup=2)
        assert measure_whole(backend, bundle, config, clock=lambda: next(ticks)) == 30, "the median of 30, 10 and 70"
        assert backend.layer_times_ns() == ()
    assert next(ticks, None) is None, "warm-up is not timed"


def test_more_frames_than_the_engine_takes_are_refused(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="batch: got 5, expected at most 4"):
        measure_layers(TimedBackend(), Bundle.open(tiny_bundle), ProfileConfig(batch=5))


def test_a_backend_that_cannot_time_its_layers_is_closed(
    tiny_bundle: Path, make_backend: Callable[[int | None], Any]
) -> None:
    backend = make_backend(1)
    with pytest.raises(BackendError, match="got RecordingBackend, expected one that times its layers"):
        open_profiled(backend, Bundle.open(tiny_bundle))
    assert backend.closed == 1


def test_a_backend_without_a_profile_has_no_times(tiny_graph_path: Path, tiny_golden: GoldenFrames) -> None:
    with OrtBackend(tiny_graph_path) as backend:
        backend.infer(tiny_golden.images)
        backend.clear_layer_times()
        assert backend.layer_times_ns() == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch: got 0"),
        ({"inferences": 0}, "inferences: got 0"),
        ({"warmup": -1}, "-1 for warm-up"),
        ({"inferences": 995}, "together at most 1000"),
    ],
)
def test_a_senseless_configuration_is_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProfileConfig(**wrong)
