"""``bench --layers`` on an engine: TensorRT's own times, by row of Table 1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.cli.main import main
from googlenet_edge.errors import InputError
from googlenet_edge.runtime.layer_profile import ProfileConfig, measure_layers, open_profiled
from googlenet_edge.runtime.open_backend import BackendOptions, open_backend
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig


def test_the_layers_of_an_engine_are_timed_and_named_after_table_1(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "layers.json"
    arguments = ["--layers", "--backend", "tensorrt", "--batch", "2", "--iterations", "4", "--warmup", "1"]
    assert main(["bench", str(tiny_bundle), *arguments, "--json", str(figures)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("TensorRT ")
    assert "median of 4 inferences of 2 frames" in shown
    document = json.loads(figures.read_text())
    assert document["backend"]["backend"] == "tensorrt"
    assert document["backend"]["cuda_graph"].startswith("off")
    assert sum(layer["share"] for layer in document["layers"]) == pytest.approx(1, abs=1e-4)
    known = {row.row for row in Bundle.open(tiny_bundle).manifest.nodes}
    assert {row for layer in document["layers"] for row in layer["rows"]} <= known
    assert 0 <= document["layers_ms"] <= document["wall_ms"]


def test_bundles_are_compared_and_whole_inferences_are_timed_without_the_profiler(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, figures = shutil.copytree(tiny_bundle, tmp_path / "other"), tmp_path / "layers.json"
    arguments = ["--layers", "--backend", "tensorrt", "--batch", "2", "--iterations", "2", "--rounds", "2"]
    assert main(["bench", str(tiny_bundle), str(other), *arguments, "--warmup", "0", "--json", str(figures)]) == 0
    shown = capsys.readouterr().out
    assert "A: TensorRT " in shown or shown.startswith("TensorRT ")
    document = json.loads(figures.read_text())
    for one in document["bundles"]:
        assert one["backend"]["backend"] == "tensorrt"
        assert not one["backend"]["cuda_graph"].startswith("off")
        assert one["profiled_backend"]["cuda_graph"].startswith("off")
        assert len(one["whole"]["ms"]["rounds"]) == 2
        assert 0 <= one["layers"]["ms"]["median"] <= one["profiled_wall_ms"]["high"]
    assert {path.name for path in other.iterdir()} > {"engines"}, "built in the first round, and used in all"


def test_each_inference_gives_each_layer_one_time(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    opened = open_backend(bundle, BackendOptions("tensorrt", trt=TrtConfig(profile_layers=True)))
    with open_profiled(opened.backend, bundle) as backend:
        assert isinstance(backend, TrtBackend)
        report = measure_layers(backend, bundle, ProfileConfig(inferences=5, warmup=2))
        assert report.inferences == 5
        assert {len(times) for _, times in backend.layer_times_ns()} == {5}
        most = backend.max_batch
        assert most is not None
        with pytest.raises(InputError, match=f"batch: got {most + 1}, expected at most {most}"):
            measure_layers(backend, bundle, ProfileConfig(batch=most + 1))
