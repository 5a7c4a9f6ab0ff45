"""The sources of a run: which ones the arguments name."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from googlenet_edge.errors import GoogLeNetEdgeError, MissingPackageError, SourceError, UsageError

__all__ = ["NamedSource", "exists", "read_sources", "whose"]

_NAMED = re.compile(r"([A-Za-z0-9_-]+)=(.+)", re.DOTALL)
_WRONGLY_NAMED = re.compile(r"([^/:@?*\[=]*)=(.*)", re.DOTALL)
"""Neither an address nor a path, which may have an equals sign too."""
_LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class NamedSource:
    """A source that was asked for."""

    name: str | None
    """None: the one source of a run, without a name."""
    uri: str = field(repr=False)
    """May hold a password."""
    listed_in: str | None = None
    """The file that named it, of an ``@FILE`` argument."""


def exists(path: Path) -> bool:
    """Return whether there is something at this path, which may be a URI."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a URI can be longer than any path, or hold a zero byte
        return False


def read_sources(texts: Sequence[str]) -> tuple[NamedSource, ...]:
    """Return the sources that ``[NAME=]SOURCE`` and ``@FILE`` arguments name; the nth without a name is ``cameraN``.

    What exists as a file under the whole text is that file. Raises :class:`UsageError` for names that are not unique
    and for wrong words in a file, :class:`SourceError` for a file that cannot be read.
    """
    found: list[NamedSource] = []
    for text in texts:
        name, source = _split(text)
        if not source.startswith("@") or exists(Path(source)):
            found.append(NamedSource(name, source))
            continue
        lines = _read_lines(source[1:])
        if name is not None and len(lines) != 1:
            raise UsageError(f"source {name}=@{source[1:]}: got {len(lines)} sources, expected one for one name")
        found += [NamedSource(name or own, uri, listed_in=source[1:]) for own, uri in lines]
    if len(found) == 1:
        return tuple(found)
    named = tuple(replace(each, name=each.name or f"camera{number}") for number, each in enumerate(found, start=1))
    names: dict[str, str] = {}
    for name in (source.name or "" for source in named):
        key = name.casefold()  # they name files, also on disks that make no difference of case
        if key in names:
            got = f"the name {name!r} twice" if names[key] == name else f"the names {names[key]!r} and {name!r}"
            raise UsageError(
                f"sources: got {got}, expected one of its own for each, whatever the case; write NAME=SOURCE"
            )
        names[key] = name
    return named


def _split(text: str) -> tuple[str | None, str]:
    if exists(Path(text)):
        return None, text
    if match := _NAMED.fullmatch(text):
        return match[1], match[2]
    if wrong := _WRONGLY_NAMED.fullmatch(text):
        got = f"the name {wrong[1]!r}" if wrong[2] else f"no source after {text!r}"
        raise UsageError(f"sources: got {got}, expected NAME=SOURCE with a name of letters, digits, - and _")
    return None, text


def _read_lines(path: str) -> list[tuple[str | None, str]]:
    if not path:
        raise UsageError("source '@': got no file's name, expected @FILE, with one source a line in the file")
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise SourceError(f"source '@{path}': cannot be read: {reason}; expected a file with one source a line") from (
            error
        )
    if len(data) > _LARGEST_FILE_BYTES:
        raise UsageError(f"source '@{path}': got more than 1 MiB, expected a file with one source a line")
    text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))  # some editors begin a file with one
    texts = [line.strip() for line in text.splitlines()]
    lines = [_split(text) for text in texts if text and not text.startswith("#")]
    if not lines:
        raise UsageError(f"source '@{path}': got no source, expected one a line")
    if any(source.startswith("@") for _, source in lines):
        raise UsageError(f"source '@{path}': got another @FILE in it, expected sources")
    return lines


def whose(error: GoogLeNetEdgeError, name: str | None) -> GoogLeNetEdgeError:
    """Return the error with the camera's name before its message; without a name, as it is."""
    if name is None or isinstance(error, MissingPackageError):
        return error
    named = type(error)(f"{name}: {error}")
    named.__cause__ = error.__cause__
    return named
