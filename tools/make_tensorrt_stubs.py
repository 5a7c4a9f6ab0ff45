"""Make ``stubs/tensorrt_rtx/__init__.pyi`` from the installed tensorrt_rtx, so that mypy checks our calls of TensorRT.

    python tools/make_tensorrt_stubs.py            writes the stub
    python tools/make_tensorrt_stubs.py --check    exit code 1, and the difference, if the committed one is another

TensorRT ships no types. ``tensorrt`` and ``tensorrt_rtx`` are pybind11 bindings of one interface, and the second can be
installed everywhere, so its stub serves both. The signatures are read by pybind11-stubgen, the maintained tool that
pybind11's own documentation names. Its output for TensorRT is 11,000 lines and no valid Python, so this script

- keeps the classes in ``tensorrt_stub.txt`` (to build and run an ONNX graph: no layers, plugins, refitting), without
  the docstrings,
- leaves out a member whose type is unknown or not kept,
- writes ``int`` where pybind11 says ``SupportsInt``, which would let a float pass that the binding refuses,
- takes from ``tensorrt_stub.txt`` what is wrong, with the reason there.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from googlenet_edge.atomic import atomic_file

STUB = Path(__file__).resolve().parents[1] / "stubs" / "tensorrt_rtx" / "__init__.pyi"

FRAME = Path(__file__).with_name("tensorrt_stub.txt")

# What makes pybind11-stubgen's output unparsable: parameters named as keywords, one without a default after defaults.
SYNTAX = (
    (re.compile(r"(?<=[(, ])(in|is|from)(?=: )"), r"\1_"),
    (re.compile(r"(channel_axis: typing\.SupportsInt)(?=\))"), r"\1 = ..."),
)
SIMPLER = {"SupportsInt": "int", "SupportsFloat": "float"}
# Names that a signature may have beside the kept classes.
KNOWN = {"None", "bool", "bytes", "dict", "float", "int", "list", "str", "tuple", "slice"}
KNOWN |= {"Buffer", "ClassVar", "Iterator", "Self", "Sequence"}
# Special methods with nothing to check: pickling, printing, object's own, the deprecated context managers.
DROPPED = re.compile(r"__(bool|del|enter|eq|exit|getstate|hash|index|int|ne|nonzero|repr|setstate|str)__")


def read_raw(folder: Path) -> str:
    """Everything that pybind11-stubgen finds in the bindings. Raises CalledProcessError if it fails."""
    command = [sys.executable, "-m", "pybind11_stubgen", "tensorrt_rtx_bindings", "-o", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)  # it warns of each type that it does not know
    return (folder / "tensorrt_rtx_bindings" / "tensorrt_rtx.pyi").read_text(encoding="utf-8")


class _Simplify(ast.NodeTransformer):
    """``typing.SupportsInt`` -> ``int``, ``collections.abc.Sequence`` -> ``Sequence``, defaults -> ``...``."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if ast.unparse(node.value) in ("typing", "typing_extensions", "collections.abc"):
            return ast.Name(SIMPLER.get(node.attr, node.attr))
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.arguments:
        self.generic_visit(node)
        # `= None` says that None is allowed, which the type beside it does not.
        with_default = node.args[len(node.args) - len(node.defaults) :]
        for argument, default in zip(with_default, node.defaults, strict=True):
            if argument.annotation and isinstance(default, ast.Constant) and default.value is None:
                argument.annotation = ast.BinOp(argument.annotation, ast.BitOr(), ast.Constant(None))
        node.defaults = [ast.Constant(...) for _ in node.defaults]
        return node


def _name_of(member: ast.stmt) -> str | None:
    if isinstance(member, ast.FunctionDef | ast.ClassDef):
        return member.name
    if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
        return member.target.id
    return None


def _annotations(member: ast.stmt) -> Iterator[ast.expr | None]:
    if isinstance(member, ast.AnnAssign):
        yield member.annotation
    elif isinstance(member, ast.FunctionDef):
        yield member.returns
        for argument in member.args.args:
            if argument.arg != "self":
                yield argument.annotation


def _is_known(member: ast.stmt, known: set[str]) -> bool:
    """Whether all of its types are."""
    for annotation in _annotations(member):
        if annotation is None:
            return False
        if isinstance(annotation, ast.Name) and annotation.id in ("dict", "list", "tuple"):  # of what, is not said
            return False
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and node.value is ...:
                return False
            if isinstance(node, ast.Name) and node.id not in known:
                return False
    return True


def _members(kind: ast.ClassDef, known: set[str]) -> list[ast.stmt]:
    """What a class has, simplified, without what is of no use."""
    members: list[ast.stmt] = []
    for member in kind.body:
        name = _name_of(member)
        if name is None or DROPPED.fullmatch(name) or (kind.name == "Logger" and name == "Severity"):  # ILogger's own
            continue
        if isinstance(member, ast.ClassDef):
            _clean(member, known)
            members.append(member)
            continue
        _Simplify().visit(member)
        if not _is_known(member, known):
            continue
        if isinstance(member, ast.FunctionDef):
            member.body = [ast.Expr(ast.Constant(...))]
            member.args.args[0].annotation = None  # of self, a base class now and then
            if any(ast.unparse(decorator).endswith(".setter") for decorator in member.decorator_list):
                member.args.args[1].arg = "value"
                member.returns = ast.Constant(None)
        members.append(member)
    return members


def _clean(kind: ast.ClassDef, known: set[str]) -> None:
    """An enum becomes its values and a base class, another class its useful members."""
    names = {_name_of(member) for member in kind.body}
    members = _members(kind, known)
    if "__members__" in names:
        kind.bases = [ast.Name("_OrderedEnum" if "__lt__" in names else "_Enum")]
        members = [member for member in members if isinstance(member, ast.AnnAssign)]
    functions = [member.name for member in members if isinstance(member, ast.FunctionDef)]
    for member in members:
        if isinstance(member, ast.FunctionDef) and functions.count(member.name) == 1:  # its overloads were left out
            member.decorator_list = [d for d in member.decorator_list if ast.unparse(d) != "overload"]
    kind.body = members


def make_stub(raw: str, frame: str, version: str) -> str:
    """The stub's text, from pybind11-stubgen's. Raises ValueError if a class of the frame is not in it."""
    for pattern, replacement in SYNTAX:
        raw = pattern.sub(replacement, raw)
    found = {kind.name: kind for kind in ast.parse(raw).body if isinstance(kind, ast.ClassDef)}
    head: list[ast.stmt] = []
    kinds: dict[str, ast.ClassDef] = {}
    for statement in ast.parse(frame).body:
        if not isinstance(statement, ast.ClassDef) or statement.name.startswith("_"):
            head.append(statement)
        elif statement.name in found:
            kinds[statement.name] = statement
        else:
            raise ValueError(f"tensorrt_rtx {version} has no {statement.name}: take it out of {FRAME.name}")
    known = {*kinds, *KNOWN}
    for name, kind in kinds.items():
        own = [member for member in kind.body if _name_of(member)]
        _clean(found[name], known)
        kind.bases = found[name].bases
        kind.body = [m for m in found[name].body if _name_of(m) not in {_name_of(o) for o in own}] + own
    text = f"# Made by tools/make_tensorrt_stubs.py from tensorrt_rtx {version}: change that script, not this file.\n"
    text += "\n\n".join(ast.unparse(statement) for statement in [*head, *(kinds[name] for name in sorted(kinds))])
    for command in (["check", "--select", "I", "--fix", "--quiet"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(ruff, input=text, text=True, check=True, capture_output=True).stdout
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the stub for TensorRT from the installed tensorrt_rtx.")
    parser.add_argument("--check", action="store_true", help="compare with the committed stub, write nothing")
    check: bool = parser.parse_args(arguments).check
    try:
        import tensorrt_rtx

        with tempfile.TemporaryDirectory() as folder:
            raw = read_raw(Path(folder))
    except ImportError as error:
        print(f"got: {error}, expected the packages of the extra 'dev'; make setup installs them", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"pybind11-stubgen failed:\n{error.stderr}", file=sys.stderr)
        return 1
    stub = make_stub(raw, FRAME.read_text(encoding="utf-8"), tensorrt_rtx.__version__)
    if not check:
        STUB.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(STUB, what="stub") as file:
            file.write(stub.encode())
        return 0
    old = STUB.read_text(encoding="utf-8") if STUB.exists() else ""
    print("\n".join(difflib.unified_diff(old.splitlines(), stub.splitlines(), "committed", "made", n=1, lineterm="")))
    return int(old != stub)


if __name__ == "__main__":
    sys.exit(main())
