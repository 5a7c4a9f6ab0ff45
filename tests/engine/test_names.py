"""Every name of TensorRT's that we use is in the bindings of the oldest and the newest TensorRT that we know."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from googlenet_edge.engine.flavour import ONLY_IN

ROOT = Path(__file__).parents[2]
VERSIONS = ("10.3.0", "11.4.0.106")
CALLERS = sorted([*ROOT.glob("googlenet_edge/engine/*.py"), *ROOT.glob("googlenet_edge/runtime/trt_*.py")])


@functools.cache
def names_of(version: str) -> set[str]:
    lines = (Path(__file__).parent / "data" / f"tensorrt_names_{version}.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


@functools.cache
def stub_names() -> set[str]:
    """Classes of the stub and their members."""
    names: set[str] = set()
    for kind in ast.parse((ROOT / "stubs/tensorrt_rtx/__init__.pyi").read_text(encoding="utf-8")).body:
        if isinstance(kind, ast.ClassDef) and not kind.name.startswith("_"):
            names.add(kind.name)
            for member in ast.walk(kind):
                if isinstance(member, ast.FunctionDef | ast.ClassDef):
                    names.add(member.name)
                elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                    names.add(member.target.id)
    return names


def used_names(source: str) -> Iterator[tuple[str, int]]:
    """Attributes that are named as something of TensorRT's, with their lines; and what the Protocol promises.

    ``trt.X`` is left out: ``trt`` is there for the type checker only.
    """
    known = stub_names()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in known:
            if not (isinstance(node.value, ast.Name) and node.value.id == "trt"):
                yield node.attr, node.lineno
        elif isinstance(node, ast.ClassDef) and node.name == "TensorRT":
            yield from ((member.name, member.lineno) for member in node.body if isinstance(member, ast.FunctionDef))


def missing_names(source: str, version: str) -> list[str]:
    """``"LINE: NAME"`` of what TensorRT of that version does not have, though nobody says so in ``ONLY_IN``."""
    available = names_of(version) | {name for name, flavour in ONLY_IN.items() if flavour == "tensorrt_rtx"}
    return [f"{line}: {name}" for name, line in used_names(source) if name not in available]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", CALLERS, ids=lambda path: path.stem)
def test_tensorrt_has_every_name_that_we_use(path: Path, version: str) -> None:
    assert missing_names(path.read_text(encoding="utf-8"), version) == []


@pytest.mark.parametrize("path", ["engine/config.py", "runtime/trt_engine.py"])
def test_our_calls_of_tensorrt_are_seen(path: str) -> None:
    assert len(set(used_names((ROOT / "googlenet_edge" / path).read_text(encoding="utf-8")))) > 5


@pytest.mark.parametrize(
    ("planted", "missing"),
    [
        ("engine.weights_loaded", ["1: weights_loaded"]),  # RTX has it
        ("api.LayerType.KV_CACHE_UPDATE", None),  # 10.3 does not have it, 11.4 does
        ("context.execute_async_v3(0)", []),
        ("class TensorRT:\n    def Buidler(self): ...", ["2: Buidler"]),
        ("config: trt.IRuntimeCache", []),
    ],
)
def test_a_name_that_tensorrt_lacks_is_found(planted: str, missing: list[str] | None) -> None:
    found = {version: missing_names(planted, version) for version in VERSIONS}
    if missing is None:
        assert found == {"10.3.0": ["1: KV_CACHE_UPDATE"], "11.4.0.106": []}
    else:
        assert found == dict.fromkeys(VERSIONS, missing)


def test_the_names_marked_as_of_one_flavour_are_used_and_of_that_one() -> None:
    used = {name for path in CALLERS for name, _ in used_names(path.read_text(encoding="utf-8"))}
    everywhere = set.intersection(*(names_of(version) for version in VERSIONS))
    for name, flavour in ONLY_IN.items():
        assert flavour == "tensorrt_rtx"  # a name of the other one only would have to be added to the stub first
        assert name in stub_names()
        assert name in used, f"{name} is marked, but no longer used"
        assert name not in everywhere, f"{name} is marked, but every TensorRT has it"


def test_the_lists_say_where_they_come_from_and_hold_names_only() -> None:
    for version in VERSIONS:
        text = (Path(__file__).parent / "data" / f"tensorrt_names_{version}.txt").read_text(encoding="utf-8")
        head = [line for line in text.splitlines() if line.startswith("#")]
        names = text.splitlines()[len(head) :]
        assert version in head[0]
        assert "sha256 " in head[1]
        assert "tools/read_tensorrt_names.py" in head[2]
        assert names == sorted(set(names))
        assert all(name.isidentifier() for name in names)
        assert {"Builder", "TF32", "execute_async_v3", "STRONGLY_TYPED"} <= set(names)
    # What 11 took away shows that the two lists are of two versions.
    assert {"FP16", "EXPLICIT_BATCH", "IInt8EntropyCalibrator2"} <= names_of("10.3.0") - names_of("11.4.0.106")
