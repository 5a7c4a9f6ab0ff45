"""Which TensorRT is found, and what is said where it cannot be imported.

The packages that are imported here are real ones, written for the test, that fail as the real TensorRT was seen to.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from googlenet_edge.engine.api import TensorRT
from googlenet_edge.engine.flavour import Flavour, FlavourName, load_flavour
from googlenet_edge.errors import EngineError, MissingPackageError

WORKS = "class Builder: pass\n__version__ = '{}'\n"

MakePackage = Callable[[str, str], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePackage]:
    """Write a package that is imported before any that is installed; what was imported before comes back afterwards."""
    names = ("tensorrt", "tensorrt_rtx")
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    for name in before:
        del sys.modules[name]
    monkeypatch.syspath_prepend(tmp_path / "site")

    def make(name: str, code: str) -> None:
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text(code, encoding="utf-8")
        importlib.invalidate_caches()

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """The root of a Jetson's file system."""
    root = tmp_path / "jetson"
    (root / "etc").mkdir(parents=True)
    (root / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n", encoding="utf-8")
    return root


def test_tensorrt_comes_first_and_says_its_version(package: MakePackage, tmp_path: Path) -> None:
    package("tensorrt", WORKS.format("10.3.0"))
    package("tensorrt_rtx", WORKS.format("1.7.1.116"))
    found = load_flavour(root=tmp_path)
    assert (found.name, found.version, found.title) == ("tensorrt", "10.3.0", "TensorRT 10.3.0")
    assert load_flavour("tensorrt_rtx", root=tmp_path).title == "TensorRT-RTX 1.7.1.116"


def test_a_broken_tensorrt_gives_way_to_rtx_with_a_warning(
    package: MakePackage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package("tensorrt", "raise ImportError('libnvinfer.so.10: cannot open shared object file')")
    package("tensorrt_rtx", WORKS.format("1.7.1.5"))
    with caplog.at_level(logging.WARNING):
        assert load_flavour(root=tmp_path).is_rtx
    assert "TensorRT-RTX 1.7.1.5 is used instead: tensorrt is installed but cannot be imported" in caplog.text


def test_a_ctrl_c_during_the_import_is_no_broken_package(package: MakePackage, tmp_path: Path) -> None:
    package("tensorrt", "try:\n    raise KeyboardInterrupt\nexcept BaseException:\n    raise ImportError('failed')")
    package("tensorrt_rtx", WORKS.format("1.7.1.5"))
    with pytest.raises(KeyboardInterrupt):
        load_flavour(root=tmp_path)


def test_without_any_the_broken_one_is_the_news(package: MakePackage, tmp_path: Path) -> None:
    package("tensorrt", "raise OSError('file too short')")
    package("tensorrt_rtx", "raise ModuleNotFoundError('none', name='tensorrt_rtx')")
    with pytest.raises(EngineError, match="tensorrt is installed but cannot be imported: file too short"):
        load_flavour(root=tmp_path)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            "ImportError('libnvdla_compiler.so: cannot open shared object file: No such file or directory')",
            "sudo apt install nvidia-l4t-dla-compiler",
        ),
        ("ImportError('/usr/lib/aarch64-linux-gnu/libnvinfer.so.10: file too short')", "docker run --runtime nvidia"),
        ("ImportError('libcuda.so.1: cannot open shared object file')", "install the NVIDIA driver"),
        ("ImportError('libcudnn.so.9: cannot open shared object file')", "install the CUDA libraries"),
        ("ImportError('libnvinfer.so.10: cannot open shared object file')", "apt install --reinstall nvidia-jetpack"),
        ("ModuleNotFoundError('No module', name='tensorrt.tensorrt')", r"not made for this Python \d\.\d+ \(JetPack"),
        ("ModuleNotFoundError('No module', name='tensorrt_bindings')", r"not made for this Python"),
        ("ImportError('numpy.core.multiarray failed to import')", "pip install 'numpy<2'"),
        ("RuntimeError('first line\\nsecond')", "cannot be imported: first line; sudo apt install --reinstall"),
        ("AttributeError()", "cannot be imported: AttributeError; "),
    ],
)
def test_an_import_that_fails_on_a_jetson_is_explained(
    error: str, why: str, package: MakePackage, jetson: Path
) -> None:
    package("tensorrt", f"raise {error}")
    with pytest.raises(EngineError, match=why):
        load_flavour("tensorrt", root=jetson)


def test_in_a_container_the_libraries_of_the_dla_come_from_the_board(package: MakePackage, jetson: Path) -> None:
    (jetson / ".dockerenv").touch()
    package("tensorrt", "raise ImportError('libnvdla_compiler.so: cannot open shared object file')")
    with pytest.raises(EngineError, match="come from the board: start the container with `docker run --runtime nvidia"):
        load_flavour("tensorrt", root=jetson)


def test_a_virtual_environment_that_does_not_see_jetpacks_tensorrt_is_told_so(
    package: MakePackage, jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("tensorrt", "raise ModuleNotFoundError('No module named tensorrt', name='tensorrt')")
    mine = f"python3.{sys.version_info[1]}"
    monkeypatch.setattr(sys, "prefix", "/home/user/.venv")
    (jetson / f"usr/lib/{mine}/dist-packages/tensorrt").mkdir(parents=True)
    with pytest.raises(EngineError, match=rf"/usr/lib/{mine}/dist-packages, .*--system-site-packages .venv"):
        load_flavour("tensorrt", root=jetson)


def test_jetpacks_tensorrt_for_another_python_names_that_python(package: MakePackage, jetson: Path) -> None:
    package("tensorrt", "raise ModuleNotFoundError('No module named tensorrt', name='tensorrt')")
    (jetson / "usr/lib/python3.6/dist-packages/tensorrt").mkdir(parents=True)
    with pytest.raises(EngineError, match=r"it is for Python 3\.6, this is Python 3\.\d+; /usr/bin/python3\.6 -m venv"):
        load_flavour("tensorrt", root=jetson)


def test_a_missing_tensorrt_names_what_to_install(package: MakePackage, jetson: Path, tmp_path: Path) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        package(name, f"raise ModuleNotFoundError('none', name={name!r})")
    with pytest.raises(EngineError, match="sudo apt install nvidia-jetpack"):
        load_flavour("tensorrt", root=jetson)
    with pytest.raises(MissingPackageError, match=r"\.\[tensorrt\]"):
        load_flavour("tensorrt", root=tmp_path)


def test_rtx_on_arm_is_not_offered_for_installation(
    package: MakePackage, jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("tensorrt_rtx", "raise ModuleNotFoundError('none', name='tensorrt_rtx')")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(EngineError, match="made for x86-64; this machine is aarch64"):
        load_flavour("tensorrt_rtx", root=jetson)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(MissingPackageError, match=r"\.\[rtx\]"):
        load_flavour("tensorrt_rtx", root=jetson)


def test_type_stubs_are_not_taken_for_tensorrt(package: MakePackage, tmp_path: Path) -> None:
    package("tensorrt", "")
    with pytest.raises(EngineError, match=r"has no Builder: type stubs or leftovers.*pip uninstall tensorrt-stubs"):
        load_flavour("tensorrt", root=tmp_path)


@pytest.mark.parametrize("version", ["8.6.2", "10.2.0.19", "10.1", "unknown"])
def test_an_old_tensorrt_is_refused(version: str, package: MakePackage, jetson: Path) -> None:
    package("tensorrt", WORKS.format(version))
    with pytest.raises(EngineError, match=rf"got version {version}, expected 10\.3 or newer; flash JetPack 6\.1"):
        load_flavour("tensorrt", root=jetson)


def _flavour(name: FlavourName, version: str) -> Flavour:
    """One that is only asked for what depends on its version."""
    flags = SimpleNamespace(STRONGLY_TYPED=1)
    return Flavour(name, version, cast("TensorRT", SimpleNamespace(NetworkDefinitionCreationFlag=flags)))


@pytest.mark.parametrize(
    ("name", "version", "flags", "dla", "timing", "targets"),
    [
        ("tensorrt", "10.3.0", 2, "calibration cache", True, False),
        ("tensorrt", "10.7.0.23", 2, "calibration cache", True, False),
        ("tensorrt", "10.16.2.10", 2, "none", True, False),
        ("tensorrt", "11.4.0.106", 0, "none", True, False),
        ("tensorrt", "11.4.1", 0, "strongly typed", True, False),
        ("tensorrt_rtx", "1.7.1.116", 2, "none", False, True),
    ],
)
def test_what_differs_between_versions_is_told_by_the_version(
    name: FlavourName, version: str, flags: int, dla: str, timing: bool, targets: bool
) -> None:
    found = _flavour(name, version)
    assert (found.network_flags, found.dla, found.has_timing_cache, found.has_targets) == (flags, dla, timing, targets)
    assert found.has_version_compatibility is not found.is_rtx


def test_hardware_compatible_plans_are_for_desktops_only(jetson: Path, tmp_path: Path) -> None:
    assert _flavour("tensorrt", "11.4.0").has_hardware_compatibility(tmp_path)
    assert not _flavour("tensorrt", "10.3.0").has_hardware_compatibility(jetson)
    assert not _flavour("tensorrt_rtx", "1.7.1").has_hardware_compatibility(tmp_path)
