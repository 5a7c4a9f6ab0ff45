"""HTML and SVG that is safe by how it is made: text is escaped when it becomes part of an element, always.

Only :class:`Html` is taken as it is, and only :func:`element`, :func:`raw` and :func:`joined` make it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

__all__ = ["Html", "cleaned", "element", "joined", "raw", "table"]

_VOID = frozenset({"br", "meta", "link", "line", "rect", "path", "circle", "use"})


class Html(str):
    """Markup; a plain ``str`` is text."""

    __slots__ = ()


def cleaned(text: str) -> str:
    """Return text without what HTML cannot hold: control characters and halves of surrogate pairs become U+FFFD."""
    return "".join(
        character if character in "\n\t" or not (ord(character) < 32 or 0x7F <= ord(character) < 0xA0
                                                 or 0xD800 <= ord(character) < 0xE000) else "\ufffd"
        for character in text
    )  # fmt: skip


def raw(markup: str) -> Html:
    """Return markup of our own as it is: never anything that came from outside."""
    return Html(markup)


def joined(parts: Iterable[str], separator: str = "") -> Html:
    """Return the parts in a row, text among them escaped."""
    return Html(_escaped(separator).join(_escaped(part) for part in parts))


def element(tag: str, *children: str | None, **attributes: str | float | bool | None) -> Html:
    """Return an element.

    Args:
        tag: Its name.
        children: Text, which is escaped, or markup; None is left out.
        attributes: By name, ``_`` for ``-`` and a ``_`` at the end for nothing (``class_``). True: without a value;
            False and None: left out; numbers: with at most two decimals.
    """
    head = "".join(_attribute(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    if tag in _VOID and not children:
        return Html(f"<{tag}{head}/>")
    return Html(f"<{tag}{head}>{joined(child for child in children if child is not None)}</{tag}>")


def table(
    headings: Iterable[str], rows: Iterable[Iterable[str]], *, caption: str | None = None, numbers: bool = True
) -> Html:
    """Return a table that scrolls by itself where it is too wide. The first cell of a row is its heading.

    ``numbers``: all other columns hold numbers, and stand to the right.
    """
    kind = "num" if numbers else None
    head = [element("th", text, scope="col", class_=kind if i else None) for i, text in enumerate(headings)]
    body = [
        element("tr", *(element("td", cell, class_=kind) if i else element("th", cell, scope="row")
                        for i, cell in enumerate(row)))
        for row in rows
    ]  # fmt: skip
    inner = element(
        "table",
        element("caption", caption) if caption else None,
        element("thead", element("tr", *head)) if head else None,
        element("tbody", *body),
    )
    return element(
        "div",
        inner,
        class_="scroll" if numbers else "scroll wordy",
        tabindex=0,
        role="region",
        aria_label=caption or "table",
    )


def _escaped(part: str) -> str:
    return part if isinstance(part, Html) else html.escape(cleaned(part))


def _attribute(name: str, value: str | float | bool | None) -> str:  # noqa: FBT001 - as HTML has it
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
    return f' {name}="{_escaped(text)}"'
