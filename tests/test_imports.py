"""What is loaded by what. import-linter reads the import statements; this looks at what really happens."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import googlenet_edge

ROOT = Path(googlenet_edge.__file__).parent
HOST_PACKAGES = {"torch", "onnx", "onnxsim", "onnxscript", "safetensors"}
HOST_MODULES = tuple(f"googlenet_edge.{name}" for name in ("model", "graph", "quantization", "deploy"))
HEAVY = HOST_PACKAGES | {"numpy", "cv2", "onnxruntime", "rich", "msgspec"}
DEVICE_SIDE = (
    "atomic",
    "bundle",
    "capture",
    "demo",
    "doctor",
    "evaluation",
    "latency",
    "runtime",
    "scenarios",
    "sinks",
    "stream",
    "types",
)


def loaded_by(code: str) -> set[str]:
    """Return the names of all modules that another process has loaded after this code."""
    code = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_below(name: str) -> list[str]:
    """Return the dotted names of a package's modules, or of the one module."""
    folder = ROOT / name
    if not folder.is_dir():
        return [f"googlenet_edge.{name}"]
    paths = [path.relative_to(ROOT).with_suffix("") for path in sorted(folder.rglob("*.py"))]
    return [".".join(("googlenet_edge", *path.parts)).removesuffix(".__init__") for path in paths]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded_by("import googlenet_edge") & HEAVY


def test_the_command_lines_help_loads_nothing_heavy() -> None:
    code = "from googlenet_edge.cli.main import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass"
    assert not loaded_by(code) & HEAVY


@pytest.mark.parametrize("name", DEVICE_SIDE)
def test_the_device_side_loads_no_host_package(name: str) -> None:
    modules = modules_below(name)
    assert modules
    loaded = loaded_by("import " + ", ".join(modules))
    assert set(modules) <= loaded
    assert not loaded & HOST_PACKAGES
    assert not {other for other in loaded if other.startswith(HOST_MODULES)}


def test_classifying_loads_no_host_package(tiny_bundle: Path) -> None:
    code = f"""
import numpy
from googlenet_edge import Bundle, Classifier
with Classifier(Bundle.open({str(tiny_bundle)!r}), threads=1) as classifier:
    classifier.classify_batch([numpy.zeros((240, 320, 3), numpy.uint8)])
"""
    assert not loaded_by(code) & HOST_PACKAGES


def test_the_public_names_exist() -> None:
    names = loaded_by("import googlenet_edge\n[getattr(googlenet_edge, name) for name in googlenet_edge.__all__]")
    assert not names & HOST_PACKAGES
    assert set(googlenet_edge.__all__) <= set(dir(googlenet_edge))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_is_python_3_10(path: Path) -> None:
    newer = {"tomllib", "asyncio.taskgroups", "wsgiref.types"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))):
        if isinstance(node, ast.Import):
            assert not newer & {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            assert node.module not in newer
            assert not names & {"enum.StrEnum", "datetime.UTC", "typing.Self", "typing.override", "typing.assert_never"}
