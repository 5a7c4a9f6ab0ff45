"""The type checker finds a wrong call of TensorRT, pycuda or cuda-bindings, on a machine where none of them can run."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "stubs"
BINDINGS = ("tensorrt_rtx", "pycuda", "cuda.bindings")
# The built software driver, with which pycuda loads on a machine that has no driver.
SOFTWARE_DRIVER = ROOT / "build" / "softcuda"

# A line with `# wrong: CODE` has to be refused with that code, every other one has to pass.
PLANTED = """
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pycuda.driver as cuda
import tensorrt_rtx as trt
from cuda.bindings import driver

from googlenet_edge.engine.api import TensorRT

api: TensorRT = trt  # the module has all that the Protocol names, with these types


def build(api: TensorRT, logger: trt.ILogger) -> bytes:
    builder = api.Builder(logger)
    network = builder.create_network(1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    config = builder.create_builder_config()
    config.set_flag(api.BuilderFlag.TF32)
    config.set_flag(api.BuilderFlag.TF23)  # wrong: attr-defined
    config.set_flag(api.MemoryPoolType.WORKSPACE)  # wrong: arg-type
    config.builder_optimization_level = 2.5  # wrong: assignment
    api.Buidler(logger)  # wrong: attr-defined
    plan = builder.build_serialized_network(network, config)
    bytes(plan)  # wrong: arg-type
    return b"" if plan is None else bytes(plan)


def run(context: trt.IExecutionContext, stream: cuda.Stream, event: cuda.Event) -> None:
    context.execute_async_v3(stream.handle)
    context.execute_async_v2(stream.handle)  # wrong: attr-defined
    context.execute_async_v3(stream)  # wrong: arg-type
    context.set_input_shape("image", (1, 224, 224, 3))
    context.set_input_shape("image", 1)  # wrong: arg-type
    pinned = cuda.pagelocked_empty((1, 8), np.uint8, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
    cuda.pagelocked_emtpy((1, 8), np.uint8)  # wrong: attr-defined
    cuda.memcpy_htod_async(cuda.mem_alloc(8), pinned, stream)
    cuda.memcpy_htod_async(pinned, cuda.mem_alloc(8), stream)  # wrong: arg-type
    event.recrod(stream)  # wrong: attr-defined
    mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
    driver.cuStreamBeginCapture(driver.CUstream(stream.handle), mode)
    driver.cuStreamBeginCaptur(driver.CUstream(stream.handle), mode)  # wrong: attr-defined
    driver.cuStreamBeginCapture(stream, mode)  # wrong: arg-type


def make_monitor(api: TensorRT) -> trt.IProgressMonitor:
    if TYPE_CHECKING:
        from tensorrt_rtx import IProgressMonitor
    else:
        IProgressMonitor = api.IProgressMonitor

    class Monitor(IProgressMonitor):
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...
        def step_complete(self, phase_name: str) -> bool:  # wrong: override
            return True

    return Monitor()
"""


def test_planted_mistakes_are_refused_and_correct_calls_pass(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", "cache"]
    command += ["--no-error-summary", "--hide-error-context", "planted.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    found = {
        (int(match[1]), match[2])
        for match in re.finditer(r"^planted\.py:(\d+): error: .*\[([\w-]+)\]$", result.stdout, re.MULTILINE)
    }
    lines = enumerate(PLANTED.splitlines(), start=1)
    wrong = {(number, match[1]) for number, line in lines if (match := re.search(r"# wrong: ([\w-]+)$", line))}
    assert len(wrong) > 10
    assert found == wrong, result.stdout + result.stderr


def touches_bindings(source: str) -> bool:
    """Whether it imports TensorRT, pycuda or cuda-bindings, if only for its types, or uses a flavour's module."""
    for node in ast.walk(ast.parse(source)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        if any(name == module or name.startswith(f"{module}.") for name in names for module in BINDINGS):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "api":
            return True
    return False


def test_nothing_that_calls_the_gpu_may_contain_any() -> None:
    tomllib = pytest.importorskip("tomllib")
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["overrides"]
    strict = {module for override in overrides if override.get("disallow_any_expr") for module in override["module"]}
    package = ROOT / "googlenet_edge"
    files = [*package.glob("engine/*.py"), *package.glob("runtime/*.py")]
    callers = {
        f"googlenet_edge.{path.parent.name}.{path.stem}"
        for path in files
        if touches_bindings(path.read_text(encoding="utf-8"))
    }
    assert callers - {"googlenet_edge.engine.flavour"} - strict == set(), "add them to [[tool.mypy.overrides]]"
    existing = {f"googlenet_edge.{path.parent.name}.{path.stem}" for path in files}
    assert strict - existing == set(), "take them out of [[tool.mypy.overrides]]"


def test_the_stubs_say_any_of_nothing() -> None:
    stubs = list(STUBS.rglob("*.pyi"))
    assert len(stubs) >= 4
    assert [path for path in stubs if re.search(r"\b(Any|Incomplete|ignore)\b", path.read_text(encoding="utf-8"))] == []


def stub_paths(module: str) -> list[str]:
    """Dotted names in a stub: ``Stream``, ``Stream.handle``, ``mem_alloc``."""
    paths: list[str] = []
    tree = ast.parse((STUBS / f"{module.replace('.', '/')}.pyi").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            paths.append(statement.name)
        if not isinstance(statement, ast.ClassDef):
            continue
        paths.append(statement.name)
        for member in statement.body:
            if isinstance(member, ast.FunctionDef):
                paths.append(f"{statement.name}.{member.name}")
            elif isinstance(member, ast.AnnAssign | ast.Assign):
                target = member.target if isinstance(member, ast.AnnAssign) else member.targets[0]
                paths.append(f"{statement.name}.{ast.unparse(target)}")
    return paths


LOOK = """
import importlib, operator, sys
try:
    module = importlib.import_module(sys.argv[1])
except ImportError as error:
    sys.exit(f"cannot import: {error}")
for path in sys.argv[2:]:
    try:
        operator.attrgetter(path)(module)
    except AttributeError:
        print(path)
"""


def missing_paths(module: str, paths: list[str]) -> list[str]:
    """Names that the installed module does not have; skips where it cannot be imported."""
    libraries = f"{SOFTWARE_DRIVER}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    command = [sys.executable, "-c", LOOK, module, *paths]
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if result.stderr.startswith("cannot import"):
        pytest.skip(f"{module} {result.stderr.strip()} (make test-softcuda makes it importable)")
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("module", ["pycuda.driver", "cuda.bindings.driver"])
def test_every_name_in_the_handwritten_stubs_exists(module: str) -> None:
    paths = stub_paths(module)
    assert len(paths) > 15
    assert missing_paths(module, [*paths, "no_such_name"]) == ["no_such_name"]


def test_the_numbers_of_the_cuda_enums_are_right() -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    source = (STUBS / "cuda/bindings/driver.pyi").read_text(encoding="utf-8")
    members = [
        (kind.name, member)
        for kind in ast.parse(source).body
        if isinstance(kind, ast.ClassDef)
        for member in kind.body
        if isinstance(member, ast.Assign)
    ]
    assert members
    for kind, member in members:
        real = getattr(getattr(driver, kind), ast.unparse(member.targets[0]))
        assert int(real) == int(ast.unparse(member.value))
