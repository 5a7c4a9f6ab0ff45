"""JSON values as tables, whatever they are: what a report says beyond the figures that the page knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from googlenet_edge.latency.page.markup import Html, element, joined, table
from googlenet_edge.latency.page.words import count

__all__ = ["facts", "side_by_side"]

_DEEPEST = 8


def facts(values: Mapping[str, Any]) -> Html | None:
    """Return values by name; None where there are none that are known."""
    rows = [(_name(name), _shown(value, 0)) for name, value in values.items() if not _empty(value)]
    return table([], rows, numbers=False) if rows else None


def side_by_side(before: Mapping[str, Any], after: Mapping[str, Any]) -> Html | None:
    """Return all values of two states, to be opened; None where none is known."""
    first, second = dict(_leaves("", before)), dict(_leaves("", after))
    rows = [(name, _scalar(first.get(name)), _scalar(second.get(name))) for name in dict.fromkeys([*first, *second])]
    rows = [row for row in rows if row[1:] != ("-", "-")]
    if not rows:
        return None
    values = table(["", "before", "after"], rows, numbers=False)
    return element("details", element("summary", f"All {count(len(rows))} values, before and after"), values)


def _leaves(path: str, value: Any, depth: int = 0) -> list[tuple[str, Any]]:
    if depth > _DEEPEST:
        return [(path, "...")]
    if isinstance(value, Mapping):
        named = {key: each for key, each in value.items() if not key.endswith("_ns")}  # a clock's reading says nothing
        return [
            leaf
            for key, each in named.items()
            for leaf in _leaves(f"{path}, {_name(key)}" if path else _name(key), each, depth + 1)
        ]
    if isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value):
        found = []
        for i, each in enumerate(value):
            name = each.get("name", each.get("number", i)) if isinstance(each, Mapping) else i
            found += _leaves(f"{path} {name}", each, depth + 1)
        return found
    return [] if isinstance(value, list) and not value else [(path, value)]


def _shown(value: Any, depth: int) -> str:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        known = {key: each for key, each in value.items() if not _empty(each)}
        items = [
            joined([element("dt", _name(key)), element("dd", _shown(each, depth + 1))]) for key, each in known.items()
        ]
        return element("dl", *items, class_="definitions")
    if isinstance(value, list) and any(isinstance(each, (Mapping, list)) for each in value):
        return _alike(value) or element("ul", *(element("li", _shown(each, depth + 1)) for each in value))
    return _scalar(value)


def _alike(values: Sequence[Any]) -> Html | None:
    """Return a table where all values are objects of the same few scalars."""
    first = values[0]
    if not isinstance(first, Mapping) or any(
        not isinstance(each, Mapping) or each.keys() != first.keys() for each in values
    ):
        return None
    if any(isinstance(cell, (Mapping, list)) for each in values for cell in each.values()):
        return None
    return table(
        [_name(key) for key in first], [[_scalar(cell) for cell in each.values()] for each in values], numbers=False
    )


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_scalar(each) for each in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)


def _name(key: str) -> str:
    return key.replace("_", " ")


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {})
