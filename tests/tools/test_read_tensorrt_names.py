"""Names are read from TensorRT's bindings without loading them."""

from __future__ import annotations

import ast
import platform
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tools import read_tensorrt_names
from tools.make_tensorrt_stubs import STUB

# What the stub has and no bindings name: made up for the stub, or given in Python.
NOT_BOUND = {"__buffer__", "itemsize"}


@pytest.fixture(scope="module")
def bindings() -> Path:
    """The shared library of the installed tensorrt_rtx."""
    if platform.machine() != "x86_64":
        pytest.skip("the bindings that can be read are those for x86-64")
    try:
        files = metadata.files("tensorrt_rtx_cu13_bindings") or []
    except metadata.PackageNotFoundError:
        pytest.skip("tensorrt_rtx is not installed")
    (library,) = (file for file in files if file.name == "tensorrt_rtx.so")
    return Path(str(library.locate()))


def test_every_name_that_the_module_has_is_found(bindings: Path) -> None:
    stub = ast.parse(STUB.read_text(encoding="utf-8"))
    expected = set()
    for kind in stub.body:
        if isinstance(kind, ast.ClassDef) and not kind.name.startswith("_"):
            expected.add(kind.name)
            expected |= {node.name for node in ast.walk(kind) if isinstance(node, ast.FunctionDef)}
            expected |= {ast.unparse(node.target) for node in ast.walk(kind) if isinstance(node, ast.AnnAssign)}
    found = set(read_tensorrt_names.read_binary_names(bindings.read_bytes()))
    assert expected - found - NOT_BOUND == set()
    # Gone since TensorRT 11; misspelt; and the tail of "IBuilderConfig".
    assert found.isdisjoint({"FP16", "Buidler", "BuilderConfig", "IInt8EntropyCalibrator2"})


def test_a_wheel_becomes_a_list_that_says_where_it_comes_from(
    bindings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / "tensorrt_rtx_cu13_bindings-1.7.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(bindings, "tensorrt_rtx_bindings/tensorrt_rtx.so")
        archive.writestr("tensorrt_rtx_bindings/__init__.py", "def volume(): ...\nDataType.itemsize = 1\n")
    assert read_tensorrt_names.main([str(wheel), "-o", str(tmp_path)]) == 0
    path = tmp_path / "tensorrt_names_1.7.1.txt"
    assert capsys.readouterr().out.strip() == str(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith(f"# From {wheel.name}, sha256 ")
    assert {"Builder", "SM120", "itemsize", "volume"} <= set(lines[3:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ({}, "expected one shared library in its tensorrt*_bindings/, got 0"),
        ({"tensorrt_bindings/tensorrt.so": b"MZ"}, "it is no wheel: "),
        ({"tensorrt_bindings/tensorrt.so": b"MZ", "tensorrt_bindings/__init__.py": b""}, "no ELF file for x86-64"),
    ],
)
def test_what_is_no_wheel_of_bindings_is_refused(
    content: dict[str, bytes] | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel = tmp_path / "tensorrt-1-py3-none-any.whl"
    if content is not None:
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    assert read_tensorrt_names.main([str(wheel), "-o", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.glob("*.txt")) == []


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tensorrt-1.whl").write_bytes(b"half a download")
    assert read_tensorrt_names.main([str(tmp_path / "tensorrt-1.whl")]) == 1
    assert "it is no wheel" in capsys.readouterr().err
