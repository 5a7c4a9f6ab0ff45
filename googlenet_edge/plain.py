"""What a terminal shows: names of files and labels, which come from anywhere, and counts."""

from __future__ import annotations

__all__ = ["counted", "escaped", "printable"]


def printable(text: str) -> str:
    """Return text for one line, without what a terminal would obey or cannot show; for printing without markup."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def escaped(text: str) -> str:
    """Return :func:`printable` text that rich prints literally where markup is on."""
    from rich.markup import escape

    return escape(printable(text))


def counted(number: int, noun: str, several: str | None = None) -> str:
    """Return "1 frame", "2 frames"; ``several`` for a noun that takes more than an s."""
    return f"{number} {noun if number == 1 else several or f'{noun}s'}"
