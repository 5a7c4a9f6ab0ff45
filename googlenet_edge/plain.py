"""Names of files and labels as a terminal may show them: they come from anywhere."""

from __future__ import annotations

__all__ = ["escaped", "printable"]


def printable(text: str) -> str:
    """Return text for one line, without what a terminal would obey or cannot show; for printing without markup."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def escaped(text: str) -> str:
    """Return :func:`printable` text that rich prints literally where markup is on."""
    from rich.markup import escape

    return escape(printable(text))
