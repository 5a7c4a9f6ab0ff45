"""The stub for TensorRT is the one that the tool makes, and says what the real module does."""

from __future__ import annotations

import ast
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from onnx import TensorProto, helper

from tools import make_tensorrt_stubs

if TYPE_CHECKING:
    import tensorrt_rtx as trt
else:
    trt = pytest.importorskip("tensorrt_rtx")

COMMITTED = make_tensorrt_stubs.STUB.read_text(encoding="utf-8")
IN_TYPES_ONLY = {"Dims.__iter__", "IHostMemory.__buffer__"}  # by __getitem__, and by the C API


class Silent(trt.ILogger):
    def __init__(self) -> None:
        trt.ILogger.__init__(self)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None: ...


@pytest.fixture
def builder() -> trt.Builder:
    return trt.Builder(Silent())


def test_the_committed_stub_is_the_one_that_the_tool_makes(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pybind11_stubgen")
    version = re.search(r"tensorrt_rtx (\S+):", COMMITTED)
    assert version is not None
    if (installed := metadata.version("tensorrt_rtx")) != version[1]:
        pytest.skip(f"the stub is of tensorrt_rtx {version[1]}, installed is {installed}")
    assert make_tensorrt_stubs.main(["--check"]) == 0, capsys.readouterr().out


def test_a_stub_that_is_not_the_one_is_shown_with_the_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pybind11_stubgen")
    monkeypatch.setattr(make_tensorrt_stubs, "STUB", tmp_path / "stub.pyi")
    changed = COMMITTED.replace("def create_network(self, flags: int = ...)", "def create_network(self)")
    (tmp_path / "stub.pyi").write_text(changed, encoding="utf-8")
    assert make_tensorrt_stubs.main(["--check"]) == 1
    assert "+    def create_network(self, flags: int = ...)" in capsys.readouterr().out
    assert (tmp_path / "stub.pyi").read_text(encoding="utf-8") == changed
    assert make_tensorrt_stubs.main([]) == 0
    assert make_tensorrt_stubs.main(["--check"]) == 0


def test_a_class_that_a_newer_tensorrt_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="tensorrt_rtx 9 has no Builder: take it out of"):
        make_tensorrt_stubs.make_stub("class Runtime:\n    pass\n", "class Builder: ...\n", "9")


def test_members_are_made_valid_corrected_or_left_out() -> None:
    raw = '''
class Kind:
    """NVIDIA's words."""
    ONE: typing.ClassVar[Kind]
    __members__: typing.ClassVar[dict[str, Kind]]
    def __lt__(self, other: typing.Any) -> bool: ...
class Other:
    pass
class User:
    kind: Kind
    unknown: ...
    def take(self, in: typing.SupportsInt, path: str = None) -> bool:
        """NVIDIA's words."""
    def other(self, other: Other) -> None: ...
    def wrong(self) -> int: ...
    @property
    def count(self) -> int: ...
    @count.setter
    def count(self, arg1: typing.SupportsInt) -> bool: ...
'''
    stub = make_tensorrt_stubs.make_stub(raw, "class Kind: ...\nclass User:\n    def wrong(self) -> str: ...\n", "1")
    assert stub.split("\n", 1)[1].strip() == (
        "class Kind(_OrderedEnum):\n    ONE: ClassVar[Kind]\n    __members__: ClassVar[dict[str, Kind]]\n\n"
        "class User:\n    kind: Kind\n\n    def take(self, in_: int, path: str | None = ...) -> bool: ...\n"
        "    @property\n    def count(self) -> int: ...\n"
        "    @count.setter\n    def count(self, value: int) -> None: ...\n    def wrong(self) -> str: ..."
    )


def test_the_module_has_every_name_of_the_stub() -> None:
    missing = []
    for kind in ast.parse(COMMITTED).body:
        if not isinstance(kind, ast.ClassDef) or kind.name.startswith("_"):
            continue
        real = getattr(trt, kind.name)
        for member in kind.body:
            name = member.target if isinstance(member, ast.AnnAssign) else getattr(member, "name", "")
            path = name if isinstance(name, str) else ast.unparse(name)
            if not hasattr(real, path) and f"{kind.name}.{path}" not in IN_TYPES_ONLY:
                missing.append(f"{kind.name}.{path}")
    assert missing == []


def test_a_build_that_fails_gives_none(builder: trt.Builder) -> None:
    network, config = builder.create_network(0), builder.create_builder_config()
    assert builder.build_serialized_network(network, config) is None


def test_a_plan_that_is_none_gives_none() -> None:
    logger = Silent()
    runtime = trt.Runtime(logger)
    assert runtime.deserialize_cuda_engine(b"no plan") is None
    validity, diagnostics = runtime.get_engine_validity(b"no plan")
    assert validity == trt.EngineValidity.INVALID
    assert isinstance(diagnostics, int)


def test_shapes_are_sequences_of_int_and_are_made_from_tuples(builder: trt.Builder) -> None:
    network = builder.create_network(0)
    shape = network.add_input("x", trt.DataType.HALF, trt.Dims((-1, 4))).shape
    assert tuple(shape) == (-1, 4)
    assert len(shape) == 2
    assert shape[1] == 4
    profile = builder.create_optimization_profile()
    profile.set_shape("x", (1, 4), [2, 4], trt.Dims((8, 4)))
    assert [tuple(dims) for dims in profile.get_shape("x")] == [(1, 4), (2, 4), (8, 4)]


def test_the_outermost_phase_has_no_parent_and_a_plan_is_a_buffer(builder: trt.Builder) -> None:
    parents: dict[str, str | None] = {}

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            parents.setdefault(phase_name, parent_phase)

        def phase_finish(self, phase_name: str) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

    network, config = builder.create_network(0), builder.create_builder_config()
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, (1, 4)) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Exp", ["x"], ["y"])], "tiny", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    parser = trt.OnnxParser(network, builder.logger)
    assert parser.parse(model.SerializeToString())
    config.num_compute_capabilities = 1
    assert config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    monitor = Monitor()
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    config.progress_monitor = None
    assert config.progress_monitor is None
    assert plan is not None
    assert len(bytes(plan)) == memoryview(plan).nbytes == plan.nbytes
    assert None in parents.values()
    assert set(parents.values()) - {None} <= set(parents)


def test_numbers_that_are_no_int_are_refused(builder: trt.Builder) -> None:
    config = builder.create_builder_config()
    with pytest.raises(TypeError):
        config.builder_optimization_level = 2.5  # type: ignore[assignment]
    assert trt.DataType.INT4.itemsize == 0.5
    assert trt.Logger.Severity.ERROR < trt.Logger.Severity.WARNING
    assert 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) > 0
