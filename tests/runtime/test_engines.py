"""Engines are built here by the real TensorRT-RTX, which needs no GPU; tests/softcuda has the tests that load them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.build import BuildSettings
from googlenet_edge.engine.flavour import Flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.engine.progress import BuildProgress
from googlenet_edge.engine.store import EnginePlaces
from googlenet_edge.errors import BundleError, DeviceError, EngineError, OutputError
from googlenet_edge.runtime import engines
from googlenet_edge.runtime.engines import EngineRequest, build_into_store
from googlenet_edge.runtime.trt_device import DeviceFacts

pytest.importorskip("tensorrt_rtx", reason="needs TensorRT-RTX: pip install '.[rtx]'")

FOR_TWO = BuildOptions(targets=("sm86", "sm120"))


@pytest.fixture
def flavour() -> Flavour:
    from googlenet_edge.engine.flavour import load_flavour

    return load_flavour("tensorrt_rtx")


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no GPU, also on a machine that has one."""

    def find(ordinal: int) -> DeviceFacts:
        raise DeviceError(f"GPU {ordinal}: got none; plug one in")

    monkeypatch.setattr(engines, "find_device", find)


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir() if path.name != ".lock")


def test_an_engine_is_built_for_targets_once_and_found_again(bundle: Bundle, flavour: Flavour) -> None:
    first = build_into_store(bundle, EngineRequest(flavour, FOR_TWO))
    assert first.built is not None
    assert first.engine.path.parent == bundle.path / "engines"
    assert first.engine.read() == first.built.plan
    assert first.engine.key.compute_capability == "8.6+12.0"
    assert first.check is None
    assert first.unchecked == "GPU 0: got none"
    assert files(bundle.path / "engines") == [".json", ".plan"]
    assert Bundle.open(bundle.path).name == "tiny"  # the bundle is whole with its engines

    second = build_into_store(bundle, EngineRequest(flavour, BuildOptions(targets=("8.6",))))
    assert (second.built, second.engine) == (None, first.engine)
    third = build_into_store(bundle, EngineRequest(flavour, FOR_TWO), rebuild=True)
    assert third.built is not None
    assert files(bundle.path / "engines") == [".json", ".plan"]


def test_other_options_are_another_engine_that_stands_beside(bundle: Bundle, flavour: Flavour) -> None:
    first = build_into_store(bundle, EngineRequest(flavour, FOR_TWO))
    result = build_into_store(bundle, EngineRequest(flavour, BuildOptions(targets=("sm86",), max_batch=2)))
    assert result.built is not None
    assert result.reasons == ()
    assert first.engine.path.exists()


def test_a_damaged_plan_is_found_before_tensorrt_sees_it_and_built_anew(bundle: Bundle, flavour: Flavour) -> None:
    stored = build_into_store(bundle, EngineRequest(flavour, FOR_TWO)).engine
    stored.path.write_bytes(stored.read()[:-100])
    result = build_into_store(bundle, EngineRequest(flavour, FOR_TWO))
    assert result.built is not None
    assert "it was cut short" in result.reasons[0]
    assert result.engine.read() == result.built.plan


def test_without_gpu_and_targets_the_error_says_to_name_targets(bundle: Bundle, flavour: Flavour) -> None:
    with pytest.raises(EngineError, match=r"got no GPU and no targets.* --target rtx40"):
        build_into_store(bundle, EngineRequest(flavour, BuildOptions()))
    assert not (bundle.path / "engines").exists()


def test_where_engines_cannot_be_kept_nothing_is_built(bundle: Bundle, flavour: Flavour) -> None:
    (bundle.path / "engines").write_text("in the way")
    steps: list[BuildProgress] = []
    settings = BuildSettings(on_progress=steps.append)
    with pytest.raises(OutputError, match=r"cannot be kept in .*engines'.*--cache"):
        build_into_store(bundle, EngineRequest(flavour, FOR_TWO, settings=settings))
    assert steps == []


def test_the_cache_takes_the_engines_of_a_bundle_that_cannot_be_written(
    bundle: Bundle, flavour: Flavour, tmp_path: Path
) -> None:
    (bundle.path / "engines").write_text("in the way")
    places = EnginePlaces(fallback=tmp_path / "cache")
    result = build_into_store(bundle, EngineRequest(flavour, FOR_TWO, places=places))
    assert result.engine.path.parent == tmp_path / "cache" / bundle.graph_sha256
    assert build_into_store(bundle, EngineRequest(flavour, FOR_TWO, places=places)).built is None


def test_a_graph_that_changed_after_the_bundle_was_opened_is_not_built(bundle: Bundle, flavour: Flavour) -> None:
    bundle.graph_path.write_bytes(bundle.graph_path.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="altered since the bundle was opened"):
        build_into_store(bundle, EngineRequest(flavour, FOR_TWO))
    assert files(bundle.path / "engines") == []


def test_a_build_that_fails_leaves_nothing(bundle: Bundle, flavour: Flavour) -> None:
    with pytest.raises(EngineError):
        build_into_store(bundle, EngineRequest(flavour, BuildOptions(targets=("sm75",))))  # FP32 is not for Turing
    assert files(bundle.path / "engines") == []


BUILDER = """
import logging, sys
from googlenet_edge.bundle import Bundle
from googlenet_edge.engine.build import BuildSettings
from googlenet_edge.engine.flavour import load_flavour
from googlenet_edge.engine.options import BuildOptions
from googlenet_edge.runtime import engines
from googlenet_edge.runtime.engines import EngineRequest, build_into_store

waited = False

def wait(progress):
    global waited
    if not waited:
        waited = True
        print("building", flush=True)
        sys.stdin.readline()

logging.basicConfig(format="%(message)s")
request = EngineRequest(
    load_flavour("tensorrt_rtx"), BuildOptions(targets=("8.6",)), settings=BuildSettings(on_progress=wait)
)
result = build_into_store(Bundle.open(sys.argv[1]), request)
print("found" if result.built is None else "built", result.engine.plan_sha256, flush=True)
"""


def start_builder(bundle: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BUILDER, str(bundle)]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def line(process: subprocess.Popen[str], stream: str) -> str:
    pipe = process.stdout if stream == "stdout" else process.stderr
    assert pipe is not None
    return pipe.readline().strip()


def test_a_builder_that_is_killed_leaves_nothing_in_the_way(tiny_bundle: Path) -> None:
    with start_builder(tiny_bundle) as builder:
        assert line(builder, "stdout") == "building"
        builder.kill()
    with start_builder(tiny_bundle) as other:
        out, said = other.communicate("\n", timeout=60)
    assert (other.returncode, said) == (0, "")
    assert out.split()[:2] == ["building", "built"]


def test_of_two_processes_one_builds_and_the_other_finds_its_plan(tiny_bundle: Path) -> None:
    with start_builder(tiny_bundle) as builder:
        assert line(builder, "stdout") == "building"  # and it stands still in the middle of it
        with start_builder(tiny_bundle) as other:
            expected = f"process {builder.pid} builds an engine in {tiny_bundle / 'engines'}: waiting for it"
            assert line(other, "stderr") == expected
            out, _ = builder.communicate("\n", timeout=60)
            found, said = other.communicate("\n", timeout=60)
    assert (builder.returncode, other.returncode) == (0, 0), said
    assert out.split()[0] == "built"
    assert found.split() == ["found", out.split()[1]]
    assert files(tiny_bundle / "engines") == [".json", ".plan"]
