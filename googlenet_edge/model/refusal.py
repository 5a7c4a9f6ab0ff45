"""Why ``torch.load(weights_only=True)`` refused a file, from the names in its pickle. Nothing is unpickled."""

from __future__ import annotations

import pickle
import pickletools
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from googlenet_edge.model.detect import first_few, shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COPY_AGAIN", "EXPECTED", "LOAD_ERRORS", "why_refused"]

EXPECTED = "expected weights: a state dict written by torch.save (.pth, .pt) or a .safetensors file"
COPY_AGAIN = "copy or download it again, and compare its size and sha256"
_RESAVE = "torch.save(model.state_dict(), 'weights.pth')"

LOAD_ERRORS = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    # A damaged length asks for more memory than there is.
    *(MemoryError, ImportError, AssertionError, OverflowError, struct.error, zlib.error, OSError, zipfile.BadZipFile),
)
"""What torch.load and its relatives raise for files that are damaged or hold something else."""

# Who calls these while unpickling means harm: they have no place in weights.
_HARMFUL_MODULES = {"os", "posix", "nt", "sys", "subprocess", "importlib", "runpy", "shutil", "socket", "pty", "ctypes"}
_HARMFUL_BUILTINS = {"eval", "exec", "compile", "open", "__import__", "breakpoint", "input"}

# First components of names that a state dict and its neighbours may have; torch's own are looked at one by one.
_USUAL = (
    *("collections.", "torch._utils.", "torch.storage.", "numpy.", "argparse.", "pathlib.", "_codecs."),
    *("builtins.", "__builtin__."),
)


@dataclass
class _Pickle:
    """What a pickle is made of."""

    names: list[str] = field(default_factory=list)
    """Every class or function that it names, in order."""
    first: str = ""
    """The first operation, which tells a dict from an object."""
    protocol: int = 0

    @property
    def is_object(self) -> bool:
        return self.first not in ("EMPTY_DICT", "EMPTY_LIST") and self.names[:1] != ["collections.OrderedDict"]


def why_refused(path: Path, *, archive: bool) -> str:
    """Return what the file holds and what to do about it, to follow the file's name in an error.

    ``archive`` tells torch.save's zip archive from the chain of pickles that it wrote before PyTorch 1.6.
    """
    try:
        pickled = _scan_file(path, archive=archive)
    except LOAD_ERRORS:
        return f"got a truncated or damaged file, {EXPECTED}; {COPY_AGAIN}"
    harmful = sorted({name for name in pickled.names if _is_harmful(name)})
    if harmful:
        return (
            f"got a file that would call {first_few(harmful)} on being loaded, {EXPECTED}; nothing of it was run, "
            "do not load it elsewhere unless you know who made it"
        )
    foreign = [name for name in pickled.names if not name.startswith(_USUAL) and name.split(".")[:-1] != ["torch"]]
    if pickled.is_object:
        return (
            f"got a whole pickled object, {shown(foreign[0]) if foreign else 'of some class'} (torch.save(model)), "
            f"{EXPECTED}; loading it would run its code, so where it is trusted and its class is at hand, "
            f"re-save it: {_RESAVE}"
        )
    if foreign:
        return (
            f"got objects beside the weights that cannot be loaded safely ({first_few(sorted(set(foreign)))}), "
            f"{EXPECTED}; re-save the weights alone: {_RESAVE}"
        )
    if pickled.protocol > 2:
        return (
            f"got a file pickled with protocol {pickled.protocol}, which cannot be loaded safely, {EXPECTED}; "
            "re-save it without the argument pickle_protocol"
        )
    return f"got a truncated or damaged file, {EXPECTED}; {COPY_AGAIN}"


def _is_harmful(name: str) -> bool:
    parts = name.split(".")
    return parts[0] in _HARMFUL_MODULES or (parts[0] in ("builtins", "__builtin__") and parts[-1] in _HARMFUL_BUILTINS)


def _scan_file(path: Path, *, archive: bool) -> _Pickle:
    """Return what the pickle that holds the weights is made of."""
    with path.open("rb") as file:
        if not archive:
            for _ in range(3):  # the magic number, the protocol and the system come first
                _scan(file)
            return _scan(file)
        with zipfile.ZipFile(file) as records:
            name = next(name for name in records.namelist() if name.partition("/")[2] == "data.pkl")
            with records.open(name) as record:
                return _scan(record)


def _scan(file: IO[bytes]) -> _Pickle:
    pickled = _Pickle()
    strings: list[str] = []  # in the order in which they were pushed: a STACK_GLOBAL takes the last two
    memo: dict[object, str] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "PROTO" and isinstance(argument, int):
            pickled.protocol = argument
        if opcode.name in ("PROTO", "FRAME"):
            continue
        if opcode.name == "GLOBAL":
            pickled.names.append(str(argument).replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            pickled.names.append(".".join(strings[-2:]))
        elif "UNICODE" in opcode.name:
            strings.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name.endswith("BINGET"):
            strings.append(memo.get(argument, ""))
        pickled.first = pickled.first or opcode.name
    return pickled
