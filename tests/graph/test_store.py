from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.helper import make_node

from googlenet_edge.errors import GraphError, OutputError
from googlenet_edge.graph.store import describe, load_graph, save_graph, sha256_of


def test_a_model_survives_the_way_to_disk(tmp_path: Path, steps: Any) -> None:
    path = steps("keras-inception").simplified
    save_graph(load_graph(path), tmp_path / "copy.onnx")
    assert (tmp_path / "copy.onnx").read_bytes() == path.read_bytes()
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest() == sha256_of(load_graph(path))
    assert (tmp_path / "copy.onnx").stat().st_mode & 0o400
    assert [entry.name for entry in tmp_path.iterdir()] == ["copy.onnx"]


@pytest.mark.parametrize("content", [b"", b"not an onnx file at all", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError, match=r"model\.onnx: got a file .*expected an ONNX file"):
        load_graph(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, steps: Any, share: float) -> None:
    data = steps("keras-inception").simplified.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(GraphError):
        describe(path)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="no such file"):
        load_graph(tmp_path / "missing.onnx")
    with pytest.raises(GraphError, match="cannot be read"):
        load_graph(tmp_path)


def test_external_data_is_read_and_missed(tmp_path: Path, steps: Any) -> None:
    model = load_graph(steps("keras-inception").simplified)
    onnx.save(model, tmp_path / "e.onnx", save_as_external_data=True, location="e.data", size_threshold=0)
    assert load_graph(tmp_path / "e.onnx").graph.initializer[0].raw_data
    (tmp_path / "e.data").unlink()
    with pytest.raises(GraphError, match="external data"):
        load_graph(tmp_path / "e.onnx")


def test_failing_to_write_leaves_the_old_file(tmp_path: Path, steps: Any) -> None:
    model = load_graph(steps("keras-inception").simplified)
    with pytest.raises(OutputError, match="cannot be written"):
        save_graph(model, tmp_path / "missing" / "m.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        save_graph(model, tmp_path / "folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_only_deployable_graphs_are_described(small_model: Callable[..., onnx.ModelProto]) -> None:
    model = small_model([make_node("Relu", ["x"], ["y"])], {"x": (1, 2)}, {"y": (1, 2)})
    with pytest.raises(GraphError, match=r"got inputs 'x': float32 .1, 2., .*expected input 'image': uint8"):
        describe(model)
