"""What is in the files that users install."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return folder


def test_the_wheel_has_the_code_and_the_demos_data(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "googlenet_edge"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert "googlenet_edge/py.typed" in names
    assert any(name.startswith("googlenet_edge/demo/data/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.startswith(("googlenet_edge/", "googlenet_edge-")) for name in names)


def test_the_source_archive_can_run_its_tests(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    expected = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Makefile",
        "packaging/systemd/googlenet-edge@.service",
        "tests/conftest.py",
        "tests/data/tiny_classifier.onnx",
    }
    assert expected <= names
    assert any(name.startswith("googlenet_edge/demo/data/") for name in names)
