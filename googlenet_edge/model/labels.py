"""Labels: one name for each class, read from a text or a JSON file."""

from __future__ import annotations

import ast
import json
import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from googlenet_edge.errors import LabelsError

__all__ = ["labels_from", "read_labels"]

_log = logging.getLogger(__name__)

MAX_BYTES = 16_000_000
"""Far above any list of labels: 21,841 ImageNet names with their synonyms take 0.8 MB."""

_EXPECTED = (
    'expected one label a line, or JSON: ["cat", "dog"], {"0": "cat", "1": "dog"}, {"cat": 0, "dog": 1} or '
    '{"0": ["n02123045", "cat"], ...}'
)


def read_labels(path: str | os.PathLike[str], class_count: int) -> tuple[str, ...]:
    """Return the ``class_count`` labels in a text or JSON file, in the order of the class ids.

    Text is UTF-8, one label a line, kept as it is (``n01440764 tench`` too); blank lines at the end do not count. JSON
    is a list of names, or an object from class id to name, from name to class id, or from class id to [synset, name].
    Equal labels are kept, with a warning: ImageNet has two cranes. Raises :class:`LabelsError`.
    """
    where = f"labels {os.fspath(path)}"
    text = _read_text(Path(path), where)
    found: object = None
    if text.lstrip()[:1] in ("[", "{") or Path(path).suffix.lower() == ".json":
        found = _parse(text, where, must=Path(path).suffix.lower() == ".json")
    if found is None:
        found = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n\t ").split("\n")
    return labels_from(found, class_count, where)


def labels_from(found: object, class_count: int, where: str) -> tuple[str, ...]:
    """Return the labels in a list or mapping of the shapes that :func:`read_labels` knows.

    ``where`` says in errors and warnings where it came from. Raises :class:`LabelsError`.
    """
    if isinstance(found, Mapping):
        for key in ("labels", "id2label"):  # a list with a title; the configuration of a Hugging Face model
            if isinstance(found.get(key), (Sequence, Mapping)):
                return labels_from(found[key], class_count, where)
        found = _by_class_id(found, where)
    if isinstance(found, str) or not isinstance(found, Sequence):
        _fail(where, f"got a {type(found).__name__}")
    for index, label in enumerate(found):
        if not isinstance(label, str):
            _fail(where, f"got {str(label)[:60]!r} for class {index}")
        if not label.strip():
            _fail(where, f"got an empty label for class {index} (line {index + 1} of a text file)")
        if any(unicodedata.category(character) in ("Cc", "Cs") and character != "\t" for character in label):
            _fail(where, f"got a control character in the label of class {index}: {label[:60]!r}")
    labels = tuple(label.strip() for label in found)
    if len(labels) != class_count:
        hint = "check that it belongs to these weights"
        if len(labels) == class_count + 1:
            hint = f"if {labels[0]!r} or {labels[-1]!r} is a heading or a background class, remove it"
        raise LabelsError(f"{where}: got {len(labels)} labels, expected {class_count}, one for each class; {hint}")
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        _log.warning("%s: %d labels stand for more than one class: %s", where, len(repeated), ", ".join(repeated[:5]))
    return labels


def _read_text(path: Path, where: str) -> str:
    try:
        if path.exists() and not path.is_file():
            _fail(where, "got a directory, a device or a pipe")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except LabelsError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelsError(f"{where}: cannot be read ({reason}); {_EXPECTED}") from error
    if not content.strip():
        _fail(where, "got an empty file")
    if len(content) > MAX_BYTES:
        _fail(where, f"got more than {MAX_BYTES // 1_000_000} MB")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        _fail(where, "got UTF-16 text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelsError(f"{where}: got text that is not UTF-8 (at byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        _fail(where, "got a binary file")
    return text


def _parse(text: str, where: str, *, must: bool) -> object:
    """Return the JSON value or the Python list or dict in ``text``; None if it is neither and need not be."""
    try:
        parsed: object = json.loads(text, object_pairs_hook=lambda pairs: _without_repeats(pairs, where))
    except LabelsError:  # which is a ValueError too
        raise
    except (ValueError, RecursionError) as error:
        cause = error
    else:
        if parsed is None:
            _fail(where, "got null")
        return parsed
    try:
        # The list of ImageNet's labels that is passed round is a printed Python dict: {0: 'tench, Tinca tinca', ...
        value: object = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if must:
            raise LabelsError(f"{where}: got broken JSON ({cause}), {_EXPECTED}") from cause
        return None
    return value


def _without_repeats(pairs: list[tuple[str, object]], where: str) -> dict[str, object]:
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise LabelsError(f"{where}: got {repeated[0]!r} more than once, expected each key once; correct the file")
    return dict(pairs)


def _by_class_id(found: Mapping[object, object], where: str) -> list[object]:
    """Return the names of a mapping in the order of the class ids, which are its keys or its values."""
    if found and all(isinstance(value, int) and not isinstance(value, bool) for value in found.values()):
        pairs = [(int(str(value)), name) for name, value in found.items()]
    else:
        pairs = [(_class_id(key, where), _name(value)) for key, value in found.items()]
    ids = Counter(index for index, _ in pairs)
    repeated = sorted(index for index, count in ids.items() if count > 1)
    if repeated:
        _fail(where, f"got class {repeated[0]} more than once")
    missing = [index for index in range(len(ids)) if index not in ids]
    if missing:
        start = f"; they start at {min(ids)}: number the classes from 0" if min(ids) != 0 else ""
        _fail(where, f"got {len(ids)} labels, but none for class {', '.join(map(str, missing[:5]))}{start}")
    return [name for _, name in sorted(pairs, key=lambda pair: pair[0])]


def _class_id(key: object, where: str) -> int:
    try:
        return int(str(key))
    except ValueError:
        _fail(where, f"got the key {str(key)[:60]!r}, which is not a class id")


def _name(value: object) -> object:
    """Return the name in ImageNet's class index, [synset, name]; anything else as it is."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return value[1]
    return value


def _fail(where: str, got: str) -> NoReturn:
    raise LabelsError(f"{where}: {got}, {_EXPECTED}")
