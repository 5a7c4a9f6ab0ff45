"""What the backend does otherwise for TensorRT-RTX: its own CUDA graphs, and the cache of what it compiled.

The engine is the stand-in's, with the few calls that only RTX has added here.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorrt

from googlenet_edge.engine.build import build_engine
from googlenet_edge.engine.flavour import Flavour, load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime.trt_backend import TrtBackend, TrtConfig

COMPILED = b"kernels for this GPU"


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class RuntimeCache:
    def __init__(self) -> None:
        self.loaded = b""

    def deserialize(self, blob: bytes) -> bool:
        self.loaded = blob if blob == COMPILED else b""
        return blob == COMPILED

    def serialize(self) -> bytes:
        return COMPILED


class RuntimeConfig:
    def __init__(self) -> None:
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED
        self.cache: RuntimeCache | None = None

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache()

    def set_runtime_cache(self, cache: RuntimeCache) -> bool:
        self.cache = cache
        return True


@pytest.fixture(scope="module")
def plan(tiny_graph_path: Path) -> bytes:
    return build_engine(load_flavour("tensorrt"), tiny_graph_path.read_bytes(), BuildOptions(max_batch=2)).plan


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[RuntimeConfig]:
    """The runtime configurations that contexts were made with."""
    configs: list[RuntimeConfig] = []
    create: Any = tensorrt.ICudaEngine.create_execution_context

    def create_with_config(engine: tensorrt.ICudaEngine, config: RuntimeConfig) -> object:
        configs.append(config)
        return create(engine, tensorrt.ExecutionContextAllocationStrategy.STATIC)

    monkeypatch.setattr(tensorrt, "CudaGraphStrategy", CudaGraphStrategy, raising=False)
    monkeypatch.setattr(tensorrt.ICudaEngine, "create_runtime_config", lambda engine: RuntimeConfig(), raising=False)
    monkeypatch.setattr(tensorrt.ICudaEngine, "create_execution_context", create_with_config)
    return configs


@pytest.fixture
def flavour(configs: list[RuntimeConfig]) -> Flavour:
    return replace(load_flavour("tensorrt"), name="tensorrt_rtx", version="1.7.1.116")


def infer(plan: bytes, flavour: Flavour, config: TrtConfig | None = None) -> dict[str, str]:
    with TrtBackend(plan, flavour, config) as backend:
        for count in (1, 2, 1, 2):
            assert np.isfinite(backend.infer(np.zeros((count, 224, 224, 3), np.uint8))[0]).all()
        return backend.describe()


def test_one_context_captures_its_graphs_by_itself(plan: bytes, flavour: Flavour, configs: list[RuntimeConfig]) -> None:
    described = infer(plan, flavour)
    assert described["backend"] == "tensorrt_rtx"
    assert described["cuda_graph"] == "on (TensorRT-RTX's own)"
    assert [config.cuda_graph_strategy for config in configs] == [CudaGraphStrategy.WHOLE_GRAPH_CAPTURE]
    assert configs[0].cache is None


@pytest.mark.parametrize(
    ("config", "state"),
    [(TrtConfig(cuda_graph="off"), "off: as asked"), (TrtConfig(profile_layers=True), "off: layers are being timed")],
)
def test_its_graphs_are_off_where_ours_would_be(
    plan: bytes, flavour: Flavour, configs: list[RuntimeConfig], config: TrtConfig, state: str
) -> None:
    assert infer(plan, flavour, config)["cuda_graph"] == state
    assert configs[0].cuda_graph_strategy is CudaGraphStrategy.DISABLED


def test_what_was_compiled_is_kept_for_the_next_start(
    plan: bytes, flavour: Flavour, configs: list[RuntimeConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = TrtConfig(runtime_cache=tmp_path / "runtime.cache")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            infer(plan, flavour, config)
    assert (tmp_path / "runtime.cache").read_bytes() == COMPILED
    first, second = (run.cache for run in configs)
    assert first is not None
    assert second is not None
    assert (first.loaded, second.loaded) == (b"", COMPILED)
    assert caplog.records == []


def test_a_cache_that_does_not_fit_is_made_again(
    plan: bytes, flavour: Flavour, configs: list[RuntimeConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "runtime.cache"
    path.write_bytes(COMPILED[:-1])
    with caplog.at_level(logging.WARNING):
        infer(plan, flavour, TrtConfig(runtime_cache=path))
    assert "does not fit and is made again" in caplog.text
    assert path.read_bytes() == COMPILED


def test_a_cache_that_cannot_be_written_is_a_warning(
    plan: bytes, flavour: Flavour, configs: list[RuntimeConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        infer(plan, flavour, TrtConfig(runtime_cache=tmp_path / "nowhere" / "runtime.cache"))
    assert "runtime cache" in caplog.text
    assert "cannot be written" in caplog.text
